"""A place that is kept for the reader of TensorFlow's first format: it replaces this module."""

from __future__ import annotations

from collections.abc import Sequence

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.source import CheckpointSource
from checkpointable.storage.base import Storage


def open_slice_files(storage: Storage, path: str, files: Sequence[str]) -> CheckpointSource:
    """Refuse to open the checkpoint at a path."""
    raise UnsupportedFormatError(
        f"{path}: this is a checkpoint of TensorFlow's first format, which this"
        " version does not read. Convert it first."
    )
