"""What must hold of a disk image after a crash: the promises, checked with the real code.

What depends on the image alone is found out once per image; what the caller had been told by then
is compared with it for each moment.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, read_name
from checkpointable.errors import CheckpointError
from checkpointable.storage.base import Storage
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.driving import Driver
from tests.harness.recording import (
    Operation,
    RecordingStorage,
    Removed,
    Removing,
    Started,
    Told,
)
from tests.harness.workloads import STRANGERS, no_watch, save_value

_COMMIT = (FileKind.INDEX, FileKind.SAFETENSORS, FileKind.BARE)
_TEMPORARY = (FileKind.COMMIT_TEMPORARY, FileKind.SHARD_TEMPORARY)


@attrs.frozen
class Aftermath:
    """What is to be found on a disk.

    Attributes:
        values: for each visible prefix the number that its checkpoint holds.
        broken: the promises that the image breaks, whatever was told.
    """

    values: Mapping[str, int]
    broken: Sequence[str]


class Examiner:
    """Looks at disk images, each one once."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._known: dict[frozenset[tuple[str, bytes]], Aftermath] = {}

    def look(self, image: DiskImage) -> Aftermath:
        """Return what is on the disk."""
        key = frozenset(image.files.items())
        if key not in self._known:
            self._known[key] = _look(image, self._driver)
        return self._known[key]


def faults(aftermath: Aftermath, log: Sequence[Operation], safe: Mapping[int, str]) -> list[str]:
    """Return each promise that is broken, given what had happened by then.

    Args:
        aftermath: what is on the disk.
        log: what had happened.
        safe: which values were saved before, and where.
    """
    started = {mark.value for mark in log if isinstance(mark, Started)}
    required = _required(log, safe)
    found = list(aftermath.broken)
    for prefix, value in aftermath.values.items():
        allowed = required.get(prefix, started)
        if value not in allowed:
            found.append(f"D-4: {prefix} holds save {value}, expected one of {sorted(allowed)}")
    lost = sorted(required.keys() - _prefixes(log, Removing) - aftermath.values.keys())
    found += [f"D-3: {prefix} is lost" for prefix in lost]
    back = sorted(_prefixes(log, Removed) & aftermath.values.keys())
    return found + [f"D-2: {prefix} was removed, and is back" for prefix in back]


def visible_prefixes(disk: MemoryStorage) -> set[str]:
    """Return the prefixes at which a reader sees something."""
    return {_prefix_of(path) for path in _commit_files(disk)}


def _prefix_of(path: str) -> str:
    return files.in_directory_of(path, read_name(posixpath.basename(path)).prefix)


def _required(log: Sequence[Operation], safe: Mapping[int, str]) -> dict[str, set[int]]:
    """Return for each prefix that must hold a checkpoint the values that it may hold."""
    required = {prefix: {value} for value, prefix in safe.items()}
    for mark in log:
        if isinstance(mark, Started):
            for values in required.values():
                values.add(mark.value)
        elif isinstance(mark, Told):
            required[mark.prefix] = {mark.value}
    return required


def _prefixes(log: Sequence[Operation], kind: type[Removing | Removed]) -> set[str]:
    """Return the prefixes whose removal has begun, or was told, and where none was saved since."""
    found: set[str] = set()
    for mark in log:
        if isinstance(mark, kind):
            found.add(mark.prefix)
        elif isinstance(mark, Told):
            found.discard(mark.prefix)
    return found


def _look(image: DiskImage, driver: Driver) -> Aftermath:
    disk = MemoryStorage(image)
    values: dict[str, int] = {}
    broken = list(_changed_strangers(disk))
    for prefix in sorted(visible_prefixes(disk)):
        try:
            values[prefix] = driver.load(disk, prefix)
            hidden = [path for path in files.commit_files(prefix) if path in image.files][1:]
            for path in hidden:
                driver.verify(disk, path)
        except CheckpointError as error:
            broken.append(f"D-1: {prefix} is visible and does not verify: {error}")
    if not broken:
        broken += driver.further(disk, values.keys())
        broken += _broken_next_save(disk, driver, values)
    return Aftermath(values, broken)


def _commit_files(disk: MemoryStorage) -> Iterator[str]:
    """Yield every commit file, and every file named as a one-file checkpoint may be."""
    for path in disk.image().files:
        kind = read_name(posixpath.basename(path)).kind
        if kind in _COMMIT and path not in STRANGERS:
            yield path


def _changed_strangers(disk: Storage) -> Iterator[str]:
    for path, data in STRANGERS.items():
        status = disk.status(path)
        if status is None or status.size != len(data):
            yield f"I-9: {path}, a stranger, is not as it was"


def _broken_next_save(
    disk: MemoryStorage, driver: Driver, values: Mapping[str, int]
) -> Iterator[str]:
    """Save once more on the aftermath: it must work, and leave neither leftovers nor damage."""
    before = disk.image().files
    with no_watch():
        storage = RecordingStorage(disk.image())
        final = save_value(driver, storage, storage, 99, numbered=True)
    if final is None or driver.load(storage, final) != 99:
        yield "I-10: the next save does not work"
    after = storage.memory.image().files
    if any(read_name(path).kind is FileKind.SHARD for path in before.keys() - after.keys()):
        for prefix, value in values.items():
            if driver.load(storage, prefix) != value:
                yield f"D-3: {prefix} is harmed by the next save"
    for path in after:
        name = read_name(posixpath.basename(path))
        own = name.prefix.partition("-")[0] == "ckpt" and posixpath.dirname(path) == "/run"
        if own and name.kind in _TEMPORARY:
            yield f"I-9: {path}, a leftover, is still there"
        if own and name.kind is FileKind.SHARD and name.token:
            index = posixpath.join(posixpath.dirname(path), f"{name.prefix}.index")
            if index not in after:
                yield f"I-9: {path}, a shard without an index, is still there"
    yield from _changed_strangers(storage)
