"""What differs between two graphs, compared with a naive model: a dict from paths to contents."""

import copy
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.comparison.compare import compare
from checkpointable.comparison.difference import ChangedValue, Difference, MovedValue, ValueSummary
from checkpointable.comparison.side import Side, live_side
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from checkpointable.trackable.base import Trackable, Variable
from tests.comparison.stored_slots import with_slots
from tests.comparison.test_addresses import node
from tests.graph.models import Node, graphs, naive_escape

Leaves = dict[tuple[str, ...], Any]

NAMES = st.sampled_from(["a", "b", "w", "x.y", "p/q"])
CONTENTS = st.sampled_from(
    [np.zeros(2), np.zeros(2, np.float32), np.ones(2), np.ones((2, 1)), np.arange(2), np.zeros(())]
)
LEAVES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), CONTENTS, max_size=7)


def difference(before: Any, after: Any) -> Difference:
    """Compare two live roots."""
    return compare(
        live_side(take_snapshot(walk(before)), "old"), live_side(take_snapshot(walk(after)), "new")
    )


def tree(leaves: Leaves) -> Trackable:
    """Return objects that lead to copies of these arrays."""
    root = node()
    inner: dict[tuple[str, ...], Trackable] = {(): root}
    for path, value in leaves.items():
        for depth in range(1, len(path)):
            if path[:depth] not in inner:
                inner[path[:depth]] = inner[path[: depth - 1]].track(path[depth - 1], node())
        inner[path[:-1]].track(path[-1], value.copy())
    return root


def is_tree(leaves: Leaves) -> bool:
    """Tell whether no leaf stands where another one passes through."""
    return not any(a != b and b[: len(a)] == a for a in leaves for b in leaves)


def by_path(leaves: Leaves) -> dict[str, tuple[Any, ...]]:
    """Return dtype, shape and bytes of each leaf by its escaped path."""
    return {
        "/".join(map(naive_escape, path)): (str(value.dtype), value.shape, value.tobytes())
        for path, value in leaves.items()
    }


@given(LEAVES.filter(is_tree), LEAVES.filter(is_tree))
def test_as_a_naive_model_finds_it(before: Leaves, after: Leaves) -> None:
    """Of what only one side has, as much as possible has moved; the rest was added or removed."""
    old, new = by_path(before), by_path(after)
    found = difference(tree(before), tree(after))

    assert {p for p in old if p in new and old[p] != new[p]} == {c.path for c in found.changed}
    assert {*old} - {*new} == {r.path for r in found.removed} | {m.old_path for m in found.moved}
    assert {*new} - {*old} == {a.path for a in found.added} | {m.path for m in found.moved}
    assert all(old[m.old_path] == new[m.path] for m in found.moved)
    gone = Counter(old[p] for p in old if p not in new)
    come = Counter(new[p] for p in new if p not in old)
    assert (gone & come).total() == len(found.moved)
    for entry in [*found.added, *(change.after for change in found.changed)]:
        assert new[entry.path][:2] == (entry.dtype, entry.shape)
    for entry in [*found.removed, *(change.before for change in found.changed)]:
        assert old[entry.path][:2] == (entry.dtype, entry.shape)
    assert bool(found) == (old != new)


@given(LEAVES.filter(is_tree), LEAVES.filter(is_tree))
def test_exchanging_the_sides_mirrors_the_difference(before: Leaves, after: Leaves) -> None:
    """What was added is removed then, what moved moves back, and what changed is as far apart."""
    one, two = difference(tree(before), tree(after)), difference(tree(after), tree(before))

    assert {*one.added} == {*two.removed}
    assert {*one.removed} == {*two.added}
    assert {(m.path, m.old_path) for m in one.moved} == {(m.old_path, m.path) for m in two.moved}
    assert {c.path: (c.before, c.after, c.largest) for c in one.changed} == {
        c.path: (c.after, c.before, c.largest) for c in two.changed
    }


