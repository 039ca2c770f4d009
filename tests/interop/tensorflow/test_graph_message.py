"""The object graph as TensorFlow's message: it comes back as it was."""

from typing import Any, NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import given

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import AttributeKind, NodeKind, Snapshot
from checkpointable.format.values import decode_value
from checkpointable.graph.named import named_snapshot
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from checkpointable.interop.tensorflow.annotations import decode_annotations
from checkpointable.interop.tensorflow.graph import StoredGraph, read_graph
from checkpointable.interop.tensorflow.graph_message import (
    GraphMessage,
    graph_message,
    name_annotations,
)
from checkpointable.interop.tensorflow.messages import message
from checkpointable.trackable.base import Trackable, Variable
from checkpointable.trackable.slots import SlotTrackable
from checkpointable.trackable.state import PythonState
from tests.graph.models import Node, graphs
from tests.interop.tensorflow.models import stored_numbers

PLAIN = (3, -(2**63), 2.5, True, "tëxt", "", 2**63, None, b"raw", [1, "a"], "half \ud800", 1j)


class Point(NamedTuple):
    """A tuple with names."""

    x: Any
    y: Any


class State(PythonState):
    """Something that gives bytes."""

    def serialize(self) -> bytes:
        """Return them."""
        return b"\xff state"

    def deserialize(self, data: bytes) -> None:
        """Take them."""


class Custom(Trackable):
    """An object that gives tensors under odd names."""

    def serialize_to_tensors(self) -> dict[str, Any]:
        """Return them."""
        return {"plain": np.float32(1), "with/slash": np.int64(2), "with.dot": np.array(["x"], "O")}


def taken(root: Any, metadata: dict[str, Any] | None = None) -> Snapshot:
    """Return the snapshot of a live root."""
    return take_snapshot(walk(root), metadata)


def reread(written: GraphMessage, *, annotated: bool = True) -> tuple[StoredGraph, dict[int, int]]:
    """Read what was written; also the numbers that tensors then have, by those they had."""
    numbers, infos = stored_numbers(written)
    notes = decode_annotations(written.annotations, "a file") if annotated else None
    stored = read_graph(written.graph, numbers, infos, "a file", notes)
    return stored, {t.number: numbers[t.key] for t in written.tensors}


def rows(graph: Any, values: Any) -> list[Any]:
    """Return all that a graph says of each node."""
    return [
        (
            graph.kind(node),
            graph.label(node),
            graph.children(node),
            graph.keys(node),
            [(a.name, a.kind, values(a.value), a.full_name) for a in graph.attributes(node)],
        )
        for node in range(len(graph))
    ]


@given(graphs())
def test_a_graph_comes_back_exactly(root: Trackable) -> None:
    """Kinds, labels, edges, keys, holes, values and names are those of the snapshot."""
    snapshot = taken(root, {"step": 3})
    written = graph_message(snapshot)
    stored, numbers = reread(written)
    count = len(snapshot.tensors)
    back = {there: here for here, there in numbers.items() if here >= 0}

    assert rows(snapshot.graph, lambda v: min(v, count)) == rows(
        stored.graph, lambda v: back.get(v, count)
    )
    assert snapshot.graph.slot_variables() == stored.graph.slot_variables()
    assert {"step": 3} == stored.metadata
    assert () == tuple(stored.unclear)


@pytest.mark.parametrize("value", PLAIN)
def test_plain_values(value: Any) -> None:
    """An int, float, bool or str becomes a scalar of its kind; others are encoded."""
    root = Node()
    root.track("v", value)
    written = graph_message(taken(root))
    stored, _ = reread(written)
    (tensor,) = written.tensors
    is_scalar = type(value) in (bool, int, float, str) and value not in (2**63, PLAIN[-2])

    assert is_scalar == ("v/.ATTRIBUTES/VARIABLE_VALUE" == tensor.key)
    assert is_scalar or "v/.ATTRIBUTES/py_state" == tensor.key
    assert ({} if is_scalar else {0: "python"}) == stored.tensor_dtypes
    assert (frozenset({0}) if isinstance(value, str) and is_scalar else frozenset()) == stored.texts
    if not is_scalar:
        assert value == decode_value(tensor.tensor.data)
    elif isinstance(value, str):
        assert value.encode() == tensor.tensor.data
    else:
        assert value == tensor.tensor.item()
        assert {bool: "bool", int: "int64", float: "float64"}[type(value)] == str(
            tensor.tensor.dtype
        )


def test_keys_are_spelled_as_tensorflow_looks_for_them() -> None:
    """Names are escaped once in paths, and those of an object's own tensors once in keys."""
    root = Node()
    root.track("a/b", {"c.d": Variable(1.0), 7: np.zeros(2)})
    root.track("custom", Custom())
    root.track("state", State())
    written = graph_message(taken(root))
    whole = message("TrackableObjectGraph").FromString(written.graph)

    assert [
        "custom/.ATTRIBUTES/plain",
        "custom/.ATTRIBUTES/with.Sslash",
        "custom/.ATTRIBUTES/with..dot",
        "state/.ATTRIBUTES/py_state",
        "a.Sb/c..d/.ATTRIBUTES/VARIABLE_VALUE",
        "a.Sb/7/.ATTRIBUTES/VARIABLE_VALUE",
    ] == [tensor.key for tensor in written.tensors]
    assert ["plain", "with.Sslash", "with..dot"] == [a.name for a in whole.nodes[2].attributes]
    assert ["c.d", "7"] == [child.local_name for child in whole.nodes[1].children]


