"""The closed table of dtypes: their names in files, and what numpy calls them (F-25)."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any, Final

import numpy as np

from checkpointable.errors import MissingDependencyError, NotCheckpointableError
from checkpointable.plain import EXTENSION_DTYPES

#: Dtypes without fixed item size: an array of str and bytes, a Python value, opaque bytes.
STRING: Final = "string"
PYTHON: Final = "python"
BYTES: Final = "bytes"
UNSIZED: Final = frozenset({STRING, PYTHON, BYTES})

_NUMBERS: Final = frozenset(
    (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)
_EXTENSION_SIZES: Final = {name: 2 if name == "bfloat16" else 1 for name in EXTENSION_DTYPES}
_TIME: Final = re.compile(
    r"(datetime64|timedelta64)(\[([1-9][0-9]{0,9})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
)
_FIXED_TEXT: Final = re.compile(r"([SU])([1-9][0-9]{0,9})")
_LONGEST_TEXT: Final = {"S": 2**31 - 1, "U": (2**31 - 1) // 4}


@lru_cache(maxsize=4096)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype in files; its byte order is not part of it.

    >>> dtype_name(np.dtype(">f4")), dtype_name(np.dtype("U7"))
    ('float32', 'U7')

    Raises:
        NotCheckpointableError: no file can hold arrays of this dtype.
    """
    if dtype.kind in "SU" and dtype.itemsize:
        return f"{dtype.kind}{dtype.itemsize // (4 if dtype.kind == 'U' else 1)}"
    if dtype.kind == "T":
        return STRING
    if dtype.kind not in "SU" and dtype.names is None and is_dtype_name(dtype.name):
        return dtype.name
    raise NotCheckpointableError(
        f"arrays of dtype {dtype} cannot be stored. Convert them to a dtype of numbers or text."
    )


def is_dtype_name(name: str) -> bool:
    """Tell whether a name is in the table.

    >>> is_dtype_name("float32"), is_dtype_name("O"), is_dtype_name("datetime64[25s]")
    (True, False, True)
    """
    if name in _NUMBERS or name in EXTENSION_DTYPES or name in UNSIZED:
        return True
    if match := _FIXED_TEXT.fullmatch(name):
        return int(match[2]) <= _LONGEST_TEXT[match[1]]
    if match := _TIME.fullmatch(name):
        return match[3] is None or 2 <= int(match[3]) < 2**31
    return False


@lru_cache(maxsize=4096)
def item_size(name: str) -> int:
    """Return the bytes of one element, 0 for a dtype without fixed item size."""
    if name in UNSIZED:
        return 0
    if name in EXTENSION_DTYPES:
        return _EXTENSION_SIZES[name]
    return np.dtype(name).itemsize


def alignment(name: str) -> int:
    """Return to what multiple an extent of less than 64 bytes is aligned (F-29)."""
    if name in UNSIZED or name[0] == "S":
        return 1
    return 4 if name[0] == "U" else item_size(name)


@lru_cache(maxsize=4096)
def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the numpy dtype, of native byte order, of a name in the table.

    Raises:
        MissingDependencyError: it takes the package `ml_dtypes`, which is not installed.
    """
    if name in EXTENSION_DTYPES:
        return _extension_dtype(name)
    return np.dtype(object if name in UNSIZED else name)


@lru_cache(maxsize=4096)
def stored_dtype(name: str) -> np.dtype[Any]:
    """Return the numpy dtype of the bytes in the file: little-endian, of fixed item size."""
    return numpy_dtype(name).newbyteorder("<")


def _extension_dtype(name: str) -> np.dtype[Any]:
    try:
        package = importlib.import_module("ml_dtypes")
    except ImportError:
        raise MissingDependencyError(
            f"values of dtype {name} need the package ml_dtypes, which is not installed. Install"
            " it: pip install 'checkpointable[ml-dtypes]'"
        ) from None
    if not hasattr(package, name):
        raise MissingDependencyError(
            f"the installed ml_dtypes {package.__version__} has no dtype {name}. Install a newer"
            " one: pip install --upgrade ml_dtypes"
        )
    dtype: np.dtype[Any] = np.dtype(getattr(package, name))
    return dtype
