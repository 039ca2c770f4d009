"""Which dtypes safetensors has, and what they are called here (ST-5)."""

from __future__ import annotations

from typing import Final

#: Our names by theirs. The dtypes of less than a byte, and complex numbers of 16, have none.
OURS: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
#: Their names by ours.
THEIRS: Final = {ours: theirs for theirs, ours in OURS.items()}
#: What bytes without a dtype are stored as.
OPAQUE: Final = "uint8"
