"""The keys of slices: what a slice is of, and where it lies in the whole (T-11)."""

from __future__ import annotations

from collections.abc import Sequence


def encode_slice_key(name: bytes, extents: Sequence[tuple[int, int | None]]) -> bytes:
    """Return the key of a slice.

    Args:
        name: the key of the whole tensor.
        extents: for each dimension where the slice begins and its length; `None` for all of it.

    >>> encode_slice_key(b"p", [(0, 2)]).hex()
    '0070000101018082'
    """
    escaped = name.replace(b"\xff", b"\xff\x00").replace(b"\x00", b"\x00\xff")
    numbers = [n for start, size in extents for n in (start, -1 if size is None else size)]
    parts = [_natural(0), escaped, b"\x00\x01", _natural(len(extents)), *map(_integer, numbers)]
    return b"".join(parts)


def _natural(number: int) -> bytes:
    length = (number.bit_length() + 7) // 8
    return bytes((length,)) + number.to_bytes(length, "big")


def _integer(number: int) -> bytes:
    length = (number if number >= 0 else ~number).bit_length() // 7 + 1
    marked = ((1 << length) - 1) << (7 * length)
    return ((number & ((1 << 8 * length) - 1)) ^ marked).to_bytes(length, "big")
