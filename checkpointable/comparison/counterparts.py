"""Which live objects stand where the nodes of a stored graph stood: matched by names alone.

Nothing is read or assigned. A restore matches by the same names, and looks at values too: that is
the affair of `restore/matching.py`.
"""

from __future__ import annotations

import attrs

from checkpointable.format.records import ObjectGraph
from checkpointable.graph.walk import Walk
from checkpointable.names import Paths


@attrs.frozen
class Conflict:
    """A stored node that two different live objects could stand for.

    Attributes:
        path: the way to the second of them, which is left aside.
        matched: the way to the first of them.
    """

    path: str
    matched: str


@attrs.frozen
class Counterparts:
    """What was matched.

    Attributes:
        nodes: the number of the live object for each stored node, in the order of matching.
        conflicts: what speaks against it.
    """

    nodes: dict[int, int]
    conflicts: list[Conflict]


def find_counterparts(graph: ObjectGraph, live: Walk) -> Counterparts:
    """Match a stored graph with a live one: breadth-first, by name, from the roots on.

    Args:
        graph: the stored graph.
        live: the walk over the live objects.
    """
    matched = Counterparts({0: 0}, [])
    paths = Paths()
    path_of = {0: 0}
    queue = [0]
    for node in queue:  # It grows meanwhile.
        stored = graph.children(node)
        children = {str(n): c for n, c in live.children[matched.nodes[node]]} if stored else {}
        for name, child in stored:
            if name not in children:
                continue
            if child not in matched.nodes:
                matched.nodes[child] = children[name]
                path_of[child] = paths.add(path_of[node], name)
                queue.append(child)
            elif matched.nodes[child] != children[name]:
                second = paths.shown(paths.add(path_of[node], name))
                matched.conflicts.append(Conflict(second, paths.shown(path_of[child])))
    _match_slots(graph, live, matched.nodes)
    return matched


def _match_slots(graph: ObjectGraph, live: Walk, nodes: dict[int, int]) -> None:
    """Match slot variables: each belongs to a pair of variable and optimizer."""
    kept = {(slot.ends, slot.slot_name): slot.slot_variable for slot in live.slots}
    for slot in graph.slot_variables():
        ends = nodes.get(slot.variable, -1), nodes.get(slot.optimizer, -1)
        number = kept.get((ends, slot.slot_name))
        if number is not None:
            nodes.setdefault(slot.slot_variable, number)
