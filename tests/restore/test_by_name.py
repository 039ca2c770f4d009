"""Restoring by global names (docs/restore.md, R-31): all is checked, then all is read."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.bundle import fetch
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.opening import open_checkpoint
from checkpointable.restore.by_name import NamedTarget, restore_by_name
from checkpointable.storage.local import LOCAL
from tests.restore.models import Node

LARGE = 1 << 20
TEXT = np.dtypes.StringDType()


class Live:
    """An array that is given the tensor of a name, and whether it was."""

    def __init__(
        self,
        name: str,
        array: Any,
        part: tuple[slice, ...] | None = None,
        whole: tuple[int, ...] | None = None,
    ) -> None:
        self.array, self.is_given = np.array(array), False
        shape = self.array.shape if whole is None else whole
        self.target = NamedTarget(
            name, f"live/{name}", self.array.dtype, shape, part, lambda: self.array, self._given
        )

    def _given(self) -> None:
        self.is_given = True


def stored(path: Any, **arrays: Any) -> CheckpointSource:
    """Return an open object-based checkpoint of Variables with these global names."""
    nodes = {f"at_{name}": ckpt.Variable(a, name=name) for name, a in arrays.items()}
    return open_checkpoint(LOCAL, ckpt.Checkpoint(Node(**nodes)).write(path / "stored"))


def as_name_based(source: CheckpointSource) -> CheckpointSource:
    """Return the source as if its file held tensors under names and nothing else."""
    assert source.names
    source.graph = None
    return source


def given(source: CheckpointSource, *lives: Live, **options: Any) -> Any:
    """Restore the arrays, and return what each holds then."""
    restore_by_name(source, [live.target for live in lives], **options)
    assert all(live.is_given for live in lives)
    return [live.array.tolist() for live in lives]


@pytest.mark.parametrize("one_by_one", [False, True])
class TestGiving:
    """What fits is given, all at once or one by one."""

    def test_tensors_come_by_name(self, tmp_path, one_by_one):
        """Arrays of numbers, texts and nothing get the tensors of their names (R-31)."""
        arrays = {"a/w": np.arange(6.0).reshape(2, 3), "t": np.array(["x", "yy"], TEXT)}
        source = stored(tmp_path, **arrays, big=np.arange(LARGE), none=np.zeros((0, 2)))
        text = Live("t", np.array(["", ""], TEXT))
        lives = [Live("a/w", np.zeros((2, 3))), text, Live("none", np.ones((0, 2)))]
        big = Live("big", np.zeros(LARGE, np.int64))

        found = given(source, *lives, big, one_by_one=one_by_one)
        assert [[[0, 1, 2], [3, 4, 5]], ["x", "yy"], []] == found[:3]
        assert np.array_equal(np.arange(LARGE), big.array)

    def test_a_part_is_read_alone(self, tmp_path, one_by_one):
        """Slices of one larger tensor each get their part of it (R-31)."""
        source = stored(tmp_path, w=np.arange(12).reshape(3, 4))
        upper = Live("w", np.zeros((2, 4), int), (slice(0, 2), slice(0, 4)), (3, 4))
        lower = Live("w", np.zeros((1, 4), int), (slice(2, 3), slice(0, 4)), (3, 4))

        found = given(source, upper, lower, one_by_one=one_by_one)
        assert [[[0, 1, 2, 3], [4, 5, 6, 7]], [[8, 9, 10, 11]]] == found

    def test_casts_and_other_shapes_where_they_are_allowed(self, tmp_path, one_by_one):
        """`casting` and `shapes` mean what they mean in RestoreOptions."""
        source = stored(tmp_path, a=np.arange(4.0), b=np.array([1.5, 2.5]))
        lives = Live("a", np.zeros((2, 2))), Live("b", np.zeros(2, np.float32))
        options = {"shapes": "reshape", "casting": "same_kind", "one_by_one": one_by_one}

        assert [[[0, 1], [2, 3]], [1.5, 2.5]] == given(source, *lives, **options)


def test_one_by_one_is_one_thread(tmp_path, monkeypatch):
    """A sequential restore reads in the caller's thread, however large the values are."""
    source = stored(tmp_path, big=np.arange(LARGE, dtype=float))
    pools = []

    def counted(*args: Any, **kwargs: Any) -> ThreadPoolExecutor:
        pools.append(args)
        return ThreadPoolExecutor(*args, **kwargs)

    monkeypatch.setattr(fetch, "ThreadPoolExecutor", counted)
    given(source, Live("big", np.zeros(LARGE)), one_by_one=True)
    assert [] == pools
    given(source, Live("big", np.zeros(LARGE)))
    assert 1 == len(pools)


def test_one_by_one_asks_for_one_array_at_a_time(tmp_path):
    """A value has been handed over before the array of the next one is asked for."""
    source, order = stored(tmp_path, a=[1.0], b=[2.0], c=np.array("x", TEXT)), []

    def target(name: str, array: Any) -> NamedTarget:
        def asked() -> Any:
            order.append(f"array {name}")
            return array

        def told() -> None:
            order.append(f"given {name}")

        return NamedTarget(name, name, array.dtype, array.shape, None, asked, told)

    targets = [target("c", np.array("", TEXT)), target("a", np.zeros(1)), target("b", np.ones(1))]
    restore_by_name(source, targets, one_by_one=True)
    assert [f"{what} {name}" for name in "cab" for what in ("array", "given")] == order


