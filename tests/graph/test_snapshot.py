"""The snapshot: every node, edge and value of a walk, as records."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import AttributeKind, Blob, NodeKind, Snapshot
from checkpointable.format.strings import decode_strings
from checkpointable.format.values import decode_value
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from checkpointable.trackable.base import Trackable, Variable
from checkpointable.trackable.children import Kind
from checkpointable.trackable.state import PythonState
from tests.graph.models import Node, graphs


class Pair(NamedTuple):
    left: Any
    right: Any


KINDS = {
    Kind.TRACKABLE: NodeKind.OBJECT,
    Kind.LIST: NodeKind.LIST,
    Kind.TUPLE: NodeKind.TUPLE,
    Kind.DICT: NodeKind.DICT,
}


class State(PythonState):
    def __init__(self, data: Any) -> None:
        self.data = data

    def serialize(self) -> bytes:
        if isinstance(self.data, Exception):
            raise self.data
        return self.data

    def deserialize(self, data: bytes) -> None:
        self.data = data


class Own(Trackable):
    def __init__(self, tensors: Any) -> None:
        self._tensors = tensors

    def serialize_to_tensors(self) -> Any:
        return self._tensors


def taken(root: Any) -> Snapshot:
    """Return the snapshot of a root."""
    return take_snapshot(walk(root))


def values(snapshot: Snapshot, node: int) -> dict[str, tuple[AttributeKind, Any]]:
    """Return the attributes of a node with their values, decoded."""
    found = {}
    for attribute in snapshot.graph.attributes(node):
        number = attribute.value - len(snapshot.tensors)
        value: Any = snapshot.tensors[attribute.value] if number < 0 else snapshot.inline[number]
        if number >= 0:
            value = decode_value(value)
        found[attribute.name] = (attribute.kind, value)
    return found


@given(graphs())
def test_a_snapshot_says_what_the_walk_found(root: Node) -> None:
    """Kinds, children with their keys, and values of every node are those of the live graph."""
    found = walk(root)
    snapshot = take_snapshot(found)
    graph = snapshot.graph

    assert len(found.objects) == len(graph)
    assert sorted(set(graph.names)) == sorted(graph.names)
    for node, (kind, obj) in enumerate(zip(found.kinds, found.objects, strict=True)):
        assert KINDS.get(kind, NodeKind.VALUE) == graph.kind(node)
        assert [(str(name), child) for name, child in found.children[node]] == graph.children(node)
        assert [name for name, _ in found.children[node]] == graph.keys(node)
        held = values(snapshot, node)
        if isinstance(obj, Variable):
            assert (AttributeKind.VARIABLE, obj.value) == held["VARIABLE_VALUE"]
        elif isinstance(obj, np.ndarray):
            assert (AttributeKind.ARRAY, True) == (
                held["VARIABLE_VALUE"][0],
                held["VARIABLE_VALUE"][1] is obj,
            )
        elif isinstance(obj, np.generic):
            assert (AttributeKind.SCALAR, obj) == held["VARIABLE_VALUE"]
        elif kind is Kind.PLAIN:
            assert (AttributeKind.PYTHON, obj) == held["VARIABLE_VALUE"]
        else:
            assert {} == held


def test_keys_keep_their_types() -> None:
    """Integer keys of a dict stay integers; a text that looks like one stays a text."""
    graph = taken({1: Node(), "2": Node(), -3: 0}).graph

    assert [1, "2", -3] == graph.keys(0)


def test_positions_have_no_names() -> None:
    """Items of lists and tuples have no names; fields of a namedtuple, and attached edges, do."""
    graph = take_snapshot(walk([Node(), (Node(),), Pair(Node(), 1)], [("x", 2)])).graph

    assert {"left", "right", "x", "Node", "VARIABLE_VALUE", "Pair"} == set(graph.names)
    assert [0, 1, 2, "x"] == graph.keys(0)


def test_holes() -> None:
    """The place of an item that was not saved is kept, at the end of a list too."""
    root = Node()
    root.items, root.pair = [print, Node(), print], Pair(Node(), print)
    graph = taken(root).graph

    assert [("1", 3)] == graph.children(1)
    assert [0, 1, 2] == graph.keys(1)
    assert [("left", 4)] == graph.children(2)
    assert ["left", "right"] == graph.keys(2)


def test_labels_and_full_names() -> None:
    """Objects, and containers of a subclass, are labelled; a Variable's name is its full name."""

    class Mine(dict[str, Any]):
        pass

    root = Node()
    root.a, root.b = Mine(v=Variable(1, name="v/1")), [Variable(2)]
    graph = taken(root).graph

    labels = [graph.label(n) for n in range(len(graph))]
    assert [
        "Node",
        "test_labels_and_full_names.<locals>.Mine",
        None,
        "Variable",
        "Variable",
    ] == labels
    assert "v/1" == graph.attributes(3)[0].full_name
    assert graph.attributes(4)[0].full_name is None


