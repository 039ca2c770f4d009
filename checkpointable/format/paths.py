"""The paths of the nodes of a stored graph."""

from __future__ import annotations

from collections import deque

from checkpointable.format.records import ObjectGraph
from checkpointable.names import Paths


def paths_of(graph: ObjectGraph) -> tuple[Paths, dict[int, int]]:
    """Return the first path to each node: all paths, and their numbers by node, in that order.

    Nodes come breadth-first, then the slot variables that nothing else leads to.
    """
    paths = Paths()
    numbers = {0: 0}
    queue = deque([0])
    while queue:
        node = queue.popleft()
        for name, child in graph.children(node):
            if child not in numbers:
                numbers[child] = paths.add(numbers[node], name)
                queue.append(child)
    for slot in graph.slot_variables():
        if slot.slot_variable not in numbers:
            variable, optimizer = numbers[slot.variable], numbers[slot.optimizer]
            numbers[slot.slot_variable] = paths.add_slot(variable, optimizer, slot.slot_name)
    return paths, numbers
