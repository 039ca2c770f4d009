"""The keys under which the slices of divided tensors are stored (T-11).

They are coded so that the order of the bytes is the order of names and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Per dimension where a slice begins and how many positions it has; `None` for all there are.
Extents = Sequence[tuple[int, int | None]]


def encode_slice_key(name: bytes, extents: Extents) -> bytes:
    r"""Return the key of a slice.

    Args:
        name: the key of the tensor.
        extents: exactly as they stand in the file: the whole dimension, (0, None), and all its
            positions, (0, 5), have different keys.

    >>> encode_slice_key(b"p", [(0, 2)])
    b'\x00p\x00\x01\x01\x01\x80\x82'
    """
    # Both bytes become two, and what is written for one must not be taken for the other.
    escaped = b"\xff\x00".join(part.replace(b"\x00", b"\x00\xff") for part in name.split(b"\xff"))
    parts = [b"\x00", escaped, b"\x00\x01", _natural(len(extents))]
    for start, length in extents:
        parts += [_integer(start), _integer(-1 if length is None else length)]
    return b"".join(parts)


def _natural(number: int) -> bytes:
    """Return a number from 0 on: how many bytes, then these, the highest first."""
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "big")


def _integer(number: int) -> bytes:
    """Return a number of 64 bits: the bits at the beginning say how many bytes it takes."""
    length = (number if number >= 0 else ~number).bit_length() // 7 + 1
    marks = (1 << length) - 1 << 7 * length
    return ((number & (1 << 8 * length) - 1) ^ marks).to_bytes(length, "big")
