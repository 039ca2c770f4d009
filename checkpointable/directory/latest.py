"""Which checkpoint is the newest, and whether there is one at all (D-5, I-6).

Damage and races never raise here: what is not whole is no checkpoint, and the next one is looked
at. A directory that cannot be read does raise: to take it for empty would lose a long run.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Iterator
from typing import Final

from checkpointable.bundle import files
from checkpointable.bundle.reader import open_checkpoint
from checkpointable.directory.numbers import Candidate, candidates, numbered_checkpoints
from checkpointable.directory.state_file import STATE_FILE, inside, read_state
from checkpointable.errors import CheckpointError, CheckpointNotFoundError, StorageError
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL

#: How often the directory is listed again while all that was listed vanishes.
_ATTEMPTS: Final = 100

#: Failures that say nothing about a checkpoint.
_NOT_THE_FILES_FAULT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def latest_checkpoint(
    directory: PathLike, latest_filename: str | None = None, *, storage: Storage = LOCAL
) -> str | None:
    """Return the newest checkpoint of a directory whose index and file lengths are right.

    It is the one that the state file names, or a newer one with a higher number if the program
    died before it could say so. Where the state file is of no help, the directory is listed:
    of one name the highest number is the newest, between names the time of the last write decides.

    Args:
        directory: where to look.
        latest_filename: the name of the state file, if it is not `checkpoint`.
        storage: where the directory is.

    Returns:
        its path, or `None`. Damage, races and a missing directory raise nothing. Thread-safe.

    Raises:
        StorageError: the directory cannot be listed, or files cannot be opened for a reason that
            has nothing to do with them (too many are open): there may well be a checkpoint.

    Example:
        >>> latest_checkpoint("/no/such/directory") is None
        True
    """
    path = path_text(directory)
    state_file = latest_filename or STATE_FILE
    if not _is_directory(storage, path):
        return None
    for _ in range(_ATTEMPTS):
        names = storage.list_dir(path)
        for prefix in _newest_first(storage, path, state_file):
            if _is_complete(storage, prefix):
                return prefix
        if names == storage.list_dir(path):
            break  # Else what was there has been replaced by newer ones meanwhile.
    return None


def checkpoint_exists(prefix: PathLike, *, storage: Storage = LOCAL) -> bool:
    """Tell whether there is a checkpoint at a prefix, with the right index and file lengths.

    Raises:
        StorageError: files cannot be opened for a reason that has nothing to do with them.

    Example:
        >>> checkpoint_exists("/no/such/directory/ckpt")
        False
    """
    return _is_complete(storage, path_text(prefix))


def resolve(path: PathLike, *, storage: Storage = LOCAL) -> str:
    """Return the prefix that a path means: of a directory, its newest checkpoint.

    Any other path is returned as it is; whether there is a checkpoint is found when it is opened.

    Raises:
        CheckpointNotFoundError: the directory holds no checkpoint.
        StorageError: the path cannot be looked at.
    """
    text = path_text(path)
    if storage.status(files.index_file(text)) is not None or not _is_directory(storage, text):
        return text
    newest = latest_checkpoint(text, storage=storage)
    if newest is None:
        raise CheckpointNotFoundError(
            f"{text}: there is no checkpoint in this directory, or none whose files are whole."
            " Give the prefix of a checkpoint, or the directory in which they are saved."
        )
    return newest


def _is_directory(storage: Storage, path: str) -> bool:
    """Tell whether a path leads to a directory; links on the way are followed."""
    status = storage.status(posixpath.join(path, "."))
    return status is not None and status.is_dir


def _is_complete(storage: Storage, prefix: str) -> bool:
    try:
        open_checkpoint(storage, prefix).close()
    except StorageError as error:
        if error.errno in _NOT_THE_FILES_FAULT:
            raise
        return False
    except CheckpointError:
        return False
    return True


def _newest_first(storage: Storage, directory: str, state_file: str) -> Iterator[str]:
    """Yield the prefixes in a directory, what the state file says first."""
    state = read_state(storage, directory, state_file)
    if state is not None:
        named = inside(directory, state.model_checkpoint_path)
        yield from _newer_than(storage, named)
        yield named
    yield from _by_listing(storage, directory)


def _newer_than(storage: Storage, prefix: str) -> Iterator[str]:
    """Yield checkpoints of the same name that were written after this one, the newest first."""
    directory, base = files.split_path(prefix)
    name, number = files.split_number(base)
    if number is None:
        return
    numbered = numbered_checkpoints(storage, files.in_directory(directory, name))
    mtime = numbered[number].mtime if number in numbered else 0.0
    for other in sorted(numbered, reverse=True):
        if other > number and numbered[other].mtime >= mtime:
            yield numbered[other].prefix


def _by_listing(storage: Storage, directory: str) -> Iterator[str]:
    """Yield every prefix in a directory, the newest first.

    Of one name the number decides: it is right also where a copy has mixed up the times.
    """
    groups: dict[tuple[str, bool], list[Candidate]] = {}
    for candidate in candidates(storage, directory):
        groups.setdefault((candidate.name, candidate.number is None), []).append(candidate)
    for group in groups.values():
        group.sort(key=lambda candidate: candidate.number or 0)
    while groups:
        newest = max(groups, key=lambda key: groups[key][-1].mtime)
        yield groups[newest].pop().prefix
        if not groups[newest]:
            del groups[newest]
