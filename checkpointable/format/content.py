"""What the bytes of a tensor may be, beyond its checksum (F-25, F-30)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from checkpointable.format.frame import corrupt

_HIGHEST_CODE_POINT: Final = 0x10FFFF


def is_restricted(dtype: str) -> bool:
    """Tell whether some bytes are no elements of a dtype of fixed item size."""
    return dtype == "bool" or dtype[0] == "U"


def check_content(dtype: str, array: npt.NDArray[Any], file: str) -> None:
    """Check that the bytes that were read into an array are elements of its dtype.

    Raises:
        CorruptCheckpointError: a bool is neither 0 nor 1, or a character is beyond Unicode.
    """
    if not is_restricted(dtype) or not array.size:
        return
    is_text = dtype[0] == "U"
    codes = array.reshape(-1).view(np.uint32 if is_text else np.uint8)
    if is_text and not array.dtype.isnative:
        codes = codes.byteswap()
    limit = _HIGHEST_CODE_POINT if is_text else 1
    highest = int(codes.max())
    if highest > limit:
        raise corrupt(
            file,
            "F-25",
            f"an element of a tensor of dtype {dtype} is impossible",
            expected=f"at most {limit}",
            found=highest,
        )
