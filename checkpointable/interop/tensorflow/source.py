"""A place that is kept for the reader of a TensorFlow checkpoint, which replaces this module."""

from __future__ import annotations

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.source import CheckpointSource
from checkpointable.storage.base import Storage


def open_bundle(storage: Storage, path: str) -> CheckpointSource:
    """Refuse to open the checkpoint at a path."""
    raise UnsupportedFormatError(
        f"{path}: this is a TensorFlow checkpoint, which this"
        " version does not read. Convert it first."
    )