@given(graphs())
def test_nothing_differs_from_itself(root: Trackable) -> None:
    """A graph of any kind, with shared objects and cycles, does not differ from itself."""
    found = difference(root, root)

    assert not found
    assert "old -> new: no difference" == str(found)


@given(st.lists(NAMES, unique=True, min_size=1), st.randoms())
def test_renames_are_moves(names: list[str], random: Any) -> None:
    """Whatever is renamed is found again by its content, wherever it went."""
    leaves = {("old", name): np.array([i, 7]) for i, name in enumerate(names)}
    mixed = random.sample(names, len(names))
    renamed = {("new", "deep", mixed[i]): value for i, value in enumerate(leaves.values())}
    found = difference(tree(leaves), tree(renamed))

    expected = dict(zip(by_path(renamed), by_path(leaves), strict=True))
    assert expected == {m.path: m.old_path for m in found.moved}
    assert ([], [], []) == (found.added, found.removed, found.changed)


def test_equal_contents_stay_with_their_names() -> None:
    """A hundred arrays of zeros in a renamed subtree are each found under their own name."""
    before = {("encoder", str(i), name): np.zeros(3) for i in range(50) for name in ("b", "scale")}
    after = {("model", "enc", i, name): value for (_, i, name), value in before.items()}
    found = difference(tree(before), tree(dict(reversed(after.items()))))

    expected = {f"encoder/{i}/{n}": f"model/enc/{i}/{n}" for _, i, n in before}
    assert expected == {m.old_path: m.path for m in found.moved}


@pytest.mark.parametrize("empty", [None, (), {}, [], np.zeros((0, 3)), np.array([], object)])
def test_what_is_empty_moves_only_under_its_name(empty: Any) -> None:
    """None and empty things are everywhere: another one elsewhere is taken for the same by name."""
    another = copy.copy(empty)  # One array under two names would be one value.
    found = difference(node(a=node(x=empty, y=1)), node(b=node(x=empty, z=another, y=1)))

    assert [("b/x", "a/x"), ("b/y", "a/y")] == [(m.path, m.old_path) for m in found.moved]
    assert ["b/z"] == [entry.path for entry in found.added]
    assert not difference(node(a=empty), node(b=empty)).moved


def test_the_order_of_names_is_no_difference() -> None:
    """Where two names lead to one object, it does not matter which of them came first."""
    shared = node(w=Variable([1.0, 2.0]), step=1)
    assert not difference(node(x=shared, y=shared), node(y=shared, x=shared))

    other = node(w=Variable([1.0, 5.0]), step=1)
    (change,) = difference(node(x=shared, y=shared), node(y=other, x=other)).changed
    assert ("x/w", "y/w", 3.0) == (change.before.path, change.path, change.largest)


@given(graphs(), st.randoms())
def test_no_order_of_names_is_a_difference(root: Trackable, random: Any) -> None:
    """Whatever is shared, and under however many names: no order of attributes matters."""
    graph = take_snapshot(walk(root))
    for obj in walk(root).objects:
        if type(obj) is Node:
            children = dict(obj.trackable_children())
            for name in random.sample([*children], len(children)):
                delattr(obj, name)
                obj.track(name, children[name])

    assert not compare(live_side(graph, "old"), live_side(take_snapshot(walk(root)), "new"))


def test_what_is_shared_now_is_removed() -> None:
    """Two arrays that become one under both names: one of them is gone, whichever comes first."""
    one, two = np.zeros(2), np.ones(2)
    for after in (node(x=two, y=two), node(y=two, x=two)):
        found = difference(node(x=one, y=two), after)
        assert 1 == len(found.removed) + len(found.moved)
        assert [] == found.added
    assert ["x"] == [entry.path for entry in difference(node(x=one, y=two), after).removed]


def test_what_is_no_longer_shared_is_added() -> None:
    """One array under two names that becomes two arrays: the second is another value."""
    shared = np.zeros(2)
    found = difference(node(x=shared, y=shared), node(x=shared, y=shared.copy()))

    assert ["y"] == [entry.path for entry in found.added]
    assert ([], [], []) == (found.removed, found.changed, found.moved)