def test_arrays_are_not_copied() -> None:
    """Arrays of any order are referred to; the arrays of Variables too."""
    array, variable = np.zeros((3, 4)).T[::2], Variable([1.0])
    snapshot = taken([array, variable])

    assert snapshot.tensors[0] is array
    assert snapshot.tensors[1] is variable.value


def test_strings() -> None:
    """Object arrays and StringDType arrays of text are encoded, and keep their shape."""
    texts = np.array([["a", b"b"]], object)
    snapshot = taken([texts, np.array(["ü"], "T"), Variable(["x"], "T")])
    blobs = [b for b in snapshot.tensors if isinstance(b, Blob)]

    assert [("string", (1, 2)), ("string", (1,)), ("string", (1,))] == [
        (b.dtype, b.shape) for b in blobs
    ]
    assert texts.tolist() == decode_strings(blobs[0].data, (1, 2), 2, "a file").tolist()


def test_large_plain_values_become_tensors() -> None:
    """An encoded plain value of more than 4 KiB is a tensor, a smaller one stands inline."""
    snapshot = taken({"small": "x" * 4000, "large": "x" * 5000, "after": 1})

    assert [4003, 1] == [len(data) for data in snapshot.inline]
    (blob,) = snapshot.tensors
    assert ("python", "x" * 5000) == (blob.dtype, decode_value(blob.data))
    assert [1, 0, 2] == [snapshot.graph.attributes(n)[0].value for n in (1, 2, 3)]


def test_python_state() -> None:
    """A PythonState gives its bytes, once; anything else is refused with its path."""
    snapshot = taken({"s": State(b"abc"), "m": State(bytearray(b"d"))})

    assert [Blob("bytes", (), b"abc"), Blob("bytes", (), b"d")] == snapshot.tensors
    assert AttributeKind.STATE is values(snapshot, 1)["py_state"][0]
    with pytest.raises(NotCheckpointableError, match="s serializes itself to a str"):
        taken({"s": State("text")})
    with pytest.raises(ZeroDivisionError) as error:
        taken({"s": State(ZeroDivisionError())})
    assert ["while saving s"] == error.value.__notes__


def test_own_tensors() -> None:
    """What `serialize_to_tensors` gives is stored under its names; callables are called once."""
    calls: list[int] = []

    def give() -> Any:
        calls.append(1)
        return [1, 2]

    snapshot = taken({"o": Own({"a/b": np.ones(1), "c": give, "d": Variable(3), "e": 2.5})})
    held = values(snapshot, 1)

    assert [1] == calls
    assert {"a/b": [1], "c": [1, 2], "d": 3, "e": 2.5} == {
        k: v.tolist() for k, (_, v) in held.items()
    }
    assert {AttributeKind.TENSOR} == {kind for kind, _ in held.values()}


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ([1], "o gives something else than a mapping"),
        ({1: 2}, "o gives something else than a mapping"),
        ({"a": print}, "o/.ATTRIBUTES/a: the array is of dtype object|print"),
        ({"a": np.ma.masked_array([1])}, r"o/.ATTRIBUTES/a: masked"),
        ({"a": [[1], [1, 2]]}, "o/.ATTRIBUTES/a: it is a list, which is no array"),
        ({"x" * 5000: 1}, "4,096"),
    ],
)
def test_own_tensors_that_cannot_be_stored(tensors: Any, match: str) -> None:
    """What is no mapping of storable arrays is refused with path and attribute."""
    with pytest.raises((NotCheckpointableError, TypeError), match=match):
        taken({"o": Own(tensors)})


def test_a_variable_without_a_value_is_refused() -> None:
    """A Variable that was never assigned cannot be saved; the error has its path."""
    with pytest.raises(NotCheckpointableError, match="w is a Variable without a value") as error:
        taken({"w": Variable(shape=(2,))})
    assert "w" == error.value.path


def test_plain_values_that_cannot_be_encoded_are_refused_with_their_path() -> None:
    """What the format refuses in a plain value is told with the path."""
    key: Any = ()
    for _ in range(50):
        key = (key,)
    with pytest.raises(NotCheckpointableError, match="a/b cannot be stored") as error:
        taken({"a": {"b": {key: 1}, "v": Variable(1)}})
    assert "a/b" == error.value.path


def test_declared_and_unsupported_is_refused() -> None:
    """A snapshot refuses what the walk listed as declared and unsupported."""
    with pytest.raises(NotCheckpointableError, match="a is a builtin_function"):
        taken({"a": print})


def test_metadata() -> None:
    """Metadata are passed on."""
    assert {"run": 7} == dict(take_snapshot(walk(Node()), {"run": 7}).metadata)
