"""A place that is kept for the writer of this format, which replaces this module."""

from __future__ import annotations

from collections.abc import Sequence

from checkpointable.bundle.commit import Commit
from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.records import Snapshot
from checkpointable.options import SaveOptions


def write_tensorflow(
    commit: Commit, snapshot: Snapshot, options: SaveOptions, groups: Sequence[int] = ()
) -> int:
    """Refuse to write a checkpoint in this format."""
    raise UnsupportedFormatError(
        f"{commit.prefix}: this version does not write the format {options.format!r}. Use the"
        " native one."
    )
