"""What the tensors of a checkpoint are called in a safetensors file (ST-7)."""

from __future__ import annotations

import numpy as np

from checkpointable.bundle.peek import LONGEST_HEADER
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import ObjectGraph, Slot
from checkpointable.interop.safetensors.header import METADATA
from checkpointable.names import VARIABLE_VALUE, attribute_key, join_all, slot_path, value_path


def tensor_names(graph: ObjectGraph, count: int) -> list[str]:
    """Return the names of the first `count` values of a graph, no two alike (ST-7).

    They are the local names that lead there, joined with dots; a slot variable's are those of its
    optimizer, the name of the slot and those of its variable. Where two would be alike, the later
    one has its key. Those of a name-based checkpoint are its names.

    Raises:
        NotCheckpointableError: together they are longer than a header may be, or one is reserved.
    """
    nodes, attributes = _places(graph, count)
    if graph.is_name_based:
        by_node = {child: name for name, child in graph.children(0)}
        return [_not_reserved(by_node[node]) for node in nodes]
    ways = _Ways(graph)
    total = sum(ways.lengths[node] for node in nodes) + sum(map(len, attributes))
    if total > LONGEST_HEADER:
        raise NotCheckpointableError(
            f"the names of the tensors together have {total:,} characters, expected at most"
            f" {LONGEST_HEADER:,} in a file of safetensors. Save in another format."
        )
    taken = {"", METADATA}
    names: list[str] = []
    for node, attribute in zip(nodes, attributes, strict=True):
        name = ways.dotted(node)
        if attribute != VARIABLE_VALUE:
            name = f"{name}.{attribute}" if name else attribute
        if name in taken:
            name = attribute_key(ways.path(node), attribute)
        while name in taken:
            name += "'"
        taken.add(name)
        names.append(name)
    return names


def tensor_path(graph: ObjectGraph, number: int) -> str:
    """Return the path of a tensor, for messages; its name in a name-based checkpoint."""
    nodes, attributes = _places(graph, number + 1)
    if graph.is_name_based:
        return next(name for name, child in graph.children(0) if child == nodes[number])
    return value_path(_Ways(graph).path(nodes[number]), attributes[number])


def _places(graph: ObjectGraph, count: int) -> tuple[list[int], list[str]]:
    """Return of each of the first values its node, and what it is called there."""
    is_wanted = graph.attribute_values < count
    numbers = graph.attribute_values[is_wanted]
    owners = np.repeat(np.arange(len(graph)), graph.attribute_counts)
    nodes = np.zeros(count, dtype=np.int64)
    names = np.zeros(count, dtype=np.int64)
    nodes[numbers] = owners[is_wanted]
    names[numbers] = graph.attribute_names[is_wanted]
    return nodes.tolist(), [graph.names[name] for name in names.tolist()]


def _not_reserved(name: str) -> str:
    if name == METADATA:
        raise NotCheckpointableError(
            f"the name {METADATA!r} is not a tensor's in a file of safetensors. Rename it, or save"
            " in another format.",
            path=name,
        )
    return name


class _Ways:
    """The first way to each node. Nodes are numbered breadth-first, so one pass finds them.

    Attributes:
        lengths: how long the dotted name of each node is, roughly.
    """

    def __init__(self, graph: ObjectGraph) -> None:
        count = len(graph)
        self.lengths = [0] * count
        self._parents = [-1] * count
        self._names = [""] * count
        self._slots: dict[int, Slot] = {}
        self._known: dict[int, str] = {0: ""}
        for node in range(count):
            for name, child in graph.children(node):
                if child and self._parents[child] < 0:
                    self._parents[child] = node
                    self._names[child] = name
                    self.lengths[child] = self.lengths[node] + len(name) + 1
        for slot in graph.slot_variables():
            own = slot.slot_variable
            if own and self._parents[own] < 0 and own not in self._slots:
                self._slots[own] = slot
                ends = sum(self.lengths[end] for end in slot.ends)
                self.lengths[own] = ends + len(slot.slot_name) + 2

    def dotted(self, node: int) -> str:
        """Return the names that lead to a node, joined with dots."""
        slot = self._slots.get(node)
        if slot is not None:
            optimizer, variable = self._below(slot.optimizer), self._below(slot.variable)
            return ".".join([*optimizer, slot.slot_name, *variable])
        parent = self._parents[node]
        if parent <= 0:
            return self._names[node]
        # Those of siblings begin alike, and together they are no longer than the names themselves.
        known = self._known.get(parent)
        if known is None:
            known = self._known[parent] = ".".join(self._below(parent))
        return f"{known}.{self._names[node]}"

    def path(self, node: int) -> str:
        """Return the path of a node."""
        slot = self._slots.get(node)
        if slot is None:
            return join_all(self._below(node))
        return slot_path(self.path(slot.variable), self.path(slot.optimizer), slot.slot_name)

    def _below(self, node: int) -> list[str]:
        names: list[str] = []
        while node > 0:
            names.append(self._names[node])
            node = self._parents[node]
        names.reverse()
        return names
