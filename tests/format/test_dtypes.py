"""The closed table of dtypes."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from checkpointable.errors import MissingDependencyError, NotCheckpointableError
from checkpointable.format import dtypes
from checkpointable.plain import EXTENSION_DTYPES

NUMPY = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *("datetime64", "datetime64[ns]", "datetime64[25s]", "timedelta64", "timedelta64[Y]"),
]


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_dtypes_keep_their_names(name: str) -> None:
    """A dtype of numpy and the name in the file lead to each other, whatever the byte order."""
    for order in "=<>":
        assert name == dtypes.dtype_name(np.dtype(name).newbyteorder(order))
    assert np.dtype(name) == dtypes.numpy_dtype(name)
    assert np.dtype(name).itemsize == dtypes.item_size(name)


@pytest.mark.parametrize("name", sorted(EXTENSION_DTYPES))
def test_extension_dtypes_keep_their_names(name: str) -> None:
    """A dtype of ml_dtypes and the name in the file lead to each other."""
    dtype = np.dtype(getattr(ml_dtypes, name))

    assert name == dtypes.dtype_name(dtype)
    assert dtype == dtypes.numpy_dtype(name)
    assert dtype.itemsize == dtypes.item_size(name)


@pytest.mark.parametrize(
    ("dtype", "name", "size", "alignment"),
    [("S7", "S7", 7, 1), (">U3", "U3", 12, 4), ("c16", "complex128", 16, 16)],
)
def test_text_dtypes_are_named_by_their_length(
    dtype: str, name: str, size: int, alignment: int
) -> None:
    """Fixed-width bytes count bytes, fixed-width text counts code points."""
    assert name == dtypes.dtype_name(np.dtype(dtype))
    assert (size, alignment) == (dtypes.item_size(name), dtypes.alignment(name))


@pytest.mark.parametrize(
    "dtype",
    [np.dtype(x) for x in ("O", "V8", "S0", "U0", "i4,f8", "(2,)f4", np.longdouble)],
    ids=str,
)
def test_other_dtypes_are_refused(dtype: np.dtype[Any]) -> None:
    """Objects, void, structures, long doubles and text without length have no name."""
    with pytest.raises(NotCheckpointableError, match="cannot be stored"):
        dtypes.dtype_name(dtype)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "O",
            "O8",
            "|O",
            "V8",
            "float",
            "<f4",
            "f4",
            "int",
            "S",
            "S0",
            "S01",
            "U-1",
            "S9" * 6,
        ),
        *("S2147483648", "U536870912", "datetime64[1s]", "datetime64[]", "datetime64[0s]"),
        *("datetime64[2147483648s]", "float32 ", "float32\n", "(2,)f4", "f4,f4", "object", "void"),
        *("longdouble", "float128", "S\N{ARABIC-INDIC DIGIT ONE}", "int4x", "complex32"),
    ],
)
def test_names_outside_the_table_are_refused(name: str) -> None:
    """What numpy would take for a dtype, and the table does not hold, is no name."""
    assert not dtypes.is_dtype_name(name)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ml_dtypes its dtypes can be listed but not read; the message says what to install."""
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    dtypes.numpy_dtype.cache_clear()

    assert dtypes.item_size("bfloat16") == 2
    with pytest.raises(MissingDependencyError, match=r"pip install 'checkpointable\[ml-dtypes\]'"):
        dtypes.numpy_dtype("bfloat16")


def test_an_old_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ml_dtypes that lacks the dtype is to be upgraded."""
    monkeypatch.delattr(ml_dtypes, "float8_e8m0fnu")
    dtypes.numpy_dtype.cache_clear()

    with pytest.raises(MissingDependencyError, match="pip install --upgrade ml_dtypes"):
        dtypes.numpy_dtype("float8_e8m0fnu")
