"""Replaces a small file that stands beside checkpoints: a state file, a meta graph, a record."""

from __future__ import annotations

import secrets

from checkpointable.bundle import existing, files
from checkpointable.bundle.peek import COMMIT_FILES
from checkpointable.errors import CheckpointExistsError
from checkpointable.storage.base import TEMPORARY_SUFFIX, Storage, discard


def replace_file(
    storage: Storage, path: str, content: bytes, *, durable: bool, locked: bool
) -> None:
    """Give a file another content, atomically; what died writers of it left is removed.

    Call it inside `storage.lock_dir` of its directory.

    Args:
        storage: where it is.
        path: the file; its directory exists.
        content: all of it.
        durable: whether the content survives a power cut once the call has returned. If not, a
            power cut leaves the old content, the new, or a damaged one.
        locked: whether the file system could lock the directory.

    Raises:
        CheckpointExistsError: what stands there is a checkpoint.
        StorageError: the storage failed; the old content is intact.
    """
    if existing.is_checkpoint(storage, COMMIT_FILES, path):
        raise CheckpointExistsError(
            f"{path}: is a checkpoint, and is never replaced by another file. Choose another name"
            " for one of the two."
        )
    if locked:
        existing.remove_dead_temporaries(storage, path)
    file = storage.create(f"{path}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        file.write([content])
        if durable:
            file.sync()
        file.close()
        storage.rename(file.path, path)
    except BaseException:
        discard(storage, [file])
        raise
    if durable:
        storage.sync_dir(files.split_path(path)[0])
