"""The columns of an object graph, filled from TensorFlow's messages (T-12, T-13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final

import numpy as np

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.frame import corrupt
from checkpointable.format.records import NOTHING, AttributeKind, Column, ObjectGraph
from checkpointable.format.source import Unclear
from checkpointable.names import shorten, unescape

#: The tensors of a lookup table: its key with these at the end.
_TABLE: Final = ("keys", "values")
#: The state of an iterator: its key with this at the end.
_STATE: Final = "_STATE"
_ITERATOR: Final = (
    "it is the state of an iterator of tf.data, which only TensorFlow can interpret. Leave it out"
    " with RestoreOptions(skip=)"
)
_NO_KEY: Final = (
    "the checkpoint holds no tensor under that key. TensorFlow leaves Variables without elements"
    " out of checkpoints with a limited shard size. Leave it out with RestoreOptions(skip=)"
)
_SAVER: Final = (
    "only the program that registered this saver knows what it wrote. Read its tensors by their"
    " keys, and leave the object out with RestoreOptions(skip=)"
)
_TWO_NAMES: Final = (
    "another child of the same object has that name, and comes first. Read its tensors by their"
    " keys"
)
_NO_EDGE: Final = "nothing leads to the object that has them. Read the tensors by their keys"


class GraphColumns:
    """A graph that is being read.

    Attributes:
        unclear: what cannot be interpreted.
    """

    def __init__(self, number_of: Mapping[str, int], file: str) -> None:
        self.unclear: list[Unclear] = []
        self._number_of = number_of
        self._file = file
        self._names: dict[str, int] = {}
        #: The numbers of the names of attributes, by their escaped form.
        self._unescaped: dict[str, int] = {}
        self._child_counts: list[int] = []
        self._child_nodes: list[int] = []
        self._child_names: list[int] = []
        self._attribute_counts: list[int] = []
        self._attribute_names: list[int] = []
        self._values: list[int] = []
        self._full_names: list[int] = []
        self._slots: list[int] = []

    def add_all(self, nodes: Iterable[Any]) -> None:
        """Take down all nodes."""
        names, child_nodes, child_names = self._names, self._child_nodes, self._child_names
        number_of, values = self._number_of.get, self._values
        for number, node in enumerate(nodes):
            children, before = node.children, len(values)
            for child in children:
                child_nodes.append(child.node_id)
                child_names.append(names.setdefault(child.local_name, len(names)))
            self._child_counts.append(len(children))
            for attribute in node.attributes:
                value = number_of(attribute.checkpoint_key)
                if value is None:
                    self._add_without_key(number, attribute)
                elif not attribute.optional_restore:
                    self._add_value(attribute.name, value, attribute.full_name)
            self._attribute_counts.append(len(values) - before)
            slots = node.slot_variables
            if len(slots):
                self._add_slots(number, slots)
            if node.HasField("registered_saver"):
                what = f"what the registered saver {shorten(node.registered_saver.name)!r} wrote"
                self.unclear.append(Unclear(number, what, _SAVER))

    def _add_without_key(self, node: int, attribute: Any) -> None:
        """Take down an attribute whose key is that of no tensor."""
        name, key = attribute.name, attribute.checkpoint_key
        parts = {part: self._number_of.get(f"{key}-{part}") for part in _TABLE}
        if None not in parts.values():
            for part, value in parts.items():
                self._add_value(f"{name}-{part}", value, "")
        elif not attribute.optional_restore:
            reason = _ITERATOR if f"{key}{_STATE}" in self._number_of else _NO_KEY
            self.unclear.append(Unclear(node, f"the value {shorten(key)!r}", reason))

    def _add_value(self, stored_name: str, value: Any, full_name: str) -> None:
        name = self._unescaped.get(stored_name)
        if name is None:
            name = self._names.setdefault(unescape(stored_name), len(self._names))
            self._unescaped[stored_name] = name
        self._attribute_names.append(name)
        self._values.append(value)
        names = self._names
        self._full_names.append(names.setdefault(full_name, len(names)) if full_name else NOTHING)

    def _add_slots(self, optimizer: int, slots: Iterable[Any]) -> None:
        names = self._names
        for slot in slots:
            name = names.setdefault(slot.slot_name, len(names))
            variable, own = slot.original_variable_node_id, slot.slot_variable_node_id
            self._slots.extend((optimizer, variable, name, own))

    def graph(self) -> ObjectGraph:
        """Return the graph, every node an object, every attribute a tensor.

        Raises:
            CorruptCheckpointError: it is no graph.
        """
        count = len(self._child_counts)
        if not count:
            raise self._broken("the object graph has no nodes", "a root", 0)
        slots = np.array(self._slots, np.int64).reshape(-1, 4)
        self._check_nodes(self._child_nodes, "a child")
        self._check_nodes(slots[:, (1, 3)], "the node of a slot variable")
        self._drop_second_names()
        self._check_attributes()
        self._check_reached(slots)
        return ObjectGraph(
            names=list(self._names),
            kinds=np.zeros(count, np.uint8),
            labels=np.full(count, NOTHING, np.uint32),
            child_counts=_column(self._child_counts),
            attribute_counts=_column(self._attribute_counts),
            child_nodes=_column(self._child_nodes),
            child_names=_column(self._child_names),
            key_kinds=np.zeros(len(self._child_nodes), np.uint8),
            attribute_names=_column(self._attribute_names),
            attribute_kinds=np.full(len(self._values), AttributeKind.TENSOR, np.uint8),
            attribute_values=_column(self._values),
            attribute_full_names=_column(self._full_names),
            slots=_column(self._slots),
        )

    def _check_nodes(self, numbers: Any, what: str) -> None:
        """Check that these are numbers of nodes."""
        column, count = np.asarray(numbers, np.int64), len(self._child_counts)
        wrong = column[(column < 0) | (column >= count)]
        if wrong.size:
            what = f"the number of {what} is out of range"
            raise self._broken(what, f"0 to {count - 1}", int(wrong[0]))

    def _drop_second_names(self) -> None:
        """Leave out edges whose name another one of their node has: the first one counts."""
        pairs = _pairs(self._child_counts, self._child_names)
        _, firsts, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        if len(firsts) == len(pairs):
            return
        nodes, names = self._child_nodes, list(self._names)
        for i in np.setdiff1d(np.arange(len(pairs)), firsts).tolist():
            if nodes[i] != nodes[firsts[inverse[i]]]:
                what = f"a second child {shorten(names[self._child_names[i]])!r}"
                self.unclear.append(Unclear(int(pairs[i] >> 32), what, _TWO_NAMES))
        kept = np.sort(firsts)
        counts = np.bincount(pairs[kept] >> 32, minlength=len(self._child_counts))
        self._child_counts = counts.tolist()
        self._child_nodes = [nodes[i] for i in kept.tolist()]
        self._child_names = [self._child_names[i] for i in kept.tolist()]

    def _check_attributes(self) -> None:
        """Check that no two values of a node have one name."""
        pairs = np.sort(_pairs(self._attribute_counts, self._attribute_names))
        twice = np.flatnonzero(pairs[1:] == pairs[:-1])
        if twice.size:
            node = int(pairs[twice[0]]) >> 32
            raise self._broken(f"two values of node {node} have one name")

    def _check_reached(self, slots: Column) -> None:
        """Check that edges lead to what slot variables hang on; list values out of reach."""
        reached = _reached(self._child_counts, self._child_nodes)
        variables, own = slots[:, :2], slots[:, 3]
        if not reached[variables].all():
            raise self._broken("no edge leads to the variable or optimizer of a slot variable")
        if (variables == own[:, None]).any():
            raise self._broken("a slot variable is its own variable or optimizer")
        if len(np.unique(slots[:, :3], axis=0)) != len(slots):
            raise self._broken("a variable has two slot variables of one name")
        reached[own] = True
        for node in np.flatnonzero(~reached).tolist():
            if self._attribute_counts[node]:
                self.unclear.append(Unclear(node, f"the values of node {node}", _NO_EDGE))

    def _broken(
        self, what: str, expected: object = None, found: object = None
    ) -> CorruptCheckpointError:
        return corrupt(self._file, "T-12", what, expected=expected, found=found)


def _pairs(counts: list[int], names: list[int]) -> Column:
    """Return one number for each pair of a node and a name."""
    owners = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return owners << 32 | np.array(names, np.int64)


def _reached(counts: list[int], nodes: list[int]) -> Column:
    """Tell of each node whether edges lead to it from the root."""
    starts = [0, *accumulate(counts)]
    reached = bytearray(len(counts))
    reached[0] = True
    stack = [0]
    while stack:
        node = stack.pop()
        for child in nodes[starts[node] : starts[node + 1]]:
            if not reached[child]:
                reached[child] = True
                stack.append(child)
    return np.frombuffer(reached, bool)


def _column(numbers: list[int]) -> Column:
    return np.array(numbers, np.uint32)
