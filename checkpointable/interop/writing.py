"""Writes a checkpoint in the format that the options ask for."""

from __future__ import annotations

from collections.abc import Sequence

from checkpointable.bundle.commit import Commit
from checkpointable.bundle.writer import write_bundle
from checkpointable.format.records import Snapshot
from checkpointable.interop.safetensors.writer import write_safetensors
from checkpointable.interop.tensorflow.writer import write_tensorflow
from checkpointable.options import SaveOptions


def write_checkpoint(
    commit: Commit, snapshot: Snapshot, options: SaveOptions, groups: Sequence[int] = ()
) -> int:
    """Write a snapshot through a commit and finish the commit.

    Args:
        commit: where to; it was begun with the same options.
        snapshot: what. The arrays must not change meanwhile.
        options: `format`, `single_file` and `max_shard_bytes` count here.
        groups: for each tensor, and each slice of a divided one, a number; those of different
            numbers go into different shards, where the format has several. By default all may
            share one.

    Returns:
        how many shards were written.

    Raises:
        NotCheckpointableError: something in the snapshot cannot be stored in this format.
        ValueError: `max_shard_bytes` is too small.
        StorageError: the storage failed.
    """
    if options.format == "tensorflow":
        return write_tensorflow(commit, snapshot, options, groups)
    if options.format == "safetensors":
        return write_safetensors(commit, snapshot, options)
    return write_bundle(commit, snapshot, options, groups)
