"""Stored graphs are brought into the order of this library, whatever order they had."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.format.index import decode_index
from checkpointable.format.records import NOTHING, ObjectGraph, Slot
from checkpointable.graph.numbering import breadth_first
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from tests.test_round_trip import build, graphs


class Node(ckpt.Trackable):
    """Anything, under any names."""


class Optimizer(ckpt.SlotTrackable):
    """Keeps two slots for each variable."""

    def __init__(self, *variables: ckpt.Variable) -> None:
        for name in ("v", "m"):
            for variable in variables:
                self.add_slot(variable, name)


def graph_of(root: Any) -> ObjectGraph:
    """Return the graph that a save of an object writes."""
    return take_snapshot(walk(root)).graph


def with_slots() -> ObjectGraph:
    """Return a graph with slot variables, a cycle and holes."""
    a, b = ckpt.Variable([1.0], name="a"), ckpt.Variable([2.0])
    root = Node()
    root.a, root.pair = a, (a, object(), 1)
    root.list, root.dict = [b, object(), a], {3: b, "x": a}
    root.optimizer = Optimizer(b, a)
    root.itself = root
    return graph_of(root)


def columns(graph: ObjectGraph) -> dict[str, Any]:
    """Return the columns of a graph as lists."""
    values = attrs.asdict(graph, recurse=False)
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def shuffled(graph: ObjectGraph, order: list[int], names: list[int]) -> ObjectGraph:
    """Return a graph with its nodes and names in another order, the naive way."""
    node = {old: new for new, old in enumerate(order)} | {NOTHING: NOTHING}
    name = {old: new for new, old in enumerate(names)} | {NOTHING: NOTHING}

    def rows(counts: str, *fields: str) -> list[list[list[int]]]:
        edges = [0, *np.cumsum(getattr(graph, counts)).tolist()]
        own = [getattr(graph, field).tolist() for field in fields]
        return [
            [list(row) for row in zip(*(c[edges[i] : edges[i + 1]] for c in own), strict=True)]
            for i in order
        ]

    children = rows("child_counts", "child_nodes", "child_names", "key_kinds")
    attributes = rows(
        "attribute_counts",
        *("attribute_names", "attribute_kinds", "attribute_values", "attribute_full_names"),
    )
    edges = [edge for own in children for edge in own]
    values = [value for own in attributes for value in own]

    def column(items: list[int], dtype: Any = np.uint32) -> np.ndarray[Any, Any]:
        return np.array(items, dtype)

    return ObjectGraph(
        names=[graph.names[old] for old in names],
        kinds=column([int(graph.kinds[old]) for old in order], np.uint8),
        labels=column([name[int(graph.labels[old])] for old in order]),
        child_counts=column([len(own) for own in children]),
        attribute_counts=column([len(own) for own in attributes]),
        child_nodes=column([node[edge[0]] for edge in edges]),
        child_names=column([name[edge[1]] for edge in edges]),
        key_kinds=column([edge[2] for edge in edges], np.uint8),
        attribute_names=column([name[value[0]] for value in values]),
        attribute_kinds=column([value[1] for value in values], np.uint8),
        attribute_values=column([value[2] for value in values]),
        attribute_full_names=column([name[value[3]] for value in values]),
        slots=column(
            [
                n
                for o, v, s, w in graph.slots.reshape(-1, 4).tolist()
                for n in (node[o], node[v], name[s], node[w])
            ]
        ),
    )


def test_a_graph_of_a_save_is_returned_as_it_is():
    """What is in order stays the very same object."""
    graph = with_slots()

    assert graph is breadth_first(graph)


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_slot_variables_come_last(random):
    """However nodes and names are numbered, the graph becomes that of a save."""
    graph = with_slots()
    order, names = list(range(1, len(graph))), list(range(len(graph.names)))
    random.shuffle(order)
    random.shuffle(names)

    assert columns(graph) == columns(breadth_first(shuffled(graph, [0, *order], names)))


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_graph_is_brought_into_order(parts, random):
    """Whatever the graph."""
    graph = graph_of(build(parts, blank=False)[0])
    order, names = list(range(1, len(graph))), list(range(len(graph.names)))
    random.shuffle(order)
    random.shuffle(names)

    assert columns(graph) == columns(breadth_first(shuffled(graph, [0, *order], names)))


def test_what_nothing_leads_to_is_left_out(tmp_path):
    """Unreached nodes, their values, their slot variables and unused names go; the rest stays."""
    root = ckpt.Checkpoint(kept=ckpt.Variable([1.0]), cut=ckpt.Checkpoint(lost=ckpt.Variable([2])))
    root.optimizer = Optimizer(root.kept, root.cut.lost)
    graph = graph_of(root)
    edge = [name for name, _ in graph.children(0)].index("cut")
    without = attrs.evolve(
        graph,
        child_nodes=np.delete(graph.child_nodes, edge),
        child_names=np.delete(graph.child_names, edge),
        key_kinds=np.delete(graph.key_kinds, edge),
        child_counts=graph.child_counts - (np.arange(len(graph)) == 0).astype(np.uint32),
    )
    found = breadth_first(without)

    assert [("kept", 1), ("optimizer", 2)] == found.children(0)
    assert [Slot(2, 1, "v", 3), Slot(2, 1, "m", 4)] == found.slot_variables()
    assert (5, 3) == (len(found), len(found.attribute_values))
    assert {"cut", "lost"}.isdisjoint(found.names)
    path = root.write(tmp_path / "ckpt", durable=False)
    assert columns(graph) == columns(
        decode_index((tmp_path / "ckpt.index").read_bytes(), path).graph
    )
