"""The keys under which the slices of divided tensors are stored (T-11).

They are coded so that the order of the bytes is the order of names and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: Per dimension where a slice begins and how many positions it has.
Extents = Sequence[tuple[int, int]]

#: The length that means the whole dimension.
WHOLE: Final = -1


def slice_key(name: bytes, extents: Extents) -> bytes:
    r"""Return the key of a slice.

    Args:
        name: the key of the tensor.
        extents: exactly as they stand in the file: the whole dimension, (0, WHOLE), and all its
            positions, (0, 5), have different keys.

    >>> slice_key(b"p", [(0, 2)])
    b'\x00p\x00\x01\x01\x01\x80\x82'
    """
    # Of two bytes each takes two; nothing that is written for one may be taken for the other.
    escaped = b"\xff\x00".join(part.replace(b"\x00", b"\x00\xff") for part in name.split(b"\xff"))
    parts = [b"\x00", escaped, b"\x00\x01", _unsigned(len(extents))]
    parts += [_signed(number) for extent in extents for number in extent]
    return b"".join(parts)


def _unsigned(value: int) -> bytes:
    """Return a number from 0 on: how many bytes, then these, the highest first."""
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "big")


def _signed(value: int) -> bytes:
    """Return a number of 64 bits: the bits at the beginning say how many bytes it takes."""
    length = (value if value >= 0 else ~value).bit_length() // 7 + 1
    bits = 8 * length
    coded = (value & (1 << bits) - 1) ^ ((1 << length) - 1 << bits - length)
    return coded.to_bytes(length, "big")
