"""Records in text: JSON, read strictly (F-46)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.errors import (
    CorruptCheckpointError,
    NotCheckpointableError,
    UnsupportedFormatError,
)
from checkpointable.format.limits import LONGEST_RECORD
from checkpointable.format.record_text import decode_record_text, encode_record_text

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
FIELDS = st.lists(SCALARS | st.lists(SCALARS)) | st.dictionaries(st.text(), SCALARS) | SCALARS


def with_content(content: str, kind: str = "note", version: str = "1") -> bytes:
    """Return a record in text, put together by hand."""
    return f'{{"kind": "{kind}", "version": {version}, "content": {content}}}'.encode()


@given(st.dictionaries(st.text(), FIELDS))
def test_what_is_written_is_read(content: dict[str, Any]) -> None:
    """Any fields come back as they were, and any JSON reader understands the file."""
    if "inf" in str(content):
        return
    data = encode_record_text("note", content)

    assert content == decode_record_text(data, "note", "f")
    assert {"kind": "note", "version": 1, "content": content} == json.loads(data)


def test_each_item_has_a_line() -> None:
    """So that two files can be compared line by line."""
    data = encode_record_text("note", {"a": [1, [2, 3]], "b": {"x": {"y": None}}, "c": [], "d": 1})

    assert data.decode().splitlines() == [
        "{",
        '"kind": "note",',
        '"version": 1,',
        '"content": {',
        '  "a": [',
        "    1,",
        "    [2, 3]",
        "  ],",
        '  "b": {',
        '    "x": {"y": null}',
        "  },",
        '  "c": [],',
        '  "d": 1',
        "}",
        "}",
    ]


@pytest.mark.parametrize("content", [{"a": (1, 2)}, {"a": {1: 2}}, {"a": "\ud83d\ude00"}])
def test_what_json_does_not_hold_is_refused(content: dict[str, Any]) -> None:
    """Nothing is written that would come back as something else."""
    with pytest.raises(NotCheckpointableError, match="binary form"):
        encode_record_text("note", content)


def test_a_lone_surrogate_is_held() -> None:
    """File names that are no Unicode have them."""
    content = {"a": "\udcff"}

    assert content == decode_record_text(encode_record_text("note", content), "note", "f")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"kind": "note"}',
        with_content("[]"),
        with_content("{}", kind="other"),
        with_content("{}", version="0"),
        with_content("{}", version="1.0"),
        with_content("{}", version="true"),
        with_content('{"a": NaN}'),
        with_content('{"a": -Infinity}'),
        with_content('{"a": 1, "a": 2}'),
        with_content('{"a": 1' + "0" * 5000 + "}"),
        with_content("{}")[:-1] + b', "more": 1}',
        with_content("{}") + b"x",
        with_content('{"a": "\xff"}').replace("\xff".encode(), b"\xff"),
        with_content("{}").decode().encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        with_content("[" * 17 + "]" * 17),
        b'{"' + b'\\"' * 500_000,
        b" " * (LONGEST_RECORD + 1),
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    """Damage, another kind, keys that stand there twice and abysses; each in a moment."""
    with pytest.raises(CorruptCheckpointError, match=r"^f: .*F-46"):
        decode_record_text(data, "note", "f")


def test_a_newer_version_is_refused() -> None:
    """What a newer library wrote is not guessed at."""
    with pytest.raises(UnsupportedFormatError, match="version 2, expected at most 1"):
        decode_record_text(with_content("{}", version="2"), "note", "f")


def test_brackets_in_strings_do_not_count() -> None:
    """Only lists and objects nest."""
    content = {"a": "[" * 100 + '"' + "{" * 100}

    assert content == decode_record_text(encode_record_text("note", content), "note", "f")
