"""Puts the annotations of a checkpoint and its object graph together (T-14)."""

from __future__ import annotations

import attrs
import numpy as np

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.frame import corrupt
from checkpointable.format.graph_rules import check_graph
from checkpointable.format.records import NOTHING, AttributeKind, Column, KeyKind, ObjectGraph
from checkpointable.interop.tensorflow.annotations import (
    EMPTY,
    HOLE,
    INTEGER_KEY,
    NAMED_HOLE,
    POSITION,
    TEXT,
    GraphNotes,
)
from checkpointable.names import VARIABLE_VALUE


def annotated(graph: ObjectGraph, notes: GraphNotes, file: str) -> ObjectGraph:
    """Return a graph with what is said beside it.

    Args:
        graph: as TensorFlow's message has it.
        notes: what is said of it.
        file: where both stand, for messages.

    Raises:
        CorruptCheckpointError: the two do not belong together, or make no graph of ours.
    """
    is_hole = notes.edges >= HOLE
    for what, said, there in (
        ("nodes", len(notes.kinds), len(graph)),
        ("labels", len(notes.label_numbers), len(graph)),
        ("values", len(notes.attributes), len(graph.attribute_names)),
        ("edges", int((~is_hole).sum()), len(graph.child_nodes)),
        ("holes", int(is_hole.sum()), len(notes.hole_owners)),
        ("named holes", int((notes.edges == NAMED_HOLE).sum()), len(notes.hole_names)),
    ):
        if said != there:
            raise _misfit(file, f"the number of {what} is wrong", there, said)
    if int(notes.attributes.max(initial=0)) >= 2 * EMPTY:
        raise _misfit(file, "a value is of an unknown kind", "below 64", notes.attributes.max())
    names = dict(zip(graph.names, range(len(graph.names)), strict=True))
    kinds = notes.attributes & np.uint8(TEXT - 1)
    attribute_names = graph.attribute_names.copy()
    attribute_names[kinds == AttributeKind.PYTHON] = names.setdefault(VARIABLE_VALUE, len(names))
    whole = attrs.evolve(
        graph,
        kinds=notes.kinds,
        labels=_labels(notes, names, file),
        attribute_names=attribute_names,
        attribute_kinds=kinds,
        key_kinds=(notes.edges == INTEGER_KEY).astype(np.uint8) * np.uint8(KeyKind.INTEGER),
        **_edges(graph, notes, names, file),
        names=list(names),
    )
    lengths = np.array([len(name.encode()) for name in names], np.uint32)
    check_graph(whole, lengths, file)
    return whole


def _labels(notes: GraphNotes, names: dict[str, int], file: str) -> Column:
    """Return the column of the type labels; they join the names."""
    numbers = [names.setdefault(label, len(names)) for label in notes.labels]
    table = np.array([*numbers, NOTHING], np.uint32)
    places = np.where(notes.label_numbers == NOTHING, len(numbers), notes.label_numbers)
    if places.max(initial=0) > len(numbers):
        raise _misfit(file, "the number of a label is out of range", len(numbers), places.max())
    return table[places]


def _edges(
    graph: ObjectGraph, notes: GraphNotes, names: dict[str, int], file: str
) -> dict[str, Column]:
    """Return the columns of the edges with the holes, of which TensorFlow's graph has none."""
    count, edges = len(graph), notes.edges
    is_hole = edges >= HOLE
    if len(edges) and int(edges.max()) > NAMED_HOLE:
        raise _misfit(file, "an edge is of an unknown kind", f"at most {NAMED_HOLE}", edges.max())
    if int(notes.hole_owners.max(initial=0)) >= count:
        raise _misfit(file, "the node of a hole is out of range", count, notes.hole_owners.max())
    counts = graph.child_counts + np.bincount(notes.hole_owners, minlength=count).astype(np.uint32)
    owners = np.repeat(np.arange(count, dtype=np.uint32), counts)
    if not np.array_equal(owners[is_hole], notes.hole_owners):
        raise _misfit(file, "a hole lies outside of its node")
    nodes, child_names = (np.full(len(edges), NOTHING, np.uint32) for _ in range(2))
    nodes[~is_hole], child_names[~is_hole] = graph.child_nodes, graph.child_names
    starts = np.cumsum(counts, dtype=np.int64) - counts
    positions = np.flatnonzero(edges == POSITION)
    expected = (positions - starts[owners[positions]]).tolist()
    found = child_names[positions].tolist()
    if any(graph.names[name] != str(place) for name, place in zip(found, expected, strict=True)):
        raise _misfit(file, "the name of an item of a list or tuple is not its position")
    child_names[positions] = NOTHING
    holes = [names.setdefault(name, len(names)) for name in notes.hole_names]
    child_names[edges == NAMED_HOLE] = holes
    return {"child_counts": counts, "child_nodes": nodes, "child_names": child_names}


def _misfit(
    file: str, what: str, expected: object = None, found: object = None
) -> CorruptCheckpointError:
    what = f"the annotations do not fit the object graph: {what}"
    return corrupt(file, "T-14", what, expected=expected, found=found)
