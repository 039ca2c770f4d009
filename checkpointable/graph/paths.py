"""The paths of the nodes of a stored graph, and the keys of their values."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from checkpointable.format.records import ObjectGraph
from checkpointable.format.source import CheckpointSource
from checkpointable.names import Paths, attribute_key


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


def values_by_key(source: CheckpointSource) -> Iterator[tuple[str, int]]:
    """Yield the key and the number of every value; in a name-based checkpoint the key is a name."""
    graph = source.graph
    if graph is None:
        yield from ((name, numbers[0]) for name, numbers in source.names.items())
        return
    paths, numbers = paths_of(graph)
    for node, number in numbers.items():
        for attribute in graph.attributes(node):
            yield attribute_key(paths.full(number), attribute.name), attribute.value
