"""TensorFlow's dtypes: their numbers, and what they are called here (T-6)."""

from __future__ import annotations

from typing import Final

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.dtypes import STRING

#: The numbers of data whose elements have their own encoding (T-8, T-9).
STRING_NUMBER: Final = 7
VARIANT_NUMBER: Final = 21

#: Every number that a file may have, with the name here.
_NAMES: Final = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    STRING_NUMBER: STRING,
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    26: "float8_e4m3fnuz",
    27: "float8_e4m3b11fnuz",
    28: "float8_e5m2fnuz",
    29: "int4",
    30: "uint4",
    31: "int2",
    32: "uint2",
    33: "float4_e2m1fn",
}
#: Quantized integers are kept as integers (no scale is stored), variants as their bytes.
_READ_ONLY: Final = {
    11: "int8",
    12: "uint8",
    13: "int32",
    15: "int16",
    16: "uint16",
    VARIANT_NUMBER: STRING,
}
_READ: Final = _NAMES | _READ_ONLY
_NUMBERS: Final = {name: number for number, name in _NAMES.items()}


def dtype_name(number: int, file: str, what: str) -> str:
    """Return what TensorFlow's dtype of that number is called here.

    Args:
        number: of the dtype.
        file: where it stands, for messages.
        what: whose dtype it is, for messages.

    Raises:
        UnsupportedFormatError: nothing is stored with that number.
    """
    name = _READ.get(number)
    if name is None:
        raise UnsupportedFormatError(
            f"{file}: {what} has TensorFlow's dtype {number}, expected one of the numbers"
            f" 1 to {max(_READ)} that can be stored (T-6 of docs/tensorflow-format.md). The file is"
            " damaged, or of a newer version of TensorFlow."
        )
    return name


def dtype_number(name: str) -> int | None:
    """Return the number of TensorFlow's dtype that is called so here; `None` if it has none.

    >>> dtype_number("float32"), dtype_number("datetime64[s]")
    (1, None)
    """
    return _NUMBERS.get(name)
