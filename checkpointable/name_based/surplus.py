"""What must be known before a saver deletes a checkpoint: what is the same file, what goes too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.name_based.listed import Listed
from checkpointable.storage.base import Storage


def is_one_of(storage: Storage, one: Listed, others: Iterable[Listed]) -> bool:
    """Tell whether its commit file is that of another, to which a link led by another path.

    Raises:
        StorageError: that cannot be found out now.
    """
    own = _commit_files(storage, one)
    return bool(own) and any(own & _commit_files(storage, other) for other in others)


def temporaries_of(storage: Storage, side_files: Sequence[str]) -> list[str]:
    """Return what writers of these files left when they died.

    Raises:
        StorageError: a directory cannot be read.
    """
    found: list[str] = []
    for directory in {files.split_path(path)[0] for path in side_files}:
        for name in storage.list_dir(directory):
            read = files.read_name(name)
            is_temporary = read.kind is FileKind.COMMIT_TEMPORARY
            if is_temporary and files.in_directory(directory, read.prefix) in side_files:
                found.append(files.in_directory(directory, name))
    return found


def _commit_files(storage: Storage, one: Listed) -> set[tuple[int, ...]]:
    """Return which files stand where the commit file of a checkpoint may be."""
    found = map(storage.status, files.commit_files(one.where))
    return {status.identity for status in found if status is not None and status.is_file}
