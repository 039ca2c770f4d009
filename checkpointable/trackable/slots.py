"""`SlotTrackable`: optimizers, and whatever else keeps a variable for each of other variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from checkpointable.names import check_local_name
from checkpointable.session.graph import executing_eagerly
from checkpointable.trackable import waiting
from checkpointable.trackable.base import Trackable, Variable
from checkpointable.trackable.initializers import Initializer
from checkpointable.trackable.slot_table import SlotTable
from checkpointable.trackable.tracking import peek_tracking, tracking_of


class SlotTrackable(Trackable):
    """An object that keeps further variables for each variable that it is given: its slots.

    An optimizer's momentum is the usual one. A slot variable belongs to the pair of optimizer and
    variable: it is saved if both can be reached, and finds its place again by both, whatever the
    order in which variable, optimizer and slot are created and restored. It lives as long as its
    variable and its optimizer.

    Not thread-safe: one thread at a time adds slots.

    Example:
        >>> class Momentum(SlotTrackable):
        ...     def apply(self, variable, gradient):
        ...         velocity = self.add_slot(variable, "velocity")
        ...         velocity.assign(0.9 * velocity.value + gradient)
        ...         variable.assign_sub(0.1 * velocity.value)
        >>> w, optimizer = Variable([1.0, 2.0]), Momentum()
        >>> optimizer.apply(w, np.ones(2))
        >>> optimizer.get_slot(w, "velocity").value, optimizer.get_slot_names()
        (array([1., 1.]), ['velocity'])
    """

    __slots__ = ()

    @final
    def add_slot(
        self, variable: Variable, slot_name: str, initializer: Initializer = "zeros"
    ) -> Variable:
        """Return the slot variable of a variable, created if there is none yet.

        A value that a restore gave, or gives now, counts: the initializer is not looked at then.

        Args:
            variable: the variable that it is kept for.
            slot_name: what it is called, the same for all variables: "momentum".
            initializer: "zeros", "ones" or a callable of shape and dtype: a slot of the variable's
                shape and dtype. An array: a slot of its shape, and of its dtype (another
                array-like: of the variable's dtype).

        Returns:
            the slot variable; that of a variable of a graph belongs to that graph.

        Raises:
            TypeError: `variable` is no Variable, or `slot_name` no string.
            ValueError: the slot exists and has another shape or dtype.
            NotCheckpointableError: the name is too long, or its dtype cannot be stored.
        """
        if not isinstance(variable, Variable):
            raise TypeError(f"variable is a {type(variable).__qualname__}, expected a Variable")
        if not isinstance(slot_name, str):
            raise TypeError(f"slot_name is {slot_name!r}, expected a string")
        check_local_name(slot_name, f"a slot of a {type(self).__qualname__}")
        if waiting.anything():
            waiting.settle()
        shape, dtype = _expected(variable, initializer)
        slot = self.get_slot(variable, slot_name)
        if slot is None:
            slot = new_slot(variable, slot_name, shape, dtype)
            slot.initialize_with(initializer)
            keep_slot(self, variable, slot_name, slot)
        elif (slot.shape, slot.dtype) != (shape, dtype):
            raise ValueError(
                f"the slot {slot_name!r} is {slot.dtype} {slot.shape}, as it was restored or"
                f" created; {dtype} {shape} is asked for. Give an initializer of that shape and"
                " dtype, or restore with RestoreOptions(casting=) or RestoreOptions(slots=False)."
            )
        return slot

    @final
    def get_slot(self, variable: Variable, slot_name: str) -> Variable | None:
        """Return the slot variable of a variable; `None` if there is none of that name."""
        table = slots_of(self)
        slot: Variable | None = table.get(variable, slot_name) if table is not None else None
        return slot

    @final
    def get_slot_names(self) -> list[str]:
        """Return the names of all slots that were added or restored, in that order."""
        table = slots_of(self)
        return table.names() if table is not None else []


def slots_of(optimizer: SlotTrackable) -> SlotTable | None:
    """Return the slot variables of an optimizer, if it has any."""
    tracking = peek_tracking(optimizer)
    return tracking.slots if tracking is not None else None


def keep_slot(optimizer: SlotTrackable, variable: Variable, name: str, slot: Variable) -> None:
    """Let an optimizer keep a slot variable for a variable."""
    tracking = tracking_of(optimizer)
    if tracking.slots is None:
        tracking.slots = SlotTable()
    tracking.slots.put(variable, name, slot)


def new_slot(
    variable: Variable, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Variable:
    """Return a slot variable without a value, in the graph of its variable if that has one."""
    full_name = None if variable.name is None else f"{variable.name}/{name}"
    with _home_of(variable):
        return Variable(
            shape=shape, dtype=dtype, name=full_name, trainable=False, device=variable.device
        )


@contextmanager
def _home_of(variable: Variable) -> Iterator[None]:
    """Let variables be made where a variable lives; its name holds all name scopes already."""
    if variable.cell is None:
        with executing_eagerly():
            yield
    else:
        graph = variable.cell.graph
        with graph.as_default(), graph.name_scope(""):
            yield


def _expected(
    variable: Variable, initializer: Initializer
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype of the slot that an initializer makes."""
    if initializer is None or isinstance(initializer, str) or callable(initializer):
        return variable.shape, variable.dtype
    array = np.asarray(initializer)
    is_array = isinstance(initializer, (np.ndarray, np.generic, Variable))
    return array.shape, array.dtype if is_array else variable.dtype
