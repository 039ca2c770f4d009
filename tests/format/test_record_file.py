"""Record files: one plain value, verified (F-44)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from checkpointable.format.frame import encode_frame
from checkpointable.format.record_file import decode_record_file, encode_record_file
from checkpointable.format.values import encode_value

CONTENT = {"pins": [3, 7], "note": "ü" * 70_000, "at": 1.5, "none": None}


def with_payload(data: bytes) -> bytes:
    """Return a record file around a payload, written by hand from docs/format.md."""
    return bytes.fromhex("93636b70720d0a1a") + encode_frame(data, 0)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_what_is_written_is_read(content: object) -> None:
    """Any plain value comes back as it was."""
    assert content == decode_record_file(encode_record_file("note", content), "note", "f")


def test_the_bytes_are_those_of_the_page() -> None:
    """The magic, then one frame that holds the tuple (kind, version, content)."""
    assert with_payload(encode_value(("note", 1, [1]))) == encode_record_file("note", [1])


def test_every_flipped_bit_is_found() -> None:
    """No bit of a file of several frames can change unseen."""
    data = encode_record_file("note", CONTENT)

    for position in [*range(60), *range(60, len(data), 997), len(data) - 1]:
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(CorruptCheckpointError, match=r"^f: "):
            decode_record_file(bytes(damaged), "note", "f")


@pytest.mark.parametrize("length", [0, 7, 8, 20, 100])
def test_a_file_that_is_cut_short_is_refused(length: int) -> None:
    """Neither an empty file nor a part of one is read."""
    with pytest.raises(CorruptCheckpointError):
        decode_record_file(encode_record_file("note", CONTENT)[:length], "note", "f")


@pytest.mark.parametrize(
    "found",
    [("other", 1, []), ("note", 0, []), ("note", True, []), ("note", 1), ["note", 1, []], 3],
)
def test_another_record_is_refused(found: object) -> None:
    """Another kind, a wrong version and another shape are no record of this kind."""
    with pytest.raises(CorruptCheckpointError, match="F-44"):
        decode_record_file(with_payload(encode_value(found)), "note", "f")


def test_a_newer_version_is_refused() -> None:
    """What a newer library wrote is not guessed at."""
    with pytest.raises(UnsupportedFormatError, match="version 2, expected at most 1"):
        decode_record_file(with_payload(encode_value(("note", 2, []))), "note", "f")
