"""Which checkpoints a directory holds, over all forms on disk. Nothing is opened but bare files."""

from __future__ import annotations

import errno
from typing import Final

import attrs

from checkpointable.bundle import existing, files
from checkpointable.bundle.files import FileKind
from checkpointable.bundle.peek import BUNDLE
from checkpointable.errors import CheckpointNotFoundError, StorageError
from checkpointable.storage.base import FileStatus, Storage

#: Failures that say nothing about a file.
NOT_THE_FILES_FAULT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


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
    return _look_at_all(storage, directory, _bases(storage, directory))


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
    bases = {base for base in _bases(storage, directory) if files.split_number(base)[0] == name}
    return _look_at_all(storage, directory, bases)


def _number(candidate: Candidate) -> int:
    return candidate.number or 0


def _bases(storage: Storage, directory: str) -> set[str]:
    return {files.read_name(entry).prefix for entry in storage.list_dir(directory)}


def _look_at_all(storage: Storage, directory: str, bases: set[str]) -> list[Candidate]:
    found = (_look_at(storage, files.in_directory(directory, base)) for base in bases)
    return [candidate for candidate in found if candidate is not None]


def _look_at(storage: Storage, prefix: str) -> Candidate | None:
    status = commit_status(storage, prefix)
    if status is None:
        return None
    return Candidate(prefix, *files.split_number(files.split_path(prefix)[1]), status)


def commit_status(storage: Storage, prefix: str) -> FileStatus | None:
    """Return the status of the commit file that readers take at a prefix, of whatever form.

    Raises:
        StorageError: the storage cannot tell.
    """
    for path in (files.index_file(prefix), files.safetensors_file(prefix), prefix):
        status = storage.status(path)
        if status is not None and status.is_file and _may_commit(storage, path, prefix):
            return status
    return None


def status_if_known(storage: Storage, prefix: str) -> FileStatus | None:
    """Return what `commit_status` does, and `None` too where the storage cannot tell."""
    try:
        return commit_status(storage, prefix)
    except StorageError:
        return None


def _may_commit(storage: Storage, path: str, prefix: str) -> bool:
    """Tell whether a file is a commit file; a bare name says nothing, so its bytes must.

    Where they cannot be read it may be one: what is there must not be taken for gone.
    """
    if path != prefix or files.read_name(path).kind is not FileKind.BARE:
        return True
    try:
        return existing.is_ours(storage, BUNDLE, path)
    except CheckpointNotFoundError:
        return False  # It vanished.
    except StorageError as error:
        if error.errno in NOT_THE_FILES_FAULT:
            raise
        return True
