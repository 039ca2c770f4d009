"""The types of plain values: what is stored as a Python value, exactly of these types."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any, Final

#: A scalar of exactly one of these types is a plain value; subclasses are not.
PLAIN_SCALARS: Final[frozenset[type[Any]]] = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        datetime.datetime,
        datetime.date,
        datetime.timedelta,
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.PosixPath,
        pathlib.WindowsPath,
    }
)

#: A container of one of these types that holds nothing but plain values and numpy scalars is a
#: plain value. A subclass is stored as its base.
PLAIN_CONTAINERS: Final[tuple[type[Any], ...]] = (list, tuple, dict, set, frozenset)

#: The dtypes of the optional package `ml_dtypes` that can be stored, by name.
EXTENSION_DTYPES: Final = frozenset(
    {
        "bfloat16",
        "float4_e2m1fn",
        "float8_e3m4",
        "float8_e4m3",
        "float8_e4m3b11fnuz",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "int2",
        "int4",
        "uint2",
        "uint4",
    }
)
