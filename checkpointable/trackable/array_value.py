"""The value of a Variable: where it lives, and how it is read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from checkpointable.session.defaults import graphs
from checkpointable.session.graph import Cell, Fetchable, Graph, Operation
from checkpointable.session.session import Session
from checkpointable.trackable import waiting
from checkpointable.trackable.graph_value import GraphValue, record_value
from checkpointable.trackable.initializers import Initializer, Shape, initial_array
from checkpointable.trackable.operators import ArrayOperators
from checkpointable.trackable.owned import check_shape, overwrite, owned_copy, spelled, zeros
from checkpointable.trackable.save_slice import SaveSlice
from checkpointable.trackable.tracking import Owner, peek_tracking

_Array = npt.NDArray[Any]


class ArrayValue(ArrayOperators, Fetchable, Owner):
    """What a Variable is apart from tracking: an owned array, and rules for writing into it.

    Waiting values come in before it is read or written, unless it was restored before.
    Where the value lives is known here alone: in the array, or, for a Variable of a graph, in
    sessions. The array then only carries dtype and shape.
    """

    __slots__ = ("_device", "_graph_value", "_initialized", "_name", "_storage", "_trainable")

    def __init__(
        self,
        initial_value: npt.ArrayLike | Callable[[], npt.ArrayLike] | None = None,
        dtype: npt.DTypeLike | None = None,
        *,
        shape: Shape | None = None,
        name: str | None = None,
        trainable: bool = True,
        device: str | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name is {name!r}, expected a string or None")
        self._name, self._trainable, self._device = name, bool(trainable), device
        self._graph_value: GraphValue | None = None
        if graphs.is_used:  # else eager programs would pay for looking
            graph = graphs.top()
            if graph is not None:
                self._record(graph, initial_value, dtype, shape)
                return
        given = initial_value() if callable(initial_value) else initial_value
        self._initialized = given is not None
        self._storage = zeros(shape, dtype) if given is None else owned_copy(given, dtype)
        if shape is not None and given is not None:
            check_shape(self._storage.shape, shape)

    @property
    def value(self) -> _Array:
        """The array itself, not a copy.

        Raises:
            RuntimeError: it has no value yet, or it belongs to a graph.
        """
        if waiting.anything():
            self._let_come_in()
        if not self._initialized:
            raise self._unreadable()
        return self._storage

    @property
    def initialized(self) -> bool:
        """Whether it has a value; for a Variable of a graph, in the default session.

        Raises:
            RuntimeError: it belongs to a graph, and there is no default session.
        """
        if waiting.anything():
            self._let_come_in()
        if self._graph_value is None:
            return self._initialized
        return self._graph_value.session(None).is_initialized(self._graph_value.cell)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, which never changes."""
        return self._storage.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype, which never changes."""
        return self._storage.dtype

    @property
    def name(self) -> str | None:
        """The global name, for name-based checkpoints."""
        return self._name

    @property
    def trainable(self) -> bool:
        """A mark for optimizers."""
        return self._trainable

    @property
    def device(self) -> str | None:
        """A mark for people."""
        return self._device

    @property
    def save_slice(self) -> SaveSlice | None:
        """Which part of a larger tensor it is; `None` unless `partitioned_variables` made it."""
        return None

    def numpy(self) -> _Array:
        """Return a copy of the value."""
        return self.value.copy()

    def assign(self, value: npt.ArrayLike) -> Self:
        """Overwrite the value in place.

        Args:
            value: an array-like of the same shape, of a dtype that numpy casts as "same_kind".
                In a graph also a callable without arguments that returns one at each run.

        Returns:
            this Variable. In a graph: an `Operation` that assigns and returns the new value
            whenever a session runs it; each call records another one.

        Raises:
            ValueError: the shape differs.
            TypeError: the dtype is of another kind.

        """
        if self._graph_value is not None:
            return self._recorded(self._graph_value.record("assign", None, value))
        if waiting.anything():
            self._let_come_in()
        overwrite(self._storage, value, self._label())
        self._initialized = True
        return self

    def assign_add(self, delta: npt.ArrayLike) -> Self:
        """Add to the value in place, and return as `assign`.

        Raises:
            TypeError, ValueError: as `assign`.
        """
        if self._graph_value is not None:
            return self._recorded(self._graph_value.record("assign_add", np.add, delta))
        return self.assign(np.add(self.value, delta))

    def assign_sub(self, delta: npt.ArrayLike) -> Self:
        """Subtract from the value in place, and return as `assign`.

        Raises:
            TypeError, ValueError: as `assign`.
        """
        if self._graph_value is not None:
            return self._recorded(self._graph_value.record("assign_sub", np.subtract, delta))
        return self.assign(np.subtract(self.value, delta))

    @property
    def initializer(self) -> Operation:
        """The operation that gives a Variable of a graph its initial value in a session.

        Raises:
            RuntimeError: it belongs to no graph.
        """
        if self._graph_value is None:
            raise RuntimeError(
                f"{self._label()} belongs to no graph, so it has no initializer to run: it got"
                " its value when it was made, or waits for assign() or a restore."
            )
        return self._graph_value.initializer

    def initialize(self, session: Session | None = None) -> None:
        """Give it its initial value if it has no value: zeros where it was made without one.

        Args:
            session: where, if it belongs to a graph; by default the default session.

        Raises:
            RuntimeError: it belongs to a graph, and there is no session.
            ValueError: the session is of another graph.
        """
        if self._graph_value is not None:
            self._graph_value.initialize(session)
        elif not self.initialized:
            self.assign(np.zeros(self.shape, self.dtype))

    def initialize_with(self, initializer: Initializer) -> None:
        """Take the initial value from an initializer, unless there is a value already.

        In a graph the initializer is recorded, and run whenever a session runs it.
        """
        if self._graph_value is not None:
            self._graph_value.initialize_with(initializer)
        elif not self.initialized:
            self.assign(initial_array(initializer, self.shape, self.dtype))

    def fetch(self, session: Session | None = None) -> _Array:
        """Return a copy of the value, in a session if it belongs to a graph.

        Raises:
            RuntimeError: it has no value.
        """
        if self._graph_value is None:
            return self.numpy()
        return self._graph_value.current(session).copy()

    # Where the value lives: nothing else in the library knows.

    def storage_array(self) -> _Array:
        """Return the array that holds the value, or will: for saves, and restores into it.

        Raises:
            RuntimeError: it belongs to a graph, and there is no default session.
        """
        if self._graph_value is None:
            return self._storage
        return self._graph_value.session(None).array_of(self._graph_value.cell)

    def mark_initialized(self) -> None:
        """Note that the storage array holds a value now."""
        if self._graph_value is None:
            self._initialized = True
        else:
            self._graph_value.session(None).mark_initialized(self._graph_value.cell)

    @property
    def cell(self) -> Cell | None:
        """What sessions know the value of a Variable of a graph by; `None` in eager execution."""
        return None if self._graph_value is None else self._graph_value.cell

    def pattern_array(self) -> _Array:
        """Return an array of this dtype and shape; what it holds has no meaning."""
        return self._storage

    def __getstate__(self) -> Any:
        if self._graph_value is not None:
            raise RuntimeError(
                f"{self._label()} belongs to a graph, so it cannot be copied or pickled: its"
                " values live in sessions. Create another Variable in the graph."
            )
        return super().__getstate__()

    def __repr__(self) -> str:
        state = repr(self._storage) if self._initialized else "no value"
        if self._graph_value is not None:
            state = "in a graph"
        name = "" if self._name is None else f" {self._name!r}"
        return f"<{type(self).__name__}{name} {spelled(self._storage)}: {state}>"

    def __format__(self, format_spec: str) -> str:
        return format(self.value, format_spec) if format_spec else str(self)

    def _label(self) -> str:
        return f"Variable {self._name!r}" if self._name is not None else "the Variable"

    def _let_come_in(self) -> None:
        """Let waiting values come in before a Variable is used that no restore has given one."""
        tracking = peek_tracking(self)
        if tracking is None or not tracking.restored:
            waiting.settle()

    def _record(self, graph: Graph, initial_value: Any, dtype: Any, shape: Shape | None) -> None:
        """Make this a variable of a graph."""
        value = record_value(graph, self._name or "Variable", initial_value, dtype, shape)
        self._graph_value, self._name = value, value.cell.name
        self._storage, self._initialized = value.pattern, False
        self._device = graph.default_device if self._device is None else self._device
        graph.add_to_collection("variables", self)
        if self._trainable:
            graph.add_to_collection("trainable_variables", self)

    def _unreadable(self) -> RuntimeError:
        """Return the error for reading a Variable that has no value at hand."""
        if self._graph_value is not None:
            return self._graph_value.unreadable()
        return RuntimeError(
            f"{self!r} has no value yet. Assign one with assign(), or restore a checkpoint."
        )

    def _recorded(self, operation: Operation) -> Self:
        """Return an operation where eager execution returns the Variable."""
        return cast(Self, operation)