@pytest.mark.parametrize(
    ("before", "after", "largest", "line"),
    [
        (np.zeros(3), np.array([0, 2.5, -1]), 2.5, "x float64 (3,), largest difference 2.5"),
        (Variable([1, 2]), np.array([1, 5]), 3.0, "x int64 (2,), largest difference 3"),
        (np.ones(()), np.ones((), "f4"), 0.0, "x float64 () -> float32 (), largest difference 0"),
        (np.zeros(2), -np.zeros(2), 0.0, "x float64 (2,), largest difference 0"),
        (np.zeros(1), np.full(1, np.nan), np.nan, "x float64 (1,), largest difference nan"),
        (np.zeros(1), np.full(1, np.inf), np.inf, "x float64 (1,), largest difference inf"),
        (np.zeros(2), np.zeros(3), None, "x float64 (2,) -> float64 (3,)"),
        (np.zeros(2), np.zeros((2, 1)), None, "x float64 (2,) -> float64 (2, 1)"),
        (np.array(["a"]), np.array(["b"]), None, "x U1 (1,), other content"),
        (np.array(["a"], object), np.array([b"a"], object), None, "x string (1,), other content"),
        (np.zeros(1), np.array(["b"], object), None, "x float64 (1,) -> string (1,)"),
        (np.array(0, "M8[s]"), np.array(1, "M8[s]"), None, "x datetime64[s] (), other content"),
        (3, 5, None, "x: 3 -> 5"),
        (3, 3.0, None, "x: 3 -> 3.0"),
        (0.0, -0.0, None, "x: 0.0 -> -0.0"),
        (np.int64(3), 5, None, "x int64 () -> 5"),
        (True, 1, None, "x: True -> 1"),
        ([*range(9)], [*range(8)], None, "x: [0, 1, 2, 3, 4, 5, ...], other content"),
        ("a" * 9000, "b", None, f"x: '{'a' * 27}...{'a' * 28}' -> 'b'"),
    ],
)  # fmt: skip
def test_how_a_change_is_described(before: Any, after: Any, largest: Any, line: str) -> None:
    """A change says what was there and what is, and how far numbers are apart."""
    found = difference(node(x=before), node(x=after))
    (change,) = found.changed

    assert line == str(change)
    assert f"old -> new: 1 changed\nchanged:\n  {line}" == str(found)
    assert largest == pytest.approx(change.largest, nan_ok=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Variable([1.0]), np.array([1.0])), (np.array([1.0], ">f8"), np.array([1.0])),
        (np.float32(2), np.array(2, "f4")), (np.arange(6).reshape(2, 3).T.copy().T,
        np.arange(6).reshape(2, 3)), (np.array([np.nan]), np.array([np.nan])),
        (np.array(["é"], object), np.array(["é"], np.dtypes.StringDType())), ({2, 1}, {1, 2}),
        (np.zeros((0, 2)), np.ones((0, 2))),
    ],
)  # fmt: skip
def test_what_is_stored_alike_is_equal(before: Any, after: Any) -> None:
    """Kind of holder, byte order and layout in memory are no difference; nor are equal NaNs."""
    assert not difference(node(x=before), node(x=after))


def test_own_values_stand_under_their_names() -> None:
    """What an object serializes itself is named by its object and its own name."""

    class Own(Trackable):
        def __init__(self, **tensors: Any) -> None:
            self._tensors = tensors

        def serialize_to_tensors(self) -> dict[str, Any]:
            return self._tensors

    found = difference(node(o=Own(a=[1], b=[2])), node(o=Own(a=[4], c=[2])))

    assert [("o/.ATTRIBUTES/a", 3.0)] == [(c.path, c.largest) for c in found.changed]
    assert [("o/.ATTRIBUTES/b", "o/.ATTRIBUTES/c")] == [(m.old_path, m.path) for m in found.moved]


