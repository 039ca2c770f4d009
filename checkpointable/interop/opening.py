"""Opens a checkpoint of any format, recognised by content (F-4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from checkpointable.bundle.opening import read_commit_file
from checkpointable.bundle.reader import open_bundle_source
from checkpointable.bundle.verify import verify_checkpoint
from checkpointable.format.source import CheckpointSource, Finding
from checkpointable.format.values import decode_metadata
from checkpointable.storage.base import FileStatus, Storage


@attrs.frozen
class Summary:
    """What the commit file of a checkpoint says about it.

    Attributes:
        status: what the storage said of that file when it was read.
        is_name_based: whether the checkpoint has names and no object graph.
        metadata: the user's metadata.
    """

    status: FileStatus
    is_name_based: bool
    metadata: Mapping[str, Any]


def open_checkpoint(storage: Storage, path: str) -> CheckpointSource:
    """Open the checkpoint at a path, whatever its format.

    The whole index and the lengths of all files are checked. The source holds the files open
    until it is closed, so what happens to the checkpoint meanwhile does not matter to it.

    Raises:
        CheckpointNotFoundError: there is none; the message names those that are there.
        CorruptCheckpointError: the index is damaged, a shard is missing or of another length.
        MissingDependencyError: its format needs a package that is not installed.
        UnsupportedFormatError: it is of an unknown format or of a newer version.
        StorageError: the storage failed.
    """
    return open_bundle_source(storage, path)


def summarize(storage: Storage, path: str) -> Summary:
    """Look into the commit file of the checkpoint at a path; its shards are not opened.

    Raises:
        CheckpointError: as `open_checkpoint`.
    """
    commit_file = read_commit_file(storage, path)
    if commit_file.single is not None:
        commit_file.single.close()
    metadata = decode_metadata(commit_file.index.metadata, commit_file.path)
    return Summary(commit_file.status, commit_file.index.graph.is_name_based, metadata)


def verify_files(storage: Storage, path: str) -> list[Finding]:
    """Return what is wrong with the checkpoint at a path; empty when every byte is right.

    Raises:
        CheckpointNotFoundError: there is none.
        UnsupportedFormatError: it is of an unknown format, or of a newer version.
        MissingDependencyError: its content cannot be checked without a package.
    """
    return verify_checkpoint(storage, path)
