"""Strings as TensorFlow stores them: their lengths, a checksum of these, their bytes (T-8)."""

from __future__ import annotations

import math
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import STRING
from checkpointable.format.records import Blob
from checkpointable.interop.tensorflow.checksums import crc, mask

#: Lengths from this on are checksummed as eight bytes, others as four.
_TOO_LONG: Final = 2**32


@attrs.frozen(slots=True, eq=False)
class StringData:
    """A tensor of strings, ready to be written.

    Attributes:
        head: the lengths and their checksum, which go first.
        start: the checksum of the tensor before its first string.
        strings: their bytes, one after the other.
    """

    head: bytes
    start: int
    strings: memoryview


def string_data(blob: Blob) -> StringData:
    """Return what is written of a value without fixed item size; opaque bytes are one string.

    >>> string_data(Blob("bytes", (), b"hi")).head.hex()
    '02d8d81073'

    Raises:
        NotCheckpointableError: a str in it is no Unicode text.
    """
    if blob.dtype != STRING:
        return _string_data(np.array([len(blob.data)], "<u8"), memoryview(blob.data))
    # The native encoding: a kind for each element, their lengths, their bytes (F-37).
    count = math.prod(blob.shape)
    lengths = np.frombuffer(blob.data, "<u8", count, offset=count)
    strings = memoryview(blob.data)[9 * count :]
    if b"\x00" in blob.data[:count]:
        _check_text(strings)
    return _string_data(lengths, strings)


def _check_text(strings: memoryview) -> None:
    """Refuse a str that UTF-8 cannot hold; together they are valid only if each of them is."""
    try:
        str(strings, "utf-8")
    except UnicodeDecodeError:
        raise NotCheckpointableError(
            "the array holds a str that is no Unicode text (half of a surrogate pair), which"
            " TensorFlow cannot store. Encode it to bytes"
        ) from None


def _string_data(lengths: npt.NDArray[Any], strings: memoryview) -> StringData:
    longest = int(lengths.max(initial=0))
    start = crc(_checked_lengths(lengths, longest))
    checksum = mask(start).to_bytes(4, "little")
    return StringData(_varints(lengths, longest) + checksum, crc(checksum, start), strings)


def _checked_lengths(lengths: npt.NDArray[Any], longest: int) -> bytes:
    """Return lengths as they are checksummed: four bytes each, eight where that is too little."""
    if longest < _TOO_LONG:
        return lengths.astype("<u4").tobytes()
    return b"".join(n.to_bytes(4 if n < _TOO_LONG else 8, "little") for n in lengths.tolist())


def _varints(numbers: npt.NDArray[Any], highest: int) -> bytes:
    """Return numbers in groups of seven bits each, the lowest first."""
    if highest < 0x80:
        return numbers.astype(np.uint8).tobytes()
    shifts = np.arange(0, highest.bit_length(), 7, dtype=np.uint64)
    groups = numbers[:, None] >> shifts
    needed = groups > 0
    needed[:, 0] = True
    more = np.zeros_like(needed)
    more[:, :-1] = needed[:, 1:]
    return (
        ((groups & np.uint64(0x7F)) | (more * np.uint64(0x80))).astype(np.uint8)[needed].tobytes()
    )
