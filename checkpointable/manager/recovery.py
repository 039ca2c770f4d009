"""Restores the newest checkpoint that is whole, past those that are not."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Final

from checkpointable.checkpoint import Checkpoint, restore_checkpoint
from checkpointable.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    StorageError,
    UnsupportedFormatError,
    warn,
)
from checkpointable.options import RestoreOptions
from checkpointable.restore.status import LoadStatus
from checkpointable.storage.base import Storage

_DAMAGE: Final = (CorruptCheckpointError, CheckpointNotFoundError, UnsupportedFormatError)
#: What the storage says of a file that is a directory, a link, or no regular file at all.
_NO_FILE: Final = (errno.EINVAL, errno.EISDIR, errno.ELOOP)


def restore_newest(
    checkpoint: Checkpoint,
    paths: Iterable[str],
    options: RestoreOptions,
    storage: Storage,
    skip: Callable[[str, str], None],
) -> tuple[LoadStatus, str | None]:
    """Restore the first checkpoint that verifies; each that does not gives a warning.

    Args:
        checkpoint: what to restore.
        paths: the checkpoints, the newest first.
        options: what to restore; every byte must be verified before any is used.
        storage: where they are.
        skip: is told the path of each that does not verify, and why.

    Returns:
        the status, and the path of what was restored; where there are none, the status of
        `restore(None)` and `None`.

    Raises:
        CorruptCheckpointError: there are some, but none that verifies.
        CheckpointError: what verifies cannot be restored, because it does not fit.
        StorageError: the storage failed, which says nothing about the checkpoint.
    """
    failures: list[str] = []
    for path in paths:
        try:
            return restore_checkpoint(
                checkpoint, path, options, with_counter=True, storage=storage, check_names=True
            ), path
        except (*_DAMAGE, StorageError) as error:
            if isinstance(error, StorageError) and error.errno not in _NO_FILE:
                raise
            failures.append(f"{path}: {error}")
            skip(path, str(error))
        warn(f"{failures[-1]} It is skipped; the next older checkpoint is tried.")
    if failures:
        raise CorruptCheckpointError(
            f"none of the {len(failures)} checkpoints verifies, so nothing was restored. Restore"
            " one of them without a manager to see more, or begin in another directory. "
            + " ".join(failures)
        )
    return restore_checkpoint(checkpoint, None, options, with_counter=True, storage=storage), None
