"""The walk, compared with a naive model, and what it refuses, passes over and attaches."""

import re
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given

from checkpointable.errors import NotCheckpointableError
from checkpointable.graph.walk import walk
from checkpointable.trackable.base import NoDependency, Trackable, Variable
from checkpointable.trackable.children import Kind
from tests.graph.models import Node, graphs, naive_walk


class Pair(NamedTuple):
    left: Any
    right: Any


class Declaring(Trackable):
    state_attributes = ("a", "b")


@given(graphs())
def test_the_walk_agrees_with_the_naive_model(root: Node) -> None:
    """Objects, their order, first paths and edges are those that a naive search finds."""
    found = walk(root)
    objects, paths, children = naive_walk(root)

    assert [id(o) for o in objects] == [id(o) for o in found.objects]
    assert paths == [found.paths.full(n) for n in range(len(objects))]
    assert children == [list(edges) for edges in found.children]


def test_shared_and_cyclic() -> None:
    """A shared object is one node with all its edges; an array too, a plain value never."""
    root, array = Declaring(), np.zeros(2)
    root.a, root.b = [array, root, 5, 5], {"again": array, "me": root}
    root.b["list"] = root.a
    found = walk(root)

    assert ["", "a", "b", "a/0", "a/2", "a/3"] == [found.paths.full(n) for n in range(6)]
    assert [[("a", 1), ("b", 2)], [(0, 3), (1, 0), (2, 4), (3, 5)]] == found.children[:2]
    assert [("again", 3), ("me", 0), ("list", 1)] == found.children[2]
    assert (3, None) == (found.number(array), found.number(5))


def test_kinds() -> None:
    """Each node has the kind of what stands there."""
    found = walk([np.zeros(1), np.int8(1), 1, [np.zeros(1)], (Variable(1),), {1: Variable(1)}, {1}])

    assert [
        Kind.LIST, Kind.ARRAY, Kind.SCALAR, Kind.PLAIN, Kind.LIST, Kind.TUPLE, Kind.DICT,
        Kind.PLAIN, Kind.ARRAY, Kind.TRACKABLE, Kind.TRACKABLE,
    ] == found.kinds  # fmt: skip


def test_containers_as_roots() -> None:
    """A list, tuple or dict can be the root, whatever it holds: all in it are children."""
    assert [[("a", 1), (2, 2)], (), ()] == walk({"a": 1, 2: []}).children
    assert [[(0, 1)], []] == walk([Node()]).children
    assert [("left", 1), ("right", 2)] == walk(Pair(1, None)).children[0]
    cyclic: list[Any] = [Node()]
    cyclic.append(cyclic)
    assert [(0, 1), (1, 0)] == walk(cyclic).children[0]
    with pytest.raises(NotCheckpointableError, match="the root is a int"):
        walk(3)


def test_attached_edges() -> None:
    """Further edges of the root come after its own; one with the same object is the same edge."""
    model, array = Node(), np.zeros(1)
    model.w = Variable(1)
    found = walk(model, [("x", array), ("w", model.w), ("y", array), ("n", 3)])

    assert [("w", 1), ("x", 2), ("y", 2), ("n", 3)] == found.children[0]
    assert [(0, 1), ("x", 2)] == walk([model], [("x", 1), ("0", model)]).children[0]
    with pytest.raises(ValueError, match=r"0: the root has a .*Node under this name"):
        walk([model], [("0", 1)])


def test_what_is_declared_and_cannot_be_stored() -> None:
    """The first such value is refused, with path, type and remedy."""
    root = Node()
    root.part = Declaring()
    root.part.a = [Variable(1), {"x/y": print}]
    found = walk(root)

    with pytest.raises(NotCheckpointableError, match=r"part/a/1 is a dict|x.Sy is a builtin") as e:
        found.refuse_unsupported()
    assert "part/a/1/x.Sy" == e.value.path
    assert "part/a/1/x.Sy is a builtin_function_or_method: " in str(e.value)
    assert "NoDependency" in str(e.value)


