"""Graphs with slot variables, as a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from checkpointable.format.records import NOTHING, Column, ObjectGraph, Snapshot
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk

#: Optimizer, variable, slot name and slot variable.
Row = tuple[int, int, str, int]


def with_slots(root: Any, rows: Sequence[Row]) -> Snapshot:
    """Return the snapshot of a root whose last children are slot variables, and nothing else.

    Args:
        root: its last `len(rows)` children must be the last nodes of the walk.
        rows: the slots: node numbers of the walk.
    """
    snapshot = take_snapshot(walk(root))
    return attrs.evolve(snapshot, graph=_without_edges(snapshot.graph, rows))


def _without_edges(graph: ObjectGraph, rows: Sequence[Row]) -> ObjectGraph:
    """Return a graph in which slots lead to the last children of the root, and no edges do."""
    end = int(graph.child_counts[0])
    gone = slice(end - len({row[3] for row in rows}), end)
    counts = graph.child_counts.copy()
    counts[0] = gone.start
    names = [*graph.names, *(name for _, _, name, _ in rows)]
    slots = [(o, v, len(graph.names) + i, s) for i, (o, v, _, s) in enumerate(rows)]
    return _compacted(
        attrs.evolve(
            graph,
            names=names,
            child_counts=counts,
            child_nodes=np.delete(graph.child_nodes, gone),
            child_names=np.delete(graph.child_names, gone),
            key_kinds=np.delete(graph.key_kinds, gone),
            slots=np.array(slots, np.uint32).reshape(-1),
        )
    )


def _compacted(graph: ObjectGraph) -> ObjectGraph:
    """Return a graph whose table of names holds each name that is used, once."""
    numbers: dict[str, int] = {}

    def renumbered(column: Column) -> Column:
        texts = [None if n == NOTHING else graph.names[n] for n in column.tolist()]
        found = [NOTHING if t is None else numbers.setdefault(t, len(numbers)) for t in texts]
        return np.array(found, np.uint32)

    columns = ("labels", "child_names", "attribute_names", "attribute_full_names")
    changed = {name: renumbered(getattr(graph, name)) for name in columns}
    slots = graph.slots.copy()
    slots[2::4] = renumbered(slots[2::4])
    return attrs.evolve(graph, names=list(numbers), slots=slots, **changed)
