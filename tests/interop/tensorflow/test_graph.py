"""Reading TensorFlow's object graph: what it says, and what is wrong with it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.records import TensorInfo
from checkpointable.format.source import Unclear
from checkpointable.interop.tensorflow.graph import StoredGraph, read_graph
from checkpointable.interop.tensorflow.messages import message

WEIGHT = "a/.ATTRIBUTES/VARIABLE_VALUE"
KEYS = {WEIGHT: 0, "t/.ATTRIBUTES/table-keys": 1}
KEYS |= {"t/.ATTRIBUTES/table-values": 2, "s/.ATTRIBUTES/py_state": 3}
INFOS = [
    TensorInfo("float32", (2,)),
    TensorInfo("string", (3,)),
    TensorInfo("int64", (3,)),
    TensorInfo("string", ()),
]


def graph(*nodes: dict[str, Any]) -> Any:
    """Return a message of nodes: children by name, (name, key) pairs of values, slots."""
    whole = message("TrackableObjectGraph")()
    for given_node in nodes:
        node = whole.nodes.add()
        for name, child in given_node.get("children", ()):
            node.children.add(local_name=name, node_id=child)
        for name, key in given_node.get("values", ()):
            node.attributes.add(name=name, checkpoint_key=key)
        for variable, name, own in given_node.get("slots", ()):
            node.slot_variables.add(
                original_variable_node_id=variable, slot_name=name, slot_variable_node_id=own
            )
    return whole


def read(whole: Any) -> StoredGraph:
    """Return what is read of a message."""
    return read_graph(whole.SerializeToString(), KEYS, INFOS, "a file")


def test_cycles_and_shared_nodes() -> None:
    """Edges that lead back, to the node itself, or twice to one node are edges like others."""
    stored = read(
        graph({"children": [("a", 1), ("b", 1), ("me", 0)]}, {"children": [("up", 0), ("", 1)]})
    )

    assert [("a", 1), ("b", 1), ("me", 0)] == stored.graph.children(0)
    assert [("up", 0), ("", 1)] == stored.graph.children(1)
    assert () == tuple(stored.unclear)


def test_lookup_tables() -> None:
    """A value whose key is in the index with two endings is two tensors."""
    stored = read(graph({"values": [("table", "t/.ATTRIBUTES/table")]}))

    assert [("table-keys", 1), ("table-values", 2)] == [
        (a.name, a.value) for a in stored.graph.attributes(0)
    ]


def test_states() -> None:
    """A scalar string called py_state is what an object said of itself; no other tensor is."""
    key = "s/.ATTRIBUTES/py_state"

    assert {3: "bytes"} == read(graph({"values": [("py_state", key)]})).tensor_dtypes
    assert {} == read(graph({"values": [("other", key)]})).tensor_dtypes
    assert {} == read(graph({"values": [("py_state", WEIGHT)]})).tensor_dtypes


def test_a_value_without_a_tensor_is_unclear() -> None:
    """It is left out of the graph, and the reason is told."""
    stored = read(graph({"children": [("w", 1)]}, {"values": [("VARIABLE_VALUE", "w/x")]}))

    assert [] == stored.graph.attributes(1)
    assert [(1, "the value 'w/x'")] == [(u.node, u.what) for u in stored.unclear]
    assert "holds no tensor under that key" in stored.unclear[0].reason


def test_the_state_of_an_iterator_is_unclear() -> None:
    """The graph calls it ITERATOR, its key has more behind that; the reason says what it is."""
    whole = graph({"values": [("ITERATOR", "it")]}).SerializeToString()
    (unclear,) = read_graph(whole, {"it_STATE": 0}, INFOS, "a file").unclear

    assert "the value 'it'" == unclear.what
    assert unclear.reason.startswith("it is the state of an iterator of tf.data")


def test_what_a_registered_saver_wrote_is_unclear() -> None:
    """Only the program that registered it knows what it wrote."""
    whole = graph({})
    whole.nodes[0].registered_saver.name = "Custom.Part"
    (unclear,) = read(whole).unclear

    assert (0, "what the registered saver 'Custom.Part' wrote") == (unclear.node, unclear.what)


@pytest.mark.parametrize("key", [WEIGHT, "nothing"])
def test_optional_values_are_left_out(key: str) -> None:
    """Old files hold descriptions of Keras objects that nobody need restore."""
    whole = graph({"values": [("OBJECT_CONFIG_JSON", key)]})
    whole.nodes[0].attributes[0].optional_restore = True

    assert ([], ()) == (read(whole).graph.attributes(0), tuple(read(whole).unclear))


def test_of_two_children_with_one_name_the_first_counts() -> None:
    """It is told where the second is another one."""
    same = read(graph({"children": [("a", 1), ("a", 1), ("b", 1)]}, {}))
    other = read(graph({"children": [("a", 1), ("b", 2), ("a", 2)]}, {}, {}))

    assert [("a", 1), ("b", 1)] == same.graph.children(0)
    assert () == tuple(same.unclear)
    assert [("a", 1), ("b", 2)] == other.graph.children(0)
    assert [(0, "a second child 'a'")] == [(u.node, u.what) for u in other.unclear]


def test_values_that_nothing_leads_to_are_unclear() -> None:
    """A restore could never reach them."""
    (unclear,) = read(graph({}, {"values": [("VARIABLE_VALUE", WEIGHT)]})).unclear

    assert (1, "the values of node 1") == (unclear.node, unclear.what)


def test_slot_variables() -> None:
    """They hang on the optimizer's node, and nothing else need lead to them."""
    variable = {"values": [("VARIABLE_VALUE", WEIGHT)]}
    stored = read(
        graph(
            {"children": [("adam", 1), ("w", 2)]}, {"slots": [(2, "m", 3), (2, "v", 4)]},
            variable, variable, variable,
        )
    )  # fmt: skip

    assert [(1, 2, "m", 3), (1, 2, "v", 4)] == [
        (s.optimizer, s.variable, s.slot_name, s.slot_variable)
        for s in stored.graph.slot_variables()
    ]
    assert () == tuple(stored.unclear)


