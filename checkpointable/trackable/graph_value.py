"""The value of a Variable of a graph: another one in each session."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, final

import numpy as np
import numpy.typing as npt

from checkpointable.session.graph import Cell, Graph, Operation, SourceLine
from checkpointable.session.session import Session, session_of
from checkpointable.trackable.initializers import Initializer, Shape, initial_array, is_constant
from checkpointable.trackable.owned import check_shape, overwrite, owned_copy, pattern

_Array = npt.NDArray[Any]


@final
class GraphValue:
    """What a Variable of a graph has instead of an array.

    Attributes:
        pattern: an array of the dtype and shape, without memory of its own.
        cell: what sessions know the variable by.
        initializer: gives the variable its initial value in a session.
    """

    __slots__ = ("_initial", "cell", "initializer", "pattern")

    def __init__(
        self, graph: Graph, name: str, like: _Array, initial: Callable[[], npt.ArrayLike]
    ) -> None:
        self.pattern = like
        self.cell = Cell(graph, graph.unique_name(name), like.dtype, like.shape)
        self._initial = initial
        self.initializer = self._add_operation("initialize", self._run_initializer)
        # Made at once, so that restoring never adds to the graph.
        self._add_operation("restore", self._run_restore, self.initializer.created_at)

    def initialize_with(self, initializer: Initializer) -> None:
        """Let another initializer give the initial value; a constant is checked and copied now."""
        make = partial(initial_array, initializer, self.cell.shape, self.cell.dtype)
        if is_constant(initializer):
            constant = np.empty(self.cell.shape, self.cell.dtype)
            overwrite(constant, make(), self.cell.label)
            self._initial = lambda: constant
        else:
            self._initial = make

    def initialize(self, session: Session | None) -> None:
        """Run the initializer in a session, unless the variable has a value there."""
        found = self.session(session)
        if not found.is_initialized(self.cell):
            self._run_initializer(found)

    def record(
        self, verb: str, combine: Callable[[Any, Any], Any] | None, operand: Any
    ) -> Operation:
        """Record a change of the value.

        Args:
            verb: how the operation is called.
            combine: makes the new value of the present one and the operand; `None`: the operand
                is the new value.
            operand: an array-like, copied now, or a callable that is asked at each run.
        """
        given = operand if callable(operand) else _constant(operand)
        if not callable(operand):  # What can never be done is refused now.
            trial = operand if combine is None else combine(self.pattern, operand)
            overwrite(np.empty(self.cell.shape, self.cell.dtype), trial, self.cell.label)

        def run(session: Session) -> _Array:
            value = given()
            if combine is not None:
                value = combine(self.current(session), value)
            return self._write(session, value).copy()

        return self._add_operation(verb, run)

    def session(self, session: Session | None) -> Session:
        """Return the session that is meant: the given one, or the default.

        Raises:
            RuntimeError, TypeError, ValueError: there is none, or it is none of this graph.
        """
        return session_of(self.cell, session)

    def current(self, session: Session | None) -> _Array:
        """Return the array that is the value in a session.

        Raises:
            RuntimeError: there is no session, or the variable has no value in it.
        """
        found = self.session(session)
        if not found.is_initialized(self.cell):
            raise RuntimeError(
                f"{self.cell.label} has no value in this session yet. Run its initializer"
                " (session.run(variable.initializer)), status.initialize_or_restore(), or"
                " status.run_restore_ops()."
            )
        return found.array_of(self.cell)

    def unreadable(self) -> RuntimeError:
        """Return the error for a use that needs a value at once."""
        return RuntimeError(
            f"{self.cell.label} belongs to a graph: it has no value of its own, only one in each"
            " session. Read it with session.run(variable); record changes with its assign()."
        )

    def _add_operation(
        self, verb: str, action: Callable[[Session], Any], created_at: SourceLine | None = None
    ) -> Operation:
        cell, name = self.cell, f"{self.cell.name}/{verb}"
        return cell.graph.add_operation(name, action, scoped=False, created_at=created_at)

    def _run_initializer(self, session: Session) -> None:
        self._write(session, self._initial())

    def _run_restore(self, session: Session) -> None:
        by = self.cell.restored_by()
        if by is None:
            raise RuntimeError(
                f"{self.cell.label}: no restore has recorded a value for it, or its status is gone."
                " Restore, and keep the status that is returned."
            )
        by.run_recorded(session, self.cell)

    def _write(self, session: Session, value: npt.ArrayLike) -> _Array:
        array = session.array_of(self.cell)
        overwrite(array, value, self.cell.label)
        session.mark_initialized(self.cell)
        return array


def record_value(
    graph: Graph,
    name: str,
    initial_value: npt.ArrayLike | Callable[[], npt.ArrayLike] | None,
    dtype: npt.DTypeLike | None,
    shape: Shape | None,
) -> GraphValue:
    """Record a variable in a graph, with its initial value as a `Variable` takes it.

    A callable is asked at each run of the initializer, and once now where dtype and shape are not
    both given.
    """
    if initial_value is None:
        like = pattern(shape, dtype)
        return GraphValue(graph, name, like, lambda: like)
    if callable(initial_value):
        if shape is None or dtype is None:
            like = _like(owned_copy(initial_value(), dtype), shape)
        else:
            like = pattern(shape, dtype)
        make, kept = initial_value, like.dtype
        return GraphValue(graph, name, like, lambda: owned_copy(make(), kept))
    constant = owned_copy(initial_value, dtype)
    return GraphValue(graph, name, _like(constant, shape), lambda: constant)


def _like(value: _Array, shape: Shape | None) -> _Array:
    """Return the pattern of an initial value, which has the shape that is asked for."""
    if shape is not None:
        check_shape(value.shape, shape)
    return pattern(value.shape, value.dtype)


def _constant(operand: Any) -> Callable[[], Any]:
    """Return what gives a copy of an operand; scalars stay what they are, for casting."""
    kept = operand if np.isscalar(operand) else np.array(operand)
    return lambda: kept
