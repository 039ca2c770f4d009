"""Every disk image that a power cut may leave behind, for each moment of a recording.

What a sync covers is certain. Of the rest:

- names: each operation on a directory that is not synced yet may have happened or not (`WEAK`), or
  they happened in order up to some point (`ORDERED`, as with a journal);
- data that is not synced yet may be absent, whole, half, cut at or lacking any 4 KiB page, zeros
  or garbage of full length.

Identical images are visited once for each thing that was told by then.
"""

from __future__ import annotations

import posixpath
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import product

import attrs

from checkpointable.storage.memory import DiskImage
from tests.harness.recording import (
    Create,
    MakeDir,
    Mark,
    Operation,
    Recording,
    Remove,
    Rename,
    Sync,
    SyncDir,
    Write,
)

#: The most images of one workload and model; what goes beyond is reported, never silently cut.
BOUND = 20_000

PAGE = 4096

_Names = frozenset[tuple[str, int]]
_DIRECTORY = -1


class Model(Enum):
    """What a file system promises about directory operations that are not synced."""

    WEAK = "weak"
    ORDERED = "ordered"


@attrs.frozen
class Crash:
    """One possible aftermath.

    Attributes:
        after: how many operations of the log had been issued.
        image: what is on the disk.
    """

    after: int
    image: DiskImage


class TooManyImagesError(AssertionError):
    """A workload has more images than the bound: it was not enumerated completely."""


def crashes(recording: Recording, model: Model, bound: int = BOUND) -> Iterator[Crash]:
    """Yield every aftermath of a power cut, each image once per state of knowledge.

    Raises:
        TooManyImagesError: there are more than `bound`.
    """
    seen: set[tuple[int, frozenset[tuple[str, bytes]], frozenset[str]]] = set()
    marks = 0
    for after in range(len(recording.log) + 1):
        if after and isinstance(recording.log[after - 1], Mark):
            marks += 1
        for image in _images(recording, after, model):
            key = (marks, frozenset(image.files.items()), image.directories)
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > bound:
                raise TooManyImagesError(f"more than {bound:,} images after operation {after}")
            yield Crash(after, image)


def _images(recording: Recording, after: int, model: Model) -> Iterator[DiskImage]:
    log = recording.log[:after]
    contents = _contents(recording.before, log)
    for names in _name_tables(recording.before, log, model):
        yield from _with_data(dict(names), contents)


def _with_data(
    names: Mapping[str, int], contents: Mapping[int, Sequence[bytes]]
) -> Iterator[DiskImage]:
    """Yield the images in which the names lead to every combination of possible contents."""
    directories = frozenset({"/"} | {path for path, file in names.items() if file == _DIRECTORY})
    files = [
        (path, contents[file])
        for path, file in sorted(names.items())
        if file != _DIRECTORY and _parents(path) <= directories
    ]
    for chosen in product(*(choices for _, choices in files)):
        yield DiskImage(dict(zip((p for p, _ in files), chosen, strict=True)), directories)


def _parents(path: str) -> set[str]:
    parents = {posixpath.dirname(path)}
    while "/" not in parents:
        parents |= {posixpath.dirname(parent) for parent in parents}
    return parents


def _name_tables(before: DiskImage, log: Sequence[Operation], model: Model) -> set[_Names]:
    """Return every table of names that may be on the disk."""
    start = {path: number for number, path in enumerate(before.files)}
    start |= dict.fromkeys(before.directories, _DIRECTORY)
    certain = _certain(log)
    lost: set[_Names] = set()  # tables that have lost an operation: ORDERED adds nothing to them
    tables: set[_Names] = {frozenset(start.items())}
    for number, operation in enumerate(log):
        if not isinstance(operation, Create | Rename | Remove | MakeDir):
            continue
        applied = {_apply(table, operation) for table in tables}
        if number in certain:
            lost = {_apply(table, operation) for table in lost}
            tables = applied
        elif model is Model.WEAK:
            tables |= applied
        else:
            lost |= tables
            tables = applied
    return tables | lost


def _certain(log: Sequence[Operation]) -> set[int]:
    """Return which directory operations a later sync of their directory covers."""
    certain: set[int] = set()
    synced: set[str] = set()
    for number in range(len(log) - 1, -1, -1):
        operation = log[number]
        if isinstance(operation, SyncDir):
            synced.add(operation.path)
        elif (directory := _directory_of(operation)) is not None and directory in synced:
            certain.add(number)
    return certain


def _directory_of(operation: Operation) -> str | None:
    if isinstance(operation, Create | Remove | MakeDir):
        return posixpath.dirname(operation.path)
    return posixpath.dirname(operation.source) if isinstance(operation, Rename) else None


def _apply(table: _Names, operation: Operation) -> _Names:
    names = dict(table)
    if isinstance(operation, Create):
        names[operation.path] = operation.file
    elif isinstance(operation, Rename):
        names.pop(operation.source, None)
        names[operation.destination] = operation.file
    elif isinstance(operation, Remove):
        names.pop(operation.path, None)
    elif isinstance(operation, MakeDir):
        names[operation.path] = _DIRECTORY
    return frozenset(names.items())


def _contents(before: DiskImage, log: Sequence[Operation]) -> dict[int, Sequence[bytes]]:
    """Return for each file what it may hold."""
    whole = dict(enumerate(before.files.values()))
    synced = dict(whole)
    for operation in log:
        if isinstance(operation, Create):
            whole[operation.file] = synced[operation.file] = b""
        elif isinstance(operation, Write):
            whole[operation.file] += operation.data
        elif isinstance(operation, Sync):
            synced[operation.file] = whole[operation.file]
    return {file: _choices(synced[file], data) for file, data in whole.items()}


def _choices(synced: bytes, whole: bytes) -> Sequence[bytes]:
    """Return what may be on the disk of a file, given what of it is certain."""
    if synced == whole:
        return [whole]
    start, length = len(synced), len(whole) - len(synced)
    tails = [b"", whole[start:], whole[start : start + length // 2], bytes(length)]
    tails.append(random.Random(length).randbytes(length))
    pages = range(start // PAGE * PAGE + PAGE, len(whole), PAGE)
    tails += [whole[start:page] for page in pages]
    tails += [_without_page(whole, page)[start:] for page in [start // PAGE * PAGE, *pages]]
    return list(dict.fromkeys(synced + tail for tail in tails))


def _without_page(data: bytes, page: int) -> bytes:
    end = min(page + PAGE, len(data))
    return data[:page] + bytes(end - page) + data[end:]


def marks_before(log: Sequence[Operation], after: int) -> Iterable[Mark]:
    """Return what was started, told and reported by then."""
    return [mark for mark in log[:after] if isinstance(mark, Mark)]