def test_names_are_unescaped_once() -> None:
    """TensorFlow escapes the names of an object's own tensors in the graph already."""
    whole = graph({"values": [("with.Sslash", WEIGHT), ("a....b", "t/.ATTRIBUTES/table-keys")]})

    assert ["with/slash", "a..b"] == [a.name for a in read(whole).graph.attributes(0)]


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([], "has no nodes"),
        ([{"children": [("a", 1)]}], "a child is out of range: expected 0 to 0, found 1"),
        ([{"children": [("a", -1)]}], "a child is out of range"),
        ([{"slots": [(5, "m", 0)]}], "the node of a slot variable is out of range"),
        ([{"slots": [(0, "m", 0)]}], "its own variable or optimizer"),
        (
            [{"slots": [(1, "m", 2)]}, {}, {}],
            "no edge leads to the variable or optimizer of a slot variable",
        ),
        (
            [{"children": [("w", 1)], "slots": [(1, "m", 2), (1, "m", 3)]}, {}, {}, {}],
            "two slot variables of one name",
        ),
        (
            [{"values": [("x", WEIGHT), ("x", "t/.ATTRIBUTES/table-keys")]}],
            "two values of node 0 have one name",
        ),
    ],
)
def test_graphs_that_are_none(nodes: list[dict[str, Any]], match: str) -> None:
    """Each is told with its rule."""
    with pytest.raises(CorruptCheckpointError, match=match) as caught:
        read(graph(*nodes))

    assert ("a file", "T-12") == (caught.value.file, caught.value.rule)


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x0a\x05abc", b"\x0a\x07\x0a\x05\x12\x03a\xffb", b"\x0a\x03\x0a\x01\x0a"]
)
def test_messages_that_are_none(data: bytes) -> None:
    """Cut short, of another structure, or with names that are no UTF-8."""
    with pytest.raises(CorruptCheckpointError, match="no TrackableObjectGraph message"):
        read_graph(data, KEYS, INFOS, "a file")


@given(st.data())
def test_damaged_messages_give_no_other_error(data: st.DataObject) -> None:
    """Whatever the bytes, there is a graph or it is damaged."""
    whole = bytearray(
        graph(
            {"children": [("a", 1), ("b", 2)], "slots": [(1, "m", 3)]},
            {"values": [("VARIABLE_VALUE", WEIGHT)]},
            {"values": [("table", "t/.ATTRIBUTES/table")], "children": [("up", 0)]},
            {"values": [("py_state", "s/.ATTRIBUTES/py_state")]},
        ).SerializeToString()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        stored = read_graph(bytes(whole), KEYS, INFOS, "a file")
    except CorruptCheckpointError:
        return

    assert all(0 <= node < len(stored.graph) for node in stored.graph.child_nodes.tolist())
    assert all(isinstance(unclear, Unclear) for unclear in stored.unclear)
