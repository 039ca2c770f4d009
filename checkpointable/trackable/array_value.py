"""The value of a Variable: where it lives, and how it is read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.trackable import waiting
from checkpointable.trackable.arrays import dtype_refusal
from checkpointable.trackable.initializers import Shape, normal_shape
from checkpointable.trackable.operators import ArrayOperators
from checkpointable.trackable.tracking import Owner, peek_tracking

_Array = npt.NDArray[Any]

#: Values of these kinds are cut to the item size by a cast that numpy calls "same_kind".
_SIZED_KINDS: Final = frozenset("SU")


class ArrayValue(ArrayOperators, Owner):
    """What a Variable is apart from tracking: an owned array, and rules for writing into it.

    Waiting values come in before it is read or written, unless it was restored before.
    """

    __slots__ = ("_device", "_initialized", "_name", "_storage", "_trainable")

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
        given = initial_value() if callable(initial_value) else initial_value
        self._initialized = given is not None
        self._storage = _new_storage(shape, dtype) if given is None else _owned(given, dtype)
        if given is not None and shape is not None and self.shape != normal_shape(shape):
            raise ValueError(
                f"the initial value has the shape {self.shape}, expected {normal_shape(shape)}"
            )
        self._name, self._trainable, self._device = name, bool(trainable), device

    @property
    def value(self) -> _Array:
        """The array itself, not a copy.

        Raises:
            RuntimeError: it has no value yet.
        """
        if waiting.anything():
            self._let_come_in()
        if not self._initialized:
            raise RuntimeError(
                f"{self!r} has no value yet. Assign one with assign(), or restore a checkpoint."
            )
        return self.storage_array()

    @property
    def initialized(self) -> bool:
        """Whether it has a value."""
        if waiting.anything():
            self._let_come_in()
        return self._initialized

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, which never changes."""
        return self.storage_array().shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype, which never changes."""
        return self.storage_array().dtype

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

    def numpy(self) -> _Array:
        """Return a copy of the value."""
        return self.value.copy()

    def assign(self, value: npt.ArrayLike) -> Self:
        """Overwrite the value in place.

        Args:
            value: an array-like of the same shape, of a dtype that numpy casts as "same_kind".

        Returns:
            this Variable.

        Raises:
            ValueError: the shape differs.
            TypeError: the dtype is of another kind.

        """
        if waiting.anything():
            self._let_come_in()
        storage = self.storage_array()
        if np.shape(value) != storage.shape:
            raise ValueError(
                f"{self._label()} is {_spelled(storage)}, the value has the shape"
                f" {np.shape(value)}. Reshape it, or create another Variable."
            )
        _copy(storage, value, self._label())
        self.mark_initialized()
        return self

    def assign_add(self, delta: npt.ArrayLike) -> Self:
        """Add to the value in place, and return this Variable.

        Raises:
            TypeError, ValueError: as `assign`.
        """
        return self.assign(np.add(self.value, delta))

    def assign_sub(self, delta: npt.ArrayLike) -> Self:
        """Subtract from the value in place, and return this Variable.

        Raises:
            TypeError, ValueError: as `assign`.
        """
        return self.assign(np.subtract(self.value, delta))

    # Where the value lives: nothing else in the library knows.

    def storage_array(self) -> _Array:
        """Return the array that holds the value, or will: for restores, which write into it."""
        return self._storage

    def mark_initialized(self) -> None:
        """Note that the storage array holds a value now."""
        self._initialized = True

    def __repr__(self) -> str:
        state = repr(self.storage_array()) if self._initialized else "no value"
        name = "" if self._name is None else f" {self._name!r}"
        return f"<{type(self).__name__}{name} {_spelled(self.storage_array())}: {state}>"

    def __format__(self, format_spec: str) -> str:
        return format(self.value, format_spec) if format_spec else str(self)

    def _label(self) -> str:
        return f"Variable {self._name!r}" if self._name is not None else "the Variable"

    def _let_come_in(self) -> None:
        """Let waiting values come in before a Variable is used that no restore has given one."""
        tracking = peek_tracking(self)
        if tracking is None or not tracking.restored:
            waiting.settle()


def _new_storage(shape: Shape | None, dtype: npt.DTypeLike | None) -> _Array:
    if shape is None:
        raise ValueError("a Variable needs an initial value or a shape; neither is given")
    return np.zeros(normal_shape(shape), _checked(np.dtype(np.float32 if dtype is None else dtype)))


def _owned(value: npt.ArrayLike, dtype: npt.DTypeLike | None) -> _Array:
    """Return a copy of a value that is writable, C-contiguous and of native byte order."""
    if isinstance(value, np.ma.MaskedArray):
        raise NotCheckpointableError(
            "a Variable cannot hold a masked array: keep .data and .mask as two Variables."
        )
    target = _checked(np.asarray(value).dtype if dtype is None else np.dtype(dtype))
    return np.array(value, target, order="C")


def _checked(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in native byte order; refuse one whose values cannot be stored."""
    reason = dtype_refusal(dtype)
    if reason is not None:
        raise NotCheckpointableError(f"a Variable of dtype {dtype}: {reason}.")
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _copy(storage: _Array, value: npt.ArrayLike, label: str) -> None:
    """Copy a value of the same shape into an array."""
    casting: Literal["safe", "same_kind"] = (
        "safe" if storage.dtype.kind in _SIZED_KINDS else "same_kind"
    )
    try:
        np.copyto(storage, value, casting=casting)
    except (TypeError, OverflowError) as error:
        found = np.asarray(value).dtype
        raise TypeError(
            f"{label} is {_spelled(storage)}, the value is {found}, which does not cast to it"
            f" as {casting!r}. Convert it first, with astype()."
        ) from error


def _spelled(array: _Array) -> str:
    return f"{array.dtype} {array.shape}"
