"""Slot variables: each is matched by the pair of optimizer and variable that it belongs to (R-27).

A slot variable has no edge of its own. Once a live optimizer and a live variable are both matched,
in whatever order they came, the optimizer's slot for that variable is matched too; where there is
none yet, it is created with the stored value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from checkpointable.format.dtypes import UNSIZED, numpy_dtype
from checkpointable.format.records import Slot
from checkpointable.restore.books import Books
from checkpointable.restore.giving import Giving, Item
from checkpointable.restore.plan import NewSlot
from checkpointable.restore.selection import EVERYTHING
from checkpointable.trackable.base import Variable
from checkpointable.trackable.children import Kind
from checkpointable.trackable.slots import SlotTrackable, new_slot


class SlotMatching:
    """The part of one run of matching that is about slot variables."""

    def __init__(self, books: Books, giving: Giving) -> None:
        self._books = books
        self._giving = giving
        self._slots = books.slots.by_node
        #: The paths of the nodes that this run has matched and that slots hang on.
        self._paths: dict[int, int] = {}
        #: The pairs that have become complete since they were asked for, in that order.
        self._complete: dict[tuple[int, int, Slot], tuple[SlotTrackable, Variable]] = {}
        self._met: set[tuple[int, int, Slot]] = set()
        #: What this run creates: by optimizer, variable and name of the slot.
        self._made: dict[tuple[int, int, str], Variable] = {}

    def reach(self, node: int, live: Any, path: int) -> None:
        """Note that a live object was matched, and is part of the restore with its values."""
        if node in self._slots:
            self._paths.setdefault(node, path)
            self._giving.plan.reached.append((node, path))
            for slot in self._slots[node]:
                for pair in self._pairs(slot, node, live):
                    optimizer, variable = pair
                    self._complete.setdefault((id(optimizer), id(variable), slot), pair)

    def items(self) -> Iterator[Item]:
        """Yield the slot variables of all pairs that have become complete since the last call.

        They come in the order in which the pairs became so: of two stored ones for one live slot
        variable, the first is that of the variable and optimizer that were first, too (R-6).
        """
        complete, self._complete = self._complete, {}
        for key, pair in complete.items():
            if key not in self._met:
                self._met.add(key)
                yield from self._match(key[2], *pair)

    def _pairs(self, slot: Slot, node: int, live: Any) -> Iterator[tuple[SlotTrackable, Variable]]:
        """Yield the pairs of a slot that a live object completes."""
        if slot.optimizer == node and isinstance(live, SlotTrackable):
            for variable in self._bound(slot.variable):
                if isinstance(variable, Variable):
                    yield live, variable
        if slot.variable == node and isinstance(live, Variable):
            for optimizer in self._bound(slot.optimizer):
                if isinstance(optimizer, SlotTrackable):
                    yield optimizer, live

    def _bound(self, node: int) -> Iterable[Any]:
        """Return the live objects of a node that is part of the restore with its values."""
        return self._giving.bound_to(node) if self._path(node) is not None else ()

    def _path(self, node: int) -> int | None:
        path = self._paths.get(node)
        return self._books.reached.get(node) if path is None else path

    def _match(self, slot: Slot, optimizer: SlotTrackable, variable: Variable) -> Iterator[Item]:
        name, of_variable, of_optimizer = slot.slot_name, *map(self._path, slot.ends)
        live = optimizer.get_slot(variable, name)
        if live is None:
            live = self._made_for(slot, optimizer, variable)
        if live is not None and of_variable is not None and of_optimizer is not None:
            path = self._books.paths.add_slot(of_variable, of_optimizer, name)
            yield Item(None, live, Kind.TRACKABLE, slot.slot_variable, path, EVERYTHING)

    def _made_for(
        self, slot: Slot, optimizer: SlotTrackable, variable: Variable
    ) -> Variable | None:
        """Return a new slot variable of the stored dtype and shape.

        Where the stored variable has the same, it is of those of the live variable, as its
        optimizer would make it. There is none if no tensor is stored, or if the graph of the
        variable is finalized.
        """
        key = (id(optimizer), id(variable), slot.slot_name)
        if key in self._made:
            return self._made[key]
        value = self._books.values.get(slot.slot_variable)
        if variable.cell is not None and variable.cell.graph.finalized:
            return None
        if value is None or value.info is None or value.info.dtype in UNSIZED:
            return None
        shape, dtype = value.info.shape, numpy_dtype(value.info.dtype)
        of_variable = self._books.values.get(slot.variable)
        model = None if of_variable is None else of_variable.info
        if model is not None:
            shape = variable.shape if model.shape == shape else shape
            dtype = variable.dtype if model.dtype == value.info.dtype else dtype
        live = self._made[key] = new_slot(variable, slot.slot_name, shape, dtype)
        self._giving.plan.slots.append(NewSlot(optimizer, variable, slot.slot_name, live))
        return live
