"""The arrays that Variables own: how they are made, and written to."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.trackable.arrays import dtype_refusal
from checkpointable.trackable.initializers import Shape, normal_shape

_Array = npt.NDArray[Any]

#: Values of these kinds are cut to the item size by a cast that numpy calls "same_kind".
_SIZED_KINDS: Final = frozenset("SU")


def zeros(shape: Shape | None, dtype: npt.DTypeLike | None) -> _Array:
    """Return an array for a Variable that is made without a value, float32 by default."""
    if shape is None:
        raise ValueError("a Variable needs an initial value or a shape; neither is given")
    return np.zeros(
        normal_shape(shape), _owned_dtype(np.dtype(np.float32 if dtype is None else dtype))
    )


def pattern(shape: Shape | None, dtype: npt.DTypeLike | None) -> _Array:
    """Return what `zeros` does, but without memory for the items, and not to be written to."""
    empty = zeros(None if shape is None else (), dtype)
    return np.broadcast_to(empty, () if shape is None else normal_shape(shape))


def owned_copy(value: npt.ArrayLike, dtype: npt.DTypeLike | None) -> _Array:
    """Return a copy of a value that is writable, C-contiguous and of native byte order."""
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise NotCheckpointableError(
            "a Variable cannot hold a masked array: keep .data and .mask as two Variables."
        )
    if dtype is not None:
        return np.array(value, _owned_dtype(np.dtype(dtype)), order="C")
    array = np.array(value, order="C")
    target = _owned_dtype(array.dtype)
    return array if target is array.dtype else array.astype(target)


def check_shape(found: tuple[int, ...], shape: Shape) -> None:
    """Refuse an initial value of another shape than the one that is asked for."""
    if found != normal_shape(shape):
        raise ValueError(f"the initial value has the shape {found}, expected {normal_shape(shape)}")


def overwrite(array: _Array, value: npt.ArrayLike, label: str) -> None:
    """Copy a value into an array of the same shape.

    Raises:
        ValueError: the shape differs.
        TypeError: the dtype is of another kind.
    """
    if np.shape(value) != array.shape:
        raise ValueError(
            f"{label} is {spelled(array)}, the value has the shape {np.shape(value)}. Reshape it,"
            " or create another Variable."
        )
    casting: Literal["safe", "same_kind"] = (
        "safe" if array.dtype.kind in _SIZED_KINDS else "same_kind"
    )
    try:
        np.copyto(array, value, casting=casting)
    except (TypeError, OverflowError) as error:
        found = np.asarray(value).dtype
        raise TypeError(
            f"{label} is {spelled(array)}, the value is {found}, which does not cast to it"
            f" as {casting!r}. Convert it first, with astype()."
        ) from error


def spelled(array: _Array) -> str:
    """Return how messages name dtype and shape of an array."""
    return f"{array.dtype} {array.shape}"


def _owned_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in native byte order; refuse one whose values cannot be stored."""
    reason = dtype_refusal(dtype)
    if reason is not None:
        raise NotCheckpointableError(f"a Variable of dtype {dtype}: {reason}.")
    return dtype if dtype.isnative else dtype.newbyteorder("=")
