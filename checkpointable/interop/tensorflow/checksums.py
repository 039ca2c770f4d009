"""CRC-32C, and the masked form in which TensorFlow stores it."""

from __future__ import annotations

from typing import Any, Final

from checkpointable.interop.tensorflow.packages import crc32c

_DELTA: Final = 0xA282EAD8


def crc(data: Any, start: int = 0) -> int:
    """Return the CRC-32C of some bytes, going on from that of the bytes before them.

    >>> hex(crc(b"123456789")), crc(b"6789", crc(b"12345")) == crc(b"123456789")
    ('0xe3069283', True)
    """
    return int(crc32c().crc32c(data, start))


def mask(value: int) -> int:
    """Return a checksum as it is stored: checksums of data that holds checksums are weak.

    >>> hex(mask(0))
    '0xa282ead8'
    """
    return ((value >> 15 | value << 17) + _DELTA) & 0xFFFFFFFF
