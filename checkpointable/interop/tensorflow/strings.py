"""Tensors of strings (T-8) and of variants (T-9), from their bytes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, Literal

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.frame import corrupt
from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.varints import read_varint

ByteOrder = Literal["little", "big"]

#: Where the lengths end, their checksum stands.
_CHECKSUM: Final = 4
_LONGEST_VARINT: Final = 10
_MOST_32_BITS: Final = 0xFFFFFFFF


@attrs.frozen(eq=False)
class Decoded:
    """The elements of a tensor without fixed item size.

    Attributes:
        items: the elements, each of them bytes.
        checksum: what the index must say, masked.
    """

    items: list[bytes]
    checksum: int


def decode_strings(data: memoryview, count: int, order: ByteOrder, file: str) -> Decoded:
    """Return the strings that were encoded: all lengths, their checksum, all bytes.

    Args:
        data: the bytes.
        count: how many strings.
        order: the byte order of the file.
        file: where they come from, for messages.

    Raises:
        CorruptCheckpointError: these are no encoded strings, or not so many.
    """
    if not count and not data:
        return Decoded([], mask(0))
    lengths, start = _read_lengths(data, count, file)
    end = start + _CHECKSUM
    ends = np.cumsum(lengths, dtype=np.float64)
    # Floats do not overflow; below 2**53 they are exact.
    if end > len(data) or (count and float(ends[-1]) != len(data) - end):
        raise corrupt(
            file,
            "T-8",
            "the lengths of the strings of a tensor do not sum up",
            expected=f"{len(data) - end} bytes",
            found=int(ends[-1]) if count else 0,
        )
    if not count and end != len(data):
        raise corrupt(
            file, "T-8", "a tensor without strings has bytes", expected=4, found=len(data)
        )
    checksum = crc(_fixed_lengths(lengths, order))
    stored = int.from_bytes(data[start:end], order)
    if stored != mask(checksum):
        raise corrupt(
            file,
            "T-8",
            "the checksum of the lengths of strings is wrong",
            expected=f"{stored:08x}",
            found=f"{mask(checksum):08x}",
        )
    content = bytes(data[end:])
    places = [0, *ends.astype(np.int64).tolist()]
    items = [content[a:b] for a, b in pairwise(places)]
    return Decoded(items, mask(crc(content, crc(data[start:end], checksum))))


def decode_variants(data: memoryview, count: int, file: str) -> Decoded:
    """Return the variants that were encoded: of each its length, its bytes and a checksum.

    Raises:
        CorruptCheckpointError: these are no encoded variants, or not so many.
    """
    if count > len(data):
        raise _too_many(count, data, "T-9", file)
    items: list[bytes] = []
    checksum = position = 0
    for _ in range(count):
        length, start = read_varint(data, position, len(data), file, "T-9")
        end = start + length
        position = end + _CHECKSUM
        if position > len(data):
            raise corrupt(file, "T-9", "a variant is cut short", expected=position, found=len(data))
        items.append(bytes(data[start:end]))
        checksum = crc(data[start:end], crc(length.to_bytes(8, "little"), checksum))
        stored = int.from_bytes(data[end:position], "little")
        if stored != mask(checksum):
            raise corrupt(
                file,
                "T-9",
                "the checksum of a variant is wrong",
                expected=f"{stored:08x}",
                found=f"{mask(checksum):08x}",
            )
        checksum = crc(data[end:position], checksum)
    if position != len(data):
        raise corrupt(
            file, "T-9", "variants are followed by bytes", expected=position, found=len(data)
        )
    return Decoded(items, mask(checksum))


def as_array(items: list[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return elements as an array of dtype object."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def _read_lengths(data: memoryview, count: int, file: str) -> tuple[npt.NDArray[np.uint64], int]:
    """Return the lengths at the beginning, and where they end."""
    if count > len(data):
        raise _too_many(count, data, "T-8", file)
    head = np.frombuffer(data[: count * _LONGEST_VARINT], np.uint8)
    lasts = np.flatnonzero(head[: count * _LONGEST_VARINT] < 128)[:count]
    firsts = np.concatenate([[0], lasts[:-1] + 1]) if count else lasts
    if len(lasts) < count or (lasts - firsts >= _LONGEST_VARINT).any():
        raise corrupt(file, "T-8", "the lengths of the strings of a tensor are damaged")
    if not count:
        return np.zeros(0, np.uint64), 0
    end = int(lasts[-1]) + 1
    shifts = 7 * (np.arange(end) - np.repeat(firsts, lasts - firsts + 1))
    groups = (head[:end] & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(groups, firsts), end


def _fixed_lengths(lengths: npt.NDArray[np.uint64], order: ByteOrder) -> bytes:
    """Return lengths as they are summed: in four bytes each, or in eight if they need them."""
    sign = "<" if order == "little" else ">"
    if not lengths.size or int(lengths.max()) <= _MOST_32_BITS:
        return lengths.astype(f"{sign}u4").tobytes()
    return b"".join(n.to_bytes(4 if n <= _MOST_32_BITS else 8, order) for n in lengths.tolist())


def _too_many(count: int, data: memoryview, rule: str, file: str) -> CorruptCheckpointError:
    return corrupt(
        file,
        rule,
        "a tensor has more elements than bytes",
        expected=f"at least {count} bytes",
        found=len(data),
    )
