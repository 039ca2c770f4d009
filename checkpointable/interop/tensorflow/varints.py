"""Numbers of varying length: seven bits a byte, the lowest first, the highest bit says more."""

from __future__ import annotations

from typing import Final

from checkpointable.format.frame import corrupt

#: A number of 64 bits takes so many bytes.
_LONGEST: Final = 10


def read_varint(
    data: bytes | memoryview, position: int, end: int, file: str, rule: str
) -> tuple[int, int]:
    r"""Return the number at a position and the position after it.

    >>> read_varint(b"\xac\x02", 0, 2, "file", "T-2")
    (300, 2)

    Raises:
        CorruptCheckpointError: it goes on beyond `end`, or has more than 64 bits.
    """
    value = shift = 0
    for place in range(position, min(end, position + _LONGEST)):
        byte = data[place]
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                break
            return value, place + 1
        shift += 7
    raise corrupt(
        file,
        rule,
        f"a number of varying length is damaged (byte {position})",
        expected=f"at most {_LONGEST} bytes and 64 bits, before byte {end}",
        found=bytes(data[position : min(end, position + _LONGEST)]).hex() or "nothing",
    )


def encode_varint(number: int) -> bytes:
    """Return a number that is not negative as it is stored.

    >>> encode_varint(300).hex()
    'ac02'
    """
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