def test_holes_are_left_out_of_tensorflows_graph() -> None:
    """The others keep their positions and names."""
    root = Node()
    root.items = [Variable(1.0), object(), np.zeros(1), object()]
    root.point = Point(object(), Variable(2.0))
    written = graph_message(taken(root))
    whole = message("TrackableObjectGraph").FromString(written.graph)
    stored, _ = reread(written)

    assert ["0", "2"] == [child.local_name for child in whole.nodes[1].children]
    assert ["y"] == [child.local_name for child in whole.nodes[2].children]
    assert [0, 1, 2, 3] == stored.graph.keys(1)
    assert ["x", "y"] == stored.graph.keys(2)


def test_what_leads_to_values_says_so() -> None:
    """TensorFlow lets nothing wait for nodes that say they have none."""
    root = Node()
    root.full, root.empty = Node(), Node()
    root.full.w, root.empty.me = Variable(1.0), root.empty
    whole = message("TrackableObjectGraph").FromString(graph_message(taken(root)).graph)

    assert [True, True, False, True] == [node.has_checkpoint_values.value for node in whole.nodes]


def test_slot_variables() -> None:
    """They are no children; their optimizer has values because of them."""
    root, optimizer = Node(), SlotTrackable()
    root.net, root.adam = Node(), optimizer
    root.net.w = Variable(1.0)
    optimizer.add_slot(root.net.w, "a/m")
    snapshot = taken(root)
    written = graph_message(snapshot)
    whole = message("TrackableObjectGraph").FromString(written.graph)
    stored, _ = reread(written)

    assert [True] * 5 == [node.has_checkpoint_values.value for node in whole.nodes]
    assert "net/w/.OPTIMIZER_SLOT/adam/a.Sm/.ATTRIBUTES/VARIABLE_VALUE" == written.tensors[1].key
    assert snapshot.graph.slot_variables() == stored.graph.slot_variables()


def test_strings_say_whether_they_are_text() -> None:
    """Arrays of str and of bytes are told apart, which TensorFlow does not do."""
    root = Node()
    root.track("text", np.array(["a", "é"], object))
    root.track("raw", np.array([b"a", b"\xff"], object))
    written = graph_message(taken(root))
    stored, numbers = reread(written)

    assert frozenset({numbers[0]}) == stored.texts


def test_mixed_strings_are_refused() -> None:
    """An array of both str and bytes would not come back as it was."""
    root = Node()
    root.track("mixed", np.array(["a", b"b"], object))

    with pytest.raises(NotCheckpointableError, match="mixed: an array holds both str and bytes"):
        graph_message(taken(root))
    with pytest.raises(NotCheckpointableError, match="mixed: an array holds both str and bytes"):
        name_annotations(named_snapshot({"mixed": np.array(["a", b"b"], object)}))


def test_two_values_of_one_key_are_refused() -> None:
    """A child without a name has the keys of the root."""
    root = Custom()
    inner = Custom()
    root.track("", inner)

    with pytest.raises(NotCheckpointableError, match="two values have the key"):
        graph_message(taken(root))


@pytest.mark.parametrize("names", [(".ATTRIBUTES",), ("a.ATTRIBUTES", "b")])
def test_names_that_tensorflow_cannot_restore_are_refused(names: tuple[str, ...]) -> None:
    """TensorFlow would look for the value behind the wrong part of its key."""
    value: Any = Variable(1.0)
    for name in reversed(names):
        outer = Node()
        outer.track(name, value)
        value = outer

    with pytest.raises(NotCheckpointableError, match="TensorFlow cannot restore what lies behind"):
        graph_message(taken(value))


def test_the_same_graph_gives_the_same_bytes() -> None:
    """No clock and no random numbers."""
    root = Node()
    root.track("w", [Variable(1.0, name="w"), {"a": 1}])

    assert (
        attrs.astuple(graph_message(taken(root)), recurse=False)[1:]
        == attrs.astuple(graph_message(taken(root)), recurse=False)[1:]
    )


def test_without_annotations_every_node_is_an_object() -> None:
    """What TensorFlow does not store is not guessed."""
    root = Node()
    root.track("items", [Variable(1.0, name="first"), np.zeros(2), 7])
    root.track("state", State())
    stored, _ = reread(graph_message(taken(root)), annotated=False)
    graph = stored.graph

    assert {NodeKind.OBJECT} == {graph.kind(node) for node in range(len(graph))}
    assert ["0", "1", "2"] == graph.keys(1)
    assert [AttributeKind.STATE] == [a.kind for a in graph.attributes(2)]
    assert [AttributeKind.VARIABLE] * 3 == [graph.attributes(n)[0].kind for n in (3, 4, 5)]
    assert "first" == graph.attributes(3)[0].full_name


@pytest.mark.parametrize(
    ("values", "metadata", "texts"),
    [
        ({"w": np.zeros(1)}, {}, None),
        ({"w": np.zeros(1)}, {"step": 1}, []),
        ({"w": np.array(["a"], object), "b": np.array([b"a"], object)}, {}, ["w"]),
    ],
)
def test_name_based_checkpoints_have_annotations_where_they_must(
    values: dict[str, Any], metadata: dict[str, Any], texts: list[str] | None
) -> None:
    """Those of text or with metadata."""
    data = name_annotations(named_snapshot(values, metadata))

    if texts is None:
        assert data is None
    else:
        assert data is not None
        annotations = decode_annotations(data, "a file")
        assert (metadata, texts, None) == attrs.astuple(annotations, recurse=False)