def test_the_tree() -> None:
    """The text groups the paths under what happened to them."""
    before = node(step=3, enc=node(w=Variable([1.0, 2.0]), b=Variable([0.0])), gone="x")
    after = node(step=4, encoder=node(w=Variable([1.0, 2.0]), b=Variable([0.5])), new=Variable(1))
    expected = """\
old -> new: 2 added, 2 removed, 1 moved, 1 changed
added:
  new int64 ()
  encoder/
    b float64 (1,)
removed:
  gone: 'x'
  enc/
    b float64 (1,)
moved:
  encoder/
    w float64 (2,), was enc/w
changed:
  step: 3 -> 4"""
    found = difference(before, after)

    assert expected == str(found)
    assert ["new int64 ()", "encoder/b float64 (1,)"] == [str(entry) for entry in found.added]
    assert ["encoder/w float64 (2,), was enc/w"] == [str(entry) for entry in found.moved]


def test_the_records() -> None:
    """Every entry is a record with its path and what stands there."""
    found = difference(
        {"a": np.zeros(2), "b": np.ones(1), "c": "x"}, {"a": np.ones(2), "d": np.ones(1), "e": 1}
    )
    a = ValueSummary("a", "float64", (2,))

    assert [ChangedValue("a", a, a, 1.0)] == found.changed
    assert [MovedValue("d", "b", "float64", (1,))] == found.moved
    assert [ValueSummary("c", text="'x'")] == found.removed
    assert [ValueSummary("e", text="1")] == found.added


def test_slot_variables_are_compared_by_their_slots() -> None:
    """What an optimizer keeps for a variable is compared, moved with it, added and removed."""

    def side(name: str, value: float, slot: str = "m", seen: float = 5.0) -> Side:
        root = node(**{name: Variable(value)}, adam=node(), s=Variable(seen))
        return live_side(with_slots(root, [(2, 1, slot, 3)]), "side")

    assert not compare(side("w", 1.0), side("w", 1.0))
    (change,) = compare(side("w", 1.0), side("w", 1.0, seen=7.0)).changed
    assert ("w/.OPTIMIZER_SLOT/adam/m", 2.0) == (change.path, change.largest)
    assert [("w/.OPTIMIZER_SLOT/adam/m", "w/.OPTIMIZER_SLOT/adam/v")] == [
        (m.old_path, m.path) for m in compare(side("w", 1.0), side("w", 1.0, slot="v")).moved
    ]
    assert {"w": "x", "w/.OPTIMIZER_SLOT/adam/m": "x/.OPTIMIZER_SLOT/adam/m"} == {
        m.old_path: m.path for m in compare(side("w", 1.0), side("x", 1.0)).moved
    }


def test_only_what_may_have_moved_is_read() -> None:
    """Of added and removed tensors those are read that have a counterpart of their kind."""
    before = live_side(
        take_snapshot(walk({"a": np.zeros(2), "b": np.zeros(3), "c": np.zeros((9, 9))})), "old"
    )
    after = live_side(
        take_snapshot(walk({"d": np.zeros(3), "e": np.zeros(4), "c": np.zeros((9, 8))})), "new"
    )
    read: list[tuple[int, ...]] = []

    def watched(side: Side) -> Side:
        def contents(numbers: Iterable[int]) -> Any:
            numbers = list(numbers)
            read.extend(info.shape for info in map(side.info, numbers) if info is not None)
            return side.contents(numbers)

        return attrs.evolve(side, contents=contents)

    found = compare(watched(before), watched(after))

    assert [(3,), (3,)] == read
    assert [("d", "b")] == [(m.path, m.old_path) for m in found.moved]


def test_a_path_beyond_200_characters_is_shortened() -> None:
    """Long paths are cut in the middle, as in reports."""
    (entry,) = difference(node(a=node()), node(a=node(**{"x" * 300: 1}))).added

    assert f"a/{'x' * 95} ... {'x' * 97}" == entry.path
