"""A record as JSON text, for people to read and compare (F-46)."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import DEEPEST_TEXT, LONGEST_RECORD, RECORD_VERSION
from checkpointable.format.record_file import check_version

_KEYS: Final = {"kind", "version", "content"}
#: A string, closed or not, or a bracket.
_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def encode_record_text(kind: str, content: dict[str, Any]) -> bytes:
    """Return the bytes of a record in text: one line for each item of each field.

    Args:
        kind: what it is about; whoever reads it asks for the same.
        content: fields by name: text, numbers, booleans, `None`, and lists and dicts of these.

    Raises:
        NotCheckpointableError: JSON does not hold it exactly.

    >>> decode_record_text(encode_record_text("note", {"pins": [3]}), "note", "a.note")
    {'pins': [3]}
    """
    fields = ",\n".join(f"  {_json(str(name))}: {_lines(field)}" for name, field in content.items())
    head = f'{{\n"kind": {_json(kind)},\n"version": {RECORD_VERSION},\n"content": {{'
    data = f"{head}\n{fields}\n}}\n}}\n".encode()
    if json.loads(data)["content"] != content:
        raise NotCheckpointableError(
            f"a {kind} holds text that is no Unicode, or what JSON has no type for. Write it in"
            " the binary form."
        )
    return data


def decode_record_text(data: bytes, kind: str, file: str) -> dict[str, Any]:
    """Return the content of a record in text.

    Args:
        data: the whole file.
        kind: what it must be about.
        file: its name, for messages.

    Raises:
        CorruptCheckpointError: it is damaged, or about something else.
        UnsupportedFormatError: a newer version of the library wrote it.
    """
    if len(data) > LONGEST_RECORD:
        raise corrupt(file, "F-46", "it is too long", expected=LONGEST_RECORD, found=len(data))
    if _deepest(data) > DEEPEST_TEXT:
        raise corrupt(file, "F-46", f"it nests more than {DEEPEST_TEXT} deep")
    try:
        record = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are
        raise corrupt(file, "F-46", f"this is no JSON: {error}") from None
    if type(record) is not dict or record.keys() != _KEYS or record["kind"] != kind:
        raise corrupt(file, "F-46", f"this is no {kind}")
    check_version(record["version"], "F-46", file)
    content = record["content"]
    if type(content) is not dict:
        raise corrupt(file, "F-46", f"this is no {kind}: it has no fields")
    return content


def _json(value: Any) -> str:
    return json.dumps(value)


def _lines(field: Any) -> str:
    """Return a field as text, each of its items in a line of its own."""
    if isinstance(field, list) and field:
        return "[\n" + ",\n".join(f"    {_json(item)}" for item in field) + "\n  ]"
    if isinstance(field, dict) and field:
        items = (f"    {_json(str(name))}: {_json(item)}" for name, item in field.items())
        return "{\n" + ",\n".join(items) + "\n  }"
    return _json(field)


def _deepest(data: bytes) -> int:
    """Return how deep lists and objects nest, so that no parser is let loose on an abyss."""
    depth = deepest = 0
    for match in _BRACKET.finditer(data):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object that has no key twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands in one object twice")
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