class TestRefusing:
    """What does not fit changes nothing."""

    def test_missing_and_extra_names_are_listed(self, tmp_path):
        """The error says what is missing, what is extra, and how many matched (R-31)."""
        source = as_name_based(stored(tmp_path, a=[1.0], w_1=[1.0, 2.0], c=[3]))
        live = Live("a", [0.0])
        with pytest.raises(ckpt.TensorNotFoundError) as raised:
            given(source, live, Live("w", [0.0, 0.0]))

        message = str(raised.value)
        assert "1 of 2 names are not in the checkpoint; 1 matched. Nothing was assigned." in message
        assert (
            "missing: live/w float64 (2,): the checkpoint has no tensor of the name 'w'" in message
        )
        assert "it holds 'w_1'. Renamed?" in message
        assert "extra: w_1 float64 (2,)" in message
        assert "extra: c int64 (1,)" in message
        assert "object-based" not in message
        report = raised.value.report
        assert (["live/w"], ["w_1", "c"]) == (
            [entry.path for entry in report.missing],
            [entry.path for entry in report.unused],
        )
        assert ([0], False) == (live.array.tolist(), live.is_given)

    def test_of_an_object_based_file_it_says_what_the_names_are(self, tmp_path):
        """Its Variables' global names are used; the library's save counter is never extra."""
        checkpoint = ckpt.Checkpoint(w=ckpt.Variable([1.0], name="w"))
        source = open_checkpoint(LOCAL, checkpoint.save(tmp_path / "stored"))
        with pytest.raises(ckpt.TensorNotFoundError, match="global names that its Var") as raised:
            given(source, Live("v", [0.0]))
        assert "Checkpoint.restore()" in str(raised.value)
        assert "save_counter" not in str(raised.value)

    def test_a_name_of_two_variables_is_refused(self, tmp_path):
        """Where several Variables had one global name, nobody can know which is meant."""
        twice = Node(a=ckpt.Variable([1.0], name="w"), b=ckpt.Variable([2.0], name="w"))
        source = open_checkpoint(LOCAL, ckpt.Checkpoint(twice).write(tmp_path / "stored"))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="2 Variables of the checkpoint"):
            given(source, Live("w", [0.0]))

    def test_all_misfits_are_named_and_nothing_is_assigned(self, tmp_path):
        """Shapes, dtypes and parts of another whole are checked before the first byte is read."""
        source = stored(tmp_path, a=[1.0], b=[1.0, 2.0], c=[1.0], d=np.zeros((2, 2)))
        fits, part = Live("a", [0.0]), Live("d", [[0.0]], (slice(0, 1), slice(0, 1)), (3, 1))
        with pytest.raises(ckpt.IncompatibleCheckpointError) as raised:
            given(source, fits, Live("b", [0.0]), Live("c", [0]), part, shapes="reshape")

        assert ["live/b", "live/c", "live/d"] == [m.path for m in raised.value.mismatches]
        assert "live/b: the checkpoint holds float64 (2,), the program float64 (1,)" in str(
            raised.value
        )
        assert "a part of float64 (3, 1)" in str(raised.value)
        assert ([0], False) == (fits.array.tolist(), fits.is_given)

    @pytest.mark.parametrize("one_by_one", [False, True])
    def test_damage_says_what_was_assigned(self, tmp_path, one_by_one):
        """The report of the error lists exactly the arrays that were written to (R-31)."""
        arrays = {"a": np.arange(LARGE / 8), "b": np.arange(LARGE / 8), "t": np.array("x", TEXT)}
        source = stored(tmp_path, **arrays)
        source.close()
        (shard,) = tmp_path.glob("*data*")
        whole = bytearray(shard.read_bytes())
        whole[8 * LARGE // 8 + 100] ^= 1
        shard.write_bytes(whole)
        source = open_checkpoint(LOCAL, str(tmp_path / "stored"))
        lives = [
            Live(name, np.full(array.shape, -1.0)) for name, array in arrays.items() if name != "t"
        ]
        with pytest.raises(ckpt.CorruptCheckpointError) as raised:
            given(source, *lives, Live("t", np.array("", TEXT)), one_by_one=one_by_one)

        touched = [live.target.label for live in lives if (live.array != -1).any()]
        assert touched == [entry.path for entry in raised.value.report.restored]
        assert "live/a" in touched
        assert "Already assigned: live/a" in str(raised.value)

    def test_what_goes_through_a_copy_is_untouched_by_damage(self, tmp_path):
        """A damaged value that would be cast was assigned to nothing, so it is not listed."""
        stored(tmp_path, a=np.arange(LARGE / 8)).close()
        (shard,) = tmp_path.glob("*data*")
        shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
        live = Live("a", np.zeros(LARGE // 8, np.float32))
        with pytest.raises(ckpt.CorruptCheckpointError) as raised:
            given(open_checkpoint(LOCAL, str(tmp_path / "stored")), live, casting="same_kind")
        assert (0, []) == (live.array.any(), list(raised.value.report.restored))

    def test_verify_first_assigns_nothing_if_anything_is_damaged(self, tmp_path):
        """Damage in a value that nobody asked for counts too."""
        stored(tmp_path, a=[1.0], b=np.arange(100.0)).close()
        (shard,) = tmp_path.glob("*data*")
        whole = bytearray(shard.read_bytes())
        whole[-1] ^= 1
        shard.write_bytes(whole)
        live = Live("a", [0.0])
        with pytest.raises(ckpt.CorruptCheckpointError, match="Nothing was assigned"):
            given(open_checkpoint(LOCAL, str(tmp_path / "stored")), live, verify="first")
        assert ([0], False) == (live.array.tolist(), live.is_given)
