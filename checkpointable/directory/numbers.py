"""Which checkpoints a directory holds, over all forms on disk.

Nothing is opened but files whose names say nothing. A checkpoint counts also where a package that
is needed to read it is missing.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.bundle.peek import COMMIT_FILES, Content
from checkpointable.errors import CheckpointNotFoundError, StorageError
from checkpointable.storage.base import FileStatus, Storage

#: Failures that say nothing about a file.
NOT_THE_FILES_FAULT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_CHECKPOINTS: Final = frozenset(Content) - {Content.EMPTY, Content.UNKNOWN}


@attrs.frozen
class Candidate:
    """A checkpoint that seems to be there: its commit file is. Whether it is whole is not known.

    Attributes:
        prefix: its path.
        name: what its prefix is called, without directory and number.
        number: its number, if it has one.
        status: what the storage knows of its commit file.
    """

    prefix: str
    name: str
    number: int | None
    status: FileStatus

    @property
    def mtime(self) -> float:
        """When its commit file was last written."""
        return self.status.mtime


def candidates(storage: Storage, directory: str) -> list[Candidate]:
    """Return every checkpoint that seems to be in a directory, one per prefix, in no order.

    Raises:
        StorageError: the directory cannot be read.
    """
    return _look_at_all(storage, directory, storage.list_dir(directory))


def numbered_checkpoints(storage: Storage, prefix: str) -> dict[int, Candidate]:
    """Return the numbered checkpoints `PREFIX-1`, `PREFIX-2` and so on, the lowest first.

    Raises:
        StorageError: the directory cannot be read.
    """
    own = sorted(candidates_called(storage, prefix), key=_number)
    return {c.number: c for c in own if c.number is not None}


def candidates_called(storage: Storage, prefix: str) -> list[Candidate]:
    """Return what seems to be there of one name, however its numbers are written, in no order.

    Raises:
        StorageError: the directory cannot be read.
    """
    directory, name = files.split_path(prefix)
    entries = [entry for entry in storage.list_dir(directory) if entry.startswith(name)]
    return _look_at_all(storage, directory, entries, name)


def _number(candidate: Candidate) -> int:
    return candidate.number or 0


def _look_at_all(
    storage: Storage, directory: str, entries: Sequence[str], name: str | None = None
) -> list[Candidate]:
    """Return what seems to be there among the entries of a directory, and is called `name`."""
    sets = files.part_sets(entries)
    listed = files.listed_parts(entries)
    bases = {files.read_name(entry).prefix for entry in entries if entry not in listed}
    found = []
    for base in bases | sets.keys():
        if name is not None and files.split_number(base)[0] != name:
            continue
        prefix = files.in_directory(directory, base)
        status = _commit_status(storage, prefix, sets.get(base, {}))
        if status is not None:
            found.append(Candidate(prefix, *files.split_number(base), status))
    return found


def commit_status(storage: Storage, prefix: str) -> FileStatus | None:
    """Return the status of the commit file that readers take at a prefix, of whatever form.

    Of a checkpoint in parts, as TensorFlow's first format has them, it is that of the first.

    Raises:
        StorageError: the storage cannot tell.
    """
    status = _commit_status(storage, prefix, {})
    if status is not None:
        return status
    directory, base = files.split_path(prefix)
    entries = [entry for entry in storage.list_dir(directory) if entry.startswith(f"{base}-")]
    return _parts_status(storage, directory, files.part_sets(entries).get(base, {}))


def _commit_status(
    storage: Storage, prefix: str, sets: Mapping[int, Sequence[str]]
) -> FileStatus | None:
    """Return the status of a commit file, or of the first part of a set.

    Args:
        storage: where.
        prefix: of the checkpoint.
        sets: the names of the parts that there may be, by their count.
    """
    for path in files.commit_files(prefix):
        status = storage.status(path)
        if status is not None and status.is_file and _may_commit(storage, path, prefix):
            return status
    return _parts_status(storage, files.split_path(prefix)[0], sets)


def _parts_status(
    storage: Storage, directory: str, sets: Mapping[int, Sequence[str]]
) -> FileStatus | None:
    for count in sorted(sets):
        path = files.in_directory(directory, sets[count][0])
        status = storage.status(path)
        if status is not None and status.is_file and _is(storage, path, {Content.TABLE}):
            return status
    return None


def status_if_known(storage: Storage, prefix: str) -> FileStatus | None:
    """Return what `commit_status` does, and `None` too where the storage cannot tell."""
    try:
        return commit_status(storage, prefix)
    except StorageError:
        return None


def _may_commit(storage: Storage, path: str, prefix: str) -> bool:
    """Tell whether a file is a commit file; a bare name says nothing, so its bytes must."""
    if path != prefix or files.read_name(path).kind is not FileKind.BARE:
        return True
    is_part = files.read_part_name(files.split_path(path)[1]) is not None
    return _is(storage, path, _CHECKPOINTS - ({Content.TABLE} if is_part else set()))


def _is(storage: Storage, path: str, contents: AbstractSet[Content]) -> bool:
    """Tell whether a file has one of these contents.

    Where it cannot be read it may have: what is there must not be taken for gone.
    """
    try:
        return COMMIT_FILES.content(storage, path) in contents
    except CheckpointNotFoundError:
        return False  # It vanished.
    except StorageError as error:
        if error.errno in NOT_THE_FILES_FAULT:
            raise
        return True
