"""Equal values are paired under the paths that are most alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.comparison.moves import pair_alike

PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "w", "w1", "w_1", "layers", "0", "1"]), min_size=1)
    .map(lambda names: "/".join(names[:6])),
    unique=True, max_size=14,
)  # fmt: skip


def pairs(old: list[str], new: list[str]) -> dict[str, str]:
    """Return which old path is paired with which new one."""
    return {old[i]: new[j] for i, j in pair_alike(old, new)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["x"], ["y"]),
        (["enc/0/b", "enc/1/b", "dec/0/b"], ["m/enc/0/b", "m/enc/1/b", "m/dec/0/b"]),
        (["enc/w", "dec/w"], ["encoder/w", "decoder/w"]),
        (["enc/w", "dec/w"], ["enc/kernel", "dec/kernel"]),
        (["l/kernel_1", "l/kernel_2", "l/bias"], ["l/kernel1", "l/kernel2", "l/offset_bias"]),
        ([f"layers/{i}/b" for i in range(300)], [f"layers/{i}/bias" for i in range(300)]),
        ([f"old/{i}/b" for i in range(300)], [f"new/{i}/b" for i in range(300)]),
    ],
)
def test_what_is_most_alike_belongs_together(old: list[str], new: list[str]) -> None:
    """Renamed subtrees, renamed leaves and changed letters are each recognised."""
    assert dict(zip(old, new, strict=True)) == pairs(old, new[::-1])


def test_of_unequal_numbers_the_nearest_are_taken() -> None:
    """Where there are more on one side, what is least alike stays alone."""
    assert {"a/w": "b/w"} == pairs(["a/w"], ["b/v", "b/w", "c"])
    assert {"a/w": "b/w"} == pairs(["c", "a/w", "a/v"], ["b/w"])
    assert {} == pairs([], ["a"])


def test_many_find_their_own_beginning() -> None:
    """Of 300 new paths, 150 old ones find those that begin as they do."""
    old = [f"layers/{i}/b" for i in range(0, 300, 2)]
    new = [f"layers/{i}/bias" for i in range(300)]

    assert {path: f"{path}ias" for path in old} == pairs(old, new)


@given(PATHS, PATHS, st.randoms())
def test_every_path_once_and_the_same_both_ways(
    old: list[str], new: list[str], random: st.DataObject
) -> None:
    """Each path is in at most one pair; neither the order nor exchanging the sides matters."""
    found = pairs(old, new)
    mixed = random.sample(old, len(old)), random.sample(new, len(new))  # type: ignore[attr-defined]

    assert min(len(old), len(new)) == len(found) == len(set(found.values()))
    assert found == pairs(*mixed)
    assert found == {o: n for n, o in pairs(new, old).items()}