@pytest.mark.parametrize("how", ["attached", "root", "tracked", "shared", "cyclic"])
def test_what_is_state_through_and_through(how: str) -> None:
    """Unsupported items are refused wherever a container was declared, in whatever way."""
    items, root = [Node(), [Node(), print]], Node()
    attached: list[tuple[str, Any]] = []
    if how == "attached":
        attached = [("x", items)]
    elif how == "root":
        root = items  # type: ignore[assignment]
    elif how == "cyclic":
        items[1].append(items)
        root.track("x", items)
    elif how == "tracked":
        root.first = items  # not declared under this name
        root.track("second", items)
    else:
        root.first, root.other = items, Declaring()
        root.other.a = items

    with pytest.raises(NotCheckpointableError, match="builtin_function"):
        walk(root, attached).refuse_unsupported()


def test_undeclared_containers_leave_holes() -> None:
    """In a container that nobody declared, what cannot be stored is passed over and listed."""
    root = Node()
    root.items = [print, Node(), print]
    root.named = Pair(print, Node())
    root.dict = {"a": Node(), "b": print, (1, 2): 5}
    root.rate, root._hidden, root.off = 0.1, np.zeros(1), NoDependency(Variable(1))
    found = walk(root)
    found.refuse_unsupported()

    assert [[(1, 4)], [("right", 5)], [("a", 6)]] == found.children[1:4]
    assert {1: 3, 2: 2} == found.places
    assert [
        ("rate", "float", "nothing declares it"),
        ("_hidden", "numpy.ndarray", "nothing declares it"),
        ("items/0", "builtin_function_or_method", "it is neither"),
        ("items/2", "builtin_function_or_method", "it is neither"),
        ("named/left", "builtin_function_or_method", "it is neither"),
        ("dict/<a key of type tuple>", "int", "its key is no name"),
        ("dict/b", "builtin_function_or_method", "it is neither"),
    ] == [(u.path, u.type, re.split(r" \(|:| a Tr", u.reason)[0]) for u in found.untracked]


def test_keys_with_one_name_are_refused_with_their_path() -> None:
    """Two keys with one name: the error says where."""
    root = Node()
    root.part = {"x": {1: Node(), "1": Node()}}
    with pytest.raises(NotCheckpointableError, match=r"part/x: .*1 and '1'"):
        walk(root)


@pytest.mark.parametrize("name", ["x" * 4097, "\ud800"])
def test_names_that_no_checkpoint_can_hold(name: str) -> None:
    """A local name that is too long, or no text, is refused with the path of its owner."""
    root = Node()
    root.part = {name: Node()}
    with pytest.raises(NotCheckpointableError, match="part: ") as error:
        walk(root)
    assert "part" == error.value.path


def test_user_objects_are_never_hashed_or_compared() -> None:
    """Objects that cannot be hashed, and equal everything, are told apart by identity."""

    class Same(Trackable):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    root = Node()
    root.items = [Same(), Same(), {"a": Same()}]

    assert 6 == len(walk(root).objects)


def _chain(length: int) -> Node:
    root = node = Node()
    for _ in range(length):
        node.v, node.next = Variable(1.0), Node()
        node = node.next
    return root


def _peak(length: int) -> int:
    root = _chain(length)
    tracemalloc.start()
    found = walk(root)
    shown = found.paths.shown(len(found.objects) - 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2 * length + 1 == len(found.objects)
    assert len(shown) <= 200
    return peak


def test_a_long_chain_takes_linear_memory(figures: dict[str, str]) -> None:
    """A chain of 100,000 objects is walked without recursion, in memory linear in its length."""
    short, long = _peak(10_000), _peak(100_000)
    figures["walk over a chain of 100,000 objects, peak memory"] = f"{long / 2**20:.0f} MiB"

    assert long < 15 * short
