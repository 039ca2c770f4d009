"""What is said beside TensorFlow's object graph: it must fit the graph."""

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.errors import CheckpointError, CorruptCheckpointError, NotCheckpointableError
from checkpointable.format.records import NodeKind
from checkpointable.interop.tensorflow.annotations import (
    Annotations,
    GraphNotes,
    decode_annotations,
    encode_annotations,
)
from checkpointable.interop.tensorflow.graph import read_graph
from checkpointable.interop.tensorflow.graph_message import graph_message
from checkpointable.trackable.base import Variable
from tests.graph.models import Node
from tests.interop.tensorflow.models import stored_numbers
from tests.interop.tensorflow.test_graph_message import Point, State, taken


def sample() -> Node:
    """Return a root with something of every kind."""
    root = Node()
    root.items = [Variable(1.0, name="first"), object(), np.zeros(1)]
    root.point = Point(object(), Variable(2.0))
    root.table = {1: np.zeros(2), "text": np.array(["a"], object)}
    root.track("state", State())
    root.track("text", "plain")
    root.track("more", None)
    return root


WRITTEN = graph_message(taken(sample(), {"step": 3}))


def read(**changes: Any) -> None:
    """Read a graph whose annotations were changed."""
    annotations = decode_annotations(WRITTEN.annotations, "a file")
    assert annotations.graph is not None
    notes = attrs.evolve(annotations.graph, **changes)
    numbers, infos = stored_numbers(WRITTEN)
    read_graph(WRITTEN.graph, numbers, infos, "a file", attrs.evolve(annotations, graph=notes))


def notes() -> GraphNotes:
    """Return what is said of the sample."""
    graph = decode_annotations(WRITTEN.annotations, "a file").graph
    assert graph is not None
    return graph


def with_item(column: Any, place: int, value: int) -> Any:
    """Return a column with another number in one place."""
    changed = column.copy()
    changed[place] = value
    return changed


def test_annotations_come_back() -> None:
    """What is encoded is decoded."""
    annotations = Annotations({"step": 1}, ["a"], notes())
    again = decode_annotations(encode_annotations(annotations), "a file")

    assert encode_annotations(annotations) == encode_annotations(again)
    assert ({"step": 1}, ["a"]) == (again.metadata, again.texts)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda n: {"kinds": n.kinds[:-1]}, "the number of nodes is wrong"),
        (lambda n: {"label_numbers": n.label_numbers[1:]}, "the number of labels is wrong"),
        (lambda n: {"attributes": n.attributes[1:]}, "the number of values is wrong"),
        (lambda n: {"edges": n.edges[1:]}, "the number of edges is wrong"),
        (lambda n: {"hole_owners": n.hole_owners[1:]}, "the number of holes is wrong"),
        (lambda n: {"hole_names": []}, "the number of named holes is wrong"),
        (lambda n: {"hole_owners": n.hole_owners[::-1]}, "a hole lies outside of its node"),
        (lambda n: {"hole_owners": n.hole_owners + 99}, "the node of a hole is out of range"),
        (lambda n: {"label_numbers": n.label_numbers * 0 + 99}, "the number of a label"),
        (
            lambda n: {"attributes": with_item(n.attributes, 0, 177)},
            "a value is of an unknown kind",
        ),
        (lambda n: {"attributes": with_item(n.attributes, 0, 7)}, "unknown AttributeKind"),
        (lambda n: {"kinds": with_item(n.kinds, 0, 99)}, "unknown NodeKind"),
        (lambda n: {"kinds": with_item(n.kinds, 0, NodeKind.NAMES)}, "name"),
        (lambda n: {"edges": with_item(n.edges, 0, 2)}, "is not its position"),
        (lambda n: {"edges": with_item(n.edges, 0, 1)}, "has an integer key"),
        (lambda n: {"attributes": n.attributes * 0 + 3}, "a python value"),
        (lambda n: {"attributes": np.where(n.attributes == 0, 4, n.attributes)}, "a state value"),
        (lambda n: {"attributes": n.attributes | 16}, "annotated as text and holds no strings"),
    ],
)
def test_annotations_that_do_not_fit(change: Any, match: str) -> None:
    """Each misfit is damage."""
    with pytest.raises(CorruptCheckpointError, match=match):
        read(**change(notes()))


def test_a_graph_needs_annotations_of_a_graph() -> None:
    """Those of a name-based checkpoint do not fit it."""
    numbers, infos = stored_numbers(WRITTEN)

    with pytest.raises(CorruptCheckpointError, match="say nothing of the object graph"):
        read_graph(WRITTEN.graph, numbers, infos, "a file", Annotations({}))


def test_values_do_not_share_a_tensor() -> None:
    """What this library writes has one for each."""
    numbers, infos = stored_numbers(WRITTEN)
    annotations = decode_annotations(WRITTEN.annotations, "a file")

    with pytest.raises(CorruptCheckpointError, match="belongs to two attributes"):
        read_graph(WRITTEN.graph, dict.fromkeys(numbers, 0), infos, "a file", annotations)


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"metadata": {}, "texts": []},
        {"metadata": {1: 2}, "texts": [], "graph": None},
        {"metadata": {}, "texts": [b"a"], "graph": None},
        {"metadata": {}, "texts": [], "graph": {}},
        {"metadata": {}, "texts": [], "graph": []},
    ],
)
def test_malformed_annotations(content: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else in the frames is damage."""
    monkeypatch.setattr(
        "checkpointable.interop.tensorflow.annotations.decode_record_file", lambda *_: content
    )

    with pytest.raises(CorruptCheckpointError, match="annotations of the checkpoint are malformed"):
        decode_annotations(b"", "a file")


@given(st.integers(0, len(WRITTEN.annotations) - 1), st.integers(1, 255))
def test_damage_is_found(place: int, change: int) -> None:
    """Every byte is covered by a checksum."""
    data = bytearray(WRITTEN.annotations)
    data[place] ^= change

    with pytest.raises(CheckpointError):
        decode_annotations(bytes(data), "a file")


@pytest.mark.parametrize("metadata", [{1: "a"}, {"a": object()}, {"a": bytes(17 * 2**20)}])
def test_metadata_that_cannot_be_stored(metadata: Any) -> None:
    """They are refused before anything is written."""
    with pytest.raises(NotCheckpointableError):
        encode_annotations(Annotations(metadata))
