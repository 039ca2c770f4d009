"""Arrays of str and bytes as tensors of dtype string (F-37)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import STRING
from checkpointable.format.frame import corrupt
from checkpointable.format.records import Blob

_TEXT = 0
_BYTES = 1


def encode_strings(array: npt.NDArray[Any]) -> Blob:
    """Return an array of dtype object or StringDType as it is written.

    >>> encode_strings(np.array(["a", b"bc"], dtype=object)).data.hex()
    '000101000000000000000200000000000000616263'

    Raises:
        NotCheckpointableError: it holds something that is neither str nor bytes.
    """
    items = array.reshape(-1).tolist()
    for kind in set(map(type, items)) - {str, bytes}:
        raise NotCheckpointableError(
            f"an array of dtype {array.dtype} holds a {kind.__name__}, expected str and bytes only."
            " Replace it, or keep the items in a list."
        )
    contents = [
        item if type(item) is bytes else item.encode("utf-8", "surrogatepass") for item in items
    ]
    kinds = bytes(_BYTES if type(item) is bytes else _TEXT for item in items)
    lengths = np.array([len(content) for content in contents], dtype="<u8").tobytes()
    return Blob(STRING, array.shape, b"".join((kinds, lengths, *contents)))


def decode_strings(
    data: bytes | memoryview, shape: tuple[int, ...], size: int, file: str
) -> npt.NDArray[Any]:
    """Return the array of dtype object whose `size` elements were encoded.

    Raises:
        CorruptCheckpointError: this is no encoded array of that size.
    """
    if len(data) < 9 * size:
        raise corrupt(
            file,
            "F-37",
            "an array of strings is cut short",
            expected=f"at least {9 * size} bytes",
            found=len(data),
        )
    kinds = np.frombuffer(data, np.uint8, size)
    lengths = np.frombuffer(data, "<u8", size, offset=size)
    # The sum of the floats shows that the sum of the integers cannot overflow.
    total = int(lengths.sum()) if lengths.sum(dtype=np.float64) < 2.0**63 else -1
    if int(kinds.max(initial=0)) > _BYTES or total != len(data) - 9 * size:
        raise corrupt(file, "F-37", "the kinds or lengths of an array of strings are wrong")
    edges = (9 * size + np.cumsum(np.append([0], lengths.astype(np.int64)))).tolist()
    array = np.empty(size, dtype=object)
    try:
        for i, (start, end) in enumerate(pairwise(edges)):
            content = bytes(data[start:end])
            array[i] = content if kinds[i] else content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise corrupt(file, "F-37", "a text in an array of strings is not valid UTF-8") from None
    return array.reshape(shape)
