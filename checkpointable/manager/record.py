"""The file `NAME.manager`: what a manager must remember that stands in no checkpoint.

Without it pins would be forgotten, and so would which checkpoints are kept for good.
"""

from __future__ import annotations

import math
from typing import Any, Final

import attrs

from checkpointable.bundle import files
from checkpointable.directory.replace import replace_file
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.format.frame import corrupt
from checkpointable.format.record_file import decode_record_file, encode_record_file
from checkpointable.storage.base import Storage, read_all

_KIND: Final = "manager"


@attrs.frozen
class Remembered:
    """What is remembered of the checkpoints of one name, by their numbers.

    Attributes:
        pins: those that the user has pinned.
        preserved: those that the rule of hours keeps for good.
        last_preserved: when the last of these was saved, or since when there could be one.
    """

    pins: frozenset[int] = frozenset()
    preserved: frozenset[int] = frozenset()
    last_preserved: float = 0.0


def record_file(prefix: str) -> str:
    """Return the path of the record of the checkpoints `PREFIX-1`, `PREFIX-2` and so on."""
    return f"{prefix}.manager"


def read_record(storage: Storage, path: str) -> Remembered | None:
    """Return what was remembered; `None` if there is no such file.

    Raises:
        CorruptCheckpointError: it is damaged.
        UnsupportedFormatError: a newer version of the library wrote it.
        StorageError: it cannot be read.
    """
    try:
        data = read_all(storage, path)
    except CheckpointNotFoundError:
        return None
    content = decode_record_file(data, _KIND, path)
    if type(content) is not dict or content.keys() != {"pins", "preserved", "last_preserved"}:
        raise corrupt(path, "F-44", "the fields are wrong")
    pins, preserved, last = content["pins"], content["preserved"], content["last_preserved"]
    if type(pins) is not list or not all(map(_is_number, pins)):
        raise corrupt(path, "F-44", "the pins are no list of checkpoint numbers", found=pins)
    if type(preserved) is not list or not all(map(_is_number, preserved)):
        raise corrupt(path, "F-44", "what is kept for good has no numbers", found=preserved)
    if type(last) is not float or math.isnan(last):
        raise corrupt(path, "F-44", "a time is no time", found=last)
    return Remembered(frozenset(pins), frozenset(preserved), last)


def write_record(storage: Storage, path: str, remembered: Remembered, *, durable: bool) -> None:
    """Replace the record; a crash leaves the old one or the new one.

    Raises:
        CheckpointExistsError: what stands under that name is a checkpoint.
        StorageError: the storage failed; the old record is intact.
    """
    content = {
        "pins": sorted(remembered.pins),
        "preserved": sorted(remembered.preserved),
        "last_preserved": remembered.last_preserved,
    }
    with storage.lock_dir(files.split_path(path)[0]) as locked:
        data = encode_record_file(_KIND, content)
        replace_file(storage, path, data, durable=durable, locked=locked)


def _is_number(found: Any) -> bool:
    return type(found) is int and found >= 0
