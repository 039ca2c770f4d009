"""The footer of the one-file form (F-3)."""

from __future__ import annotations

import struct
from typing import Final

from checkpointable.format.frame import corrupt, digest

#: The last bytes of a file of the one-file form.
FOOTER_MAGIC: Final = b"\x1a\n\rtpkc\x93"
FOOTER_LENGTH: Final = 40

_PLACE: Final = struct.Struct("<QQ")


def encode_footer(offset: int, length: int) -> bytes:
    """Return the footer of a file whose index stands at `offset` and has `length` bytes."""
    place = _PLACE.pack(offset, length)
    return place + digest(place) + FOOTER_MAGIC


def decode_footer(footer: bytes, size: int, file: str) -> tuple[int, int]:
    """Return the offset and the length of the index in a file of `size` bytes.

    Args:
        footer: the last 40 bytes of the file, or all where it is shorter.
        size: the length of the file.
        file: its name, for messages.

    Raises:
        CorruptCheckpointError: the footer breaks a rule of the format.
    """
    if len(footer) != FOOTER_LENGTH or footer[32:] != FOOTER_MAGIC:
        raise corrupt(
            file,
            "F-3",
            "this is no checkpoint in one file, or its end is lost",
            expected=f"the last bytes {FOOTER_MAGIC.hex()}",
            found=footer[-8:].hex() or "an empty file",
        )
    if digest(footer[:16]) != footer[16:32]:
        raise corrupt(
            file,
            "F-3",
            "the checksum of the footer is wrong",
            expected=footer[16:32].hex(),
            found=digest(footer[:16]).hex(),
        )
    offset, length = _PLACE.unpack(footer[:16])
    if offset + length + FOOTER_LENGTH != size:
        raise corrupt(
            file,
            "F-3",
            "the file is cut short, or longer than written",
            expected=f"{offset + length + FOOTER_LENGTH} bytes",
            found=size,
        )
    return offset, length
