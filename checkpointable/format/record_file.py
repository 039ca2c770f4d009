"""A record file: one plain value in frames, such as what a manager remembers (F-44)."""

from __future__ import annotations

from typing import Any, Final

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.frame import corrupt, encode_frame, read_frames
from checkpointable.format.limits import LONGEST_PAYLOAD, LONGEST_RECORD, RECORD_VERSION
from checkpointable.format.values import decode_value, encode_value

#: The first bytes of a record file (F-44).
RECORD_MAGIC: Final = b"\x93ckpr\r\n\x1a"


def encode_record_file(kind: str, content: Any) -> bytes:
    """Return the bytes of a record file.

    Args:
        kind: what it is about; whoever reads it asks for the same.
        content: a plain value.

    Raises:
        NotCheckpointableError: it cannot be stored.

    >>> decode_record_file(encode_record_file("note", {"pins": [3]}), "note", "a.note")
    {'pins': [3]}
    """
    data = encode_value((kind, RECORD_VERSION, content))
    pieces = [data[i : i + LONGEST_PAYLOAD] for i in range(0, len(data), LONGEST_PAYLOAD)]
    frames = [encode_frame(piece, ordinal) for ordinal, piece in enumerate(pieces)]
    return b"".join([RECORD_MAGIC, *frames])


def decode_record_file(data: bytes, kind: str, file: str) -> Any:
    """Return the content of a record file.

    Args:
        data: the whole file.
        kind: what it must be about.
        file: its name, for messages.

    Raises:
        CorruptCheckpointError: it is damaged, or about something else.
        UnsupportedFormatError: a newer version of the library wrote it.
    """
    if len(data) > LONGEST_RECORD:
        raise corrupt(file, "F-44", "it is too long", expected=LONGEST_RECORD, found=len(data))
    frames = read_frames(memoryview(data), file, RECORD_MAGIC)
    found = decode_value(b"".join(payload for _, payload in frames), file)
    if type(found) is not tuple or len(found) != 3 or found[0] != kind:
        raise corrupt(file, "F-44", f"this is no {kind}")
    check_version(found[1], "F-44", file)
    return found[2]


def check_version(version: object, rule: str, file: str) -> None:
    """Refuse a record of a version that this library does not know.

    Raises:
        CorruptCheckpointError: it is no version.
        UnsupportedFormatError: a newer version of the library wrote it.
    """
    if type(version) is not int or version < 1:
        found = version if type(version) is int else f"a {type(version).__name__}"
        raise corrupt(file, rule, "the version is wrong", expected=RECORD_VERSION, found=found)
    if version > RECORD_VERSION:
        raise UnsupportedFormatError(
            f"{file}: is of version {version}, expected at most {RECORD_VERSION}. A newer version"
            " of the library wrote it; install that."
        )
