"""TensorFlow's dtypes and ours (T-6)."""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
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
_NUMBERS: Final = {name: number for number, name in _NAMES.items()}


def dtype_number(name: str) -> int | None:
    """Return TensorFlow's number of a dtype; `None` if it has none."""
    return _NUMBERS.get(name)
