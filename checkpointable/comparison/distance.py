"""How far two arrays are apart: bit for bit, and as numbers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from checkpointable.plain import EXTENSION_DTYPES

_Array = npt.NDArray[Any]

_INTEGERS: Final = "biu"
_SMALL_INTEGERS: Final = frozenset({"int2", "int4", "uint2", "uint4"})
#: How many bytes, or elements, are looked at together.
_AT_ONCE: Final = 1 << 18


def is_equal(a: _Array, b: _Array) -> bool:
    """Tell whether two C-contiguous arrays of one dtype and shape are equal bit for bit.

    >>> nan, zero = np.array([np.nan]), np.array([0.0])
    >>> is_equal(nan, nan.copy()), is_equal(zero, -zero)
    (True, False)
    """
    left, right = _bytes(a), _bytes(b)
    for start in range(0, len(left), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        if left[part].tobytes() != right[part].tobytes():
            return False
    return True


def largest_difference(a: _Array, b: _Array) -> float | None:
    """Return the largest absolute difference between two elements in the same place.

    Two infinities of one sign, and two NaNs, do not differ. Where one alone is NaN, the result
    is NaN. Nothing overflows: integers are exact until the result is rounded to a float.

    Returns:
        `None` if the shapes differ, or the elements are no numbers.

    >>> largest_difference(np.array([1, 250], np.uint8), np.array([2, 0], np.uint8))
    250.0
    """
    if a.shape != b.shape or not (_is_number(a.dtype) and _is_number(b.dtype)):
        return None
    left, right = a.reshape(-1), b.reshape(-1)
    largest = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(left), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            # NaN wins over every number.
            largest = float(np.maximum(largest, _distances(left[part], right[part]).max()))
    return largest


def _bytes(array: _Array) -> npt.NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _distances(a: _Array, b: _Array) -> npt.NDArray[np.float64]:
    if a.dtype.kind == "c" or b.dtype.kind == "c":
        return _complex_distances(_as_complex(a), _as_complex(b))
    if _is_integer(a.dtype) and _is_integer(b.dtype):
        return _integer_distances(a, b)
    return _float_distances(a.astype(np.float64), b.astype(np.float64))


def _float_distances(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    apart = np.abs(a - b)
    apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    return apart


def _complex_distances(
    a: npt.NDArray[np.complex128], b: npt.NDArray[np.complex128]
) -> npt.NDArray[np.float64]:
    real, imaginary = _float_distances(a.real, b.real), _float_distances(a.imag, b.imag)
    apart = np.hypot(real, imaginary)
    apart[np.isnan(real) | np.isnan(imaginary)] = np.nan  # hypot(inf, nan) is inf
    return apart


def _integer_distances(a: _Array, b: _Array) -> npt.NDArray[np.float64]:
    """Subtract in halves of 32 bits: each fits into a float, and only their sum is rounded."""
    (high_a, low_a), (high_b, low_b) = _halves(a), _halves(b)
    return np.abs((high_a - high_b) * 2.0**32 + (low_a - low_b))


def _halves(integers: _Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    wide = integers.astype(np.uint64 if integers.dtype.kind == "u" else np.int64)
    return (wide >> 32).astype(np.float64), (wide & 0xFFFF_FFFF).astype(np.float64)


def _is_number(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a dtype are numbers; dates, durations and texts are none."""
    return dtype.kind in "biufc" or dtype.name in EXTENSION_DTYPES


def _is_integer(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in _INTEGERS or dtype.name in _SMALL_INTEGERS


def _as_complex(array: _Array) -> npt.NDArray[np.complex128]:
    numbers = array if array.dtype.kind == "c" else array.astype(np.float64)
    return numbers.astype(np.complex128)
