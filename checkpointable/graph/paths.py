"""The keys of the values of a stored graph."""

from __future__ import annotations

from collections.abc import Iterator

from checkpointable.format.paths import paths_of
from checkpointable.format.source import CheckpointSource
from checkpointable.names import attribute_key


def values_by_key(source: CheckpointSource) -> Iterator[tuple[str, int]]:
    """Yield the key and the number of every value; in a name-based checkpoint the key is a name.

    They are the keys that the files themselves have, where they have any.
    """
    if source.keys is not None:
        yield from source.keys.items()
        return
    graph = source.graph
    if graph is None:
        yield from ((name, numbers[0]) for name, numbers in source.names.items())
        return
    paths, numbers = paths_of(graph)
    for node, number in numbers.items():
        for attribute in graph.attributes(node):
            yield attribute_key(paths.full(number), attribute.name), attribute.value
