"""Which arrays can be stored, and what to do about the others."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from checkpointable.plain import EXTENSION_DTYPES

#: Booleans, integers, floats, complex numbers, text, bytes, dates and durations.
_STORABLE_KINDS: Final = frozenset("biufcSUMmT")
_LONG_DOUBLES: Final = frozenset("gG")

#: The most dimensions that a stored array has.
MOST_DIMENSIONS: Final = 32


def dtype_refusal(dtype: np.dtype[Any]) -> str | None:
    """Say why values of a dtype cannot be stored and what to do; `None` if they can.

    Arrays of dtype object are judged by what they hold: see `array_refusal`.
    """
    if dtype.kind in _STORABLE_KINDS:
        if dtype.char not in _LONG_DOUBLES:
            return None
        return f"{dtype} differs between machines: convert it to float64 or complex128"
    if dtype.names is not None:
        return "structured arrays cannot be stored: keep each field as an array of its own"
    if dtype.kind == "V":
        return None if dtype.name in EXTENSION_DTYPES else f"dtype {dtype} cannot be stored"
    if dtype.kind == "O":
        return "dtype object cannot be stored: give the array a dtype of numbers or text"
    return f"dtype {dtype} cannot be stored"


def array_refusal(array: npt.NDArray[Any]) -> str | None:
    """Say why an array cannot be stored and what to do; `None` if it can."""
    if array.ndim > MOST_DIMENSIONS:
        return f"it has {array.ndim} dimensions, the most allowed is {MOST_DIMENSIONS}: reshape it"
    if type(array) is np.ndarray:
        return _object_refusal(array) if array.dtype.kind == "O" else dtype_refusal(array.dtype)
    if isinstance(array, np.ma.MaskedArray):
        return "masked arrays cannot be stored: keep .data and .mask as two arrays"
    if isinstance(array, np.memmap):
        return "memory-mapped arrays are not restored as such: use np.array(x)"
    return f"{type(array).__name__} is a subclass of ndarray: use np.asarray(x)"


def _object_refusal(array: npt.NDArray[Any]) -> str | None:
    """Say why an array of dtype object cannot be stored: it may hold text and bytes only."""
    for found in set(map(type, array.ravel(order="K").tolist())):
        if found is not str and found is not bytes:
            return (
                f"the array is of dtype object and holds a {found.__name__}: only str and bytes"
                " can be stored so; give it a dtype of numbers, or use a list"
            )
    return None
