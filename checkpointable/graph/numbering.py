"""Brings the nodes of a stored graph into the order in which this library numbers them (F-18).

The graphs of other formats need not be in that order, and may hold nodes that nothing leads to and
names that nothing has.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from checkpointable.format.records import NOTHING, Column, ObjectGraph
from checkpointable.format.tables import edges_of


def breadth_first(graph: ObjectGraph) -> ObjectGraph:
    """Return a graph with its nodes numbered breadth-first, slot variables last.

    Nodes, edges and slot variables that the root does not lead to are left out. Names stand in the
    order of a snapshot. A graph that is in order is returned as it is.
    """
    order, slots = _order(graph)
    is_ordered = order == list(range(len(graph))) and len(slots) == len(graph.slots.reshape(-1, 4))
    return _with_own_names(graph if is_ordered else _arranged(graph, order, slots))


def _order(graph: ObjectGraph) -> tuple[list[int], list[int]]:
    """Return the nodes that are reached, in order, and the rows of the slot variables that are."""
    starts, children = edges_of(graph.child_counts).tolist(), graph.child_nodes.tolist()
    order, known = [0], {0, NOTHING}
    for node in order:  # It grows meanwhile.
        for child in children[starts[node] : starts[node + 1]]:
            if child not in known:
                known.add(child)
                order.append(child)
    by_edges, rows = frozenset(known), []
    for row, (optimizer, variable, _, node) in enumerate(graph.slots.reshape(-1, 4).tolist()):
        if optimizer in by_edges and variable in by_edges:
            rows.append(row)
            if node not in known:
                known.add(node)
                order.append(node)
    return order, rows


def _arranged(graph: ObjectGraph, order: Sequence[int], rows: Sequence[int]) -> ObjectGraph:
    """Return a graph with these nodes, in this order, and these rows of slot variables."""
    numbers = np.full(len(graph) + 1, NOTHING, np.uint32)
    numbers[order] = np.arange(len(order))
    owners, edges = _members(graph.child_counts, order)
    old = graph.child_nodes[edges]
    nodes = numbers[np.minimum(old, len(graph))]
    kept = (nodes != NOTHING) | (old == NOTHING)
    owners, edges = owners[kept], edges[kept]
    _, attributes = _members(graph.attribute_counts, order)
    slots = graph.slots.reshape(-1, 4)[list(rows)]
    slots[:, (0, 1, 3)] = numbers[slots[:, (0, 1, 3)]]
    return attrs.evolve(
        graph,
        kinds=graph.kinds[order],
        labels=graph.labels[order],
        child_counts=np.bincount(owners, minlength=len(order)).astype(np.uint32),
        attribute_counts=graph.attribute_counts[order],
        child_nodes=nodes[kept],
        child_names=graph.child_names[edges],
        key_kinds=graph.key_kinds[edges],
        attribute_names=graph.attribute_names[attributes],
        attribute_kinds=graph.attribute_kinds[attributes],
        attribute_values=graph.attribute_values[attributes],
        attribute_full_names=graph.attribute_full_names[attributes],
        slots=slots.reshape(-1),
    )


def _members(counts: Column, order: Sequence[int]) -> tuple[Column, Column]:
    """Return the new owner and the old place of what the nodes have, node by node."""
    starts, own = edges_of(counts)[order], counts[order].astype(np.int64)
    owners = np.repeat(np.arange(len(order)), own)
    places = np.arange(len(owners)) + np.repeat(starts - edges_of(own)[:-1], own)
    return owners, places


def _with_own_names(graph: ObjectGraph) -> ObjectGraph:
    """Return a graph whose names stand in the order in which a snapshot takes them down.

    So there are no names that nothing has, and equal graphs become equal files.
    """
    slots = graph.slots.reshape(-1, 4)
    values = np.column_stack([graph.attribute_full_names, graph.attribute_names]).reshape(-1)
    asked = np.concatenate([values, graph.labels, graph.child_names, slots[:, 2]])
    found, firsts = np.unique(asked[asked != NOTHING], return_index=True)
    order = found[np.argsort(firsts)]
    if np.array_equal(order, np.arange(len(graph.names))):
        return graph
    numbers = np.full(len(graph.names) + 1, NOTHING, np.uint32)
    numbers[order] = np.arange(len(order))
    slots = slots.copy()
    slots[:, 2] = numbers[slots[:, 2]]
    columns = ("labels", "child_names", "attribute_names", "attribute_full_names")
    return attrs.evolve(
        graph,
        names=[graph.names[number] for number in order.tolist()],
        slots=slots.reshape(-1),
        **{name: numbers[np.minimum(getattr(graph, name), len(graph.names))] for name in columns},
    )
