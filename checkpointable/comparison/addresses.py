"""Addresses: where the values of two graphs stand, told by numbers that both have in common.

The address of a node is the first way to it, breadth-first. Equal ways have equal numbers, in
however many graphs, so comparing takes no paths: those of a long chain of objects would take
memory in proportion to the square of its length.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from checkpointable.format.records import ObjectGraph
from checkpointable.names import SAVE_COUNTER, Paths, shorten, slot_path


class Addresses:
    """A table of addresses, filled as graphs are located. Address 0 is that of every root."""

    def __init__(self) -> None:
        self._paths = Paths()
        self._numbers: dict[tuple[int, str], int] = {}
        self._steps: list[tuple[int, str]] = [(0, "")]
        #: Slot variables are counted downwards from -1.
        self._slots: dict[tuple[int, int, str], int] = {}
        self._slot_paths: list[str] = []

    def child(self, parent: int, local_name: str) -> int:
        """Return the address below another one."""
        step = (parent, local_name)
        if step not in self._numbers:
            self._numbers[step] = self._paths.add(parent, local_name)
            self._steps.append(step)
        return self._numbers[step]

    def slot(self, variable: int, optimizer: int, slot_name: str) -> int:
        """Return the address of what an optimizer keeps for a variable."""
        key = (variable, optimizer, slot_name)
        if key not in self._slots:
            # Of shortened paths, so that deep optimizers take little memory.
            path = slot_path(self.path(variable), self.path(optimizer), slot_name)
            self._slot_paths.append(shorten(path))
            self._slots[key] = -len(self._slot_paths)
        return self._slots[key]

    def step(self, address: int) -> tuple[int, str]:
        """Return the address above one that is not of a slot variable, and the name below that."""
        return self._steps[address]

    def path(self, address: int) -> str:
        """Return the path as reports show it; that of the root is empty."""
        if address < 0:
            return self._slot_paths[-1 - address]
        shown = self._paths.shown(address)
        return self._paths.full(address) if shown == "(root)" else shown


@attrs.define(eq=False)
class Located:
    """A graph and the addresses of its nodes; the save counter of the library is left out.

    Attributes:
        graph: the graph.
        addresses: the table of addresses.
        by_node: the address of each node, in breadth-first order.
        by_address: the node whose address it is.
    """

    graph: ObjectGraph
    addresses: Addresses
    by_node: dict[int, int] = attrs.field(factory=dict)
    by_address: dict[int, int] = attrs.field(factory=dict)
    _children: dict[int, dict[str, int]] = attrs.field(factory=dict)
    _found: dict[int, int | None] = attrs.field(factory=dict)

    def find(self, address: int) -> int | None:
        """Return the node to which an address leads here, be it the first way to it or not."""
        climbed = []
        while address not in self.by_address and address not in self._found and address >= 0:
            climbed.append(address)
            address, _ = self.addresses.step(address)
        node = self.by_address.get(address, self._found.get(address))
        for below in reversed(climbed):
            node = self._child(node, self.addresses.step(below)[1])
            self._found[below] = node
        return node

    def _child(self, node: int | None, name: str) -> int | None:
        if node is None:
            return None
        if node not in self._children:
            self._children[node] = dict(_edges(self.graph, node))
        return self._children[node].get(name)


def locate(graph: ObjectGraph, addresses: Addresses) -> Located:
    """Find the address of every node.

    Args:
        graph: of a checkpoint, or of live objects.
        addresses: the table that the compared graphs share.
    """
    located = Located(graph, addresses)
    by_node = located.by_node
    by_node[0] = 0
    queue = [0]
    for node in queue:  # It grows meanwhile.
        for name, child in _edges(graph, node):
            if child not in by_node:
                by_node[child] = addresses.child(by_node[node], name)
                queue.append(child)
    _locate_slots(located)
    located.by_address.update((address, node) for node, address in by_node.items())
    return located


def _locate_slots(located: Located) -> None:
    """Find the addresses of the slot variables to which no edge leads."""
    by_node = located.by_node
    for slot in located.graph.slot_variables():
        # What hangs on the save counter is left out with it.
        if slot.slot_variable not in by_node and all(end in by_node for end in slot.ends):
            variable, optimizer = by_node[slot.variable], by_node[slot.optimizer]
            address = located.addresses.slot(variable, optimizer, slot.slot_name)
            by_node[slot.slot_variable] = address


def _edges(graph: ObjectGraph, node: int) -> Iterator[tuple[str, int]]:
    """Yield the children of a node, without the save counter, which is the library's own."""
    for name, child in graph.children(node):
        if node != 0 or name != SAVE_COUNTER:
            yield name, child
