"""The bytes of an array as they are stored: little-endian, in C order, however it lies in memory.

Contiguous arrays are never copied as a whole, others in pieces of 1 MiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from checkpointable.format.dtypes import dtype_name, stored_dtype

#: Arrays that cannot be handed on as they lie are copied in blocks of this many bytes.
_BLOCK: Final = 2**20


@lru_cache(maxsize=4096)
def is_buffer(dtype: np.dtype[Any]) -> bool:
    """Tell whether contiguous arrays are themselves buffers of the bytes to be stored."""
    is_builtin = dtype.kind in "biufcSU" and dtype.isbuiltin == 1
    return is_builtin and dtype == stored_dtype(dtype_name(dtype))


def lies_as_stored(array: npt.NDArray[Any]) -> bool:
    """Tell whether the bytes in memory are those to be stored."""
    return array.flags.c_contiguous and array.dtype == stored_dtype(dtype_name(array.dtype))


def as_stored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array whose bytes in memory are those to be stored: itself, or a copy."""
    return np.ascontiguousarray(array, dtype=stored_dtype(dtype_name(array.dtype)))


def as_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the bytes of a C-contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8)


def blocks(array: npt.NDArray[Any]) -> Iterator[bytes]:
    """Yield the bytes to be stored, copied piece by piece."""
    stored = stored_dtype(dtype_name(array.dtype))
    pieces = np.nditer(  # type: ignore[call-overload]  # numpy's stub misspells "contig"
        array,
        flags=["external_loop", "buffered"],
        op_flags=[["readonly", "contig"]],
        op_dtypes=[stored],
        casting="equiv",
        order="C",
        buffersize=max(_BLOCK // stored.itemsize, 1),
    )
    for piece in pieces:
        yield piece.tobytes()
