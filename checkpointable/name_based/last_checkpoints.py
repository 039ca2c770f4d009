"""What a saver tells, and may be told, of the checkpoints that it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable

from checkpointable.bundle import files
from checkpointable.directory.numbers import commit_status
from checkpointable.name_based.keeping import Keeping
from checkpointable.storage.base import PathLike, Storage, path_text, path_texts


class LastCheckpoints:
    """The list of kept checkpoints of a saver, to be read and replaced."""

    #: What keeps the list, and where the checkpoints are.
    _keeping: Keeping
    _storage: Storage

    @property
    def last_checkpoints(self) -> list[str]:
        """The checkpoints that are kept and not kept for good, the oldest first; a new list."""
        return self._keeping.paths

    def set_last_checkpoints(self, last_checkpoints: list[str]) -> None:
        """Replace the list of kept checkpoints by some that are never deleted.

        Once they are no longer among the latest they leave the list, and stay. Give times, with
        `set_last_checkpoints_with_time`, to let them be deleted.

        Args:
            last_checkpoints: their paths, the oldest first.

        Raises:
            AssertionError: it is not a list.
        """
        _check_list("last_checkpoints", last_checkpoints)
        self._keeping.assume([(path_text(path), math.inf) for path in last_checkpoints])

    def set_last_checkpoints_with_time(
        self, last_checkpoints_with_time: list[tuple[str, float]]
    ) -> None:
        """Replace the list of kept checkpoints; the state file is not asked for them any more.

        Args:
            last_checkpoints_with_time: their paths and when they were saved, in seconds since
                1970, the oldest first.

        Raises:
            AssertionError: it is not a list.
            TypeError, ValueError: it holds something else than pairs of a path and a time.
        """
        _check_list("last_checkpoints_with_time", last_checkpoints_with_time)
        pairs = [(path_text(path), float(when)) for path, when in last_checkpoints_with_time]
        self._keeping.assume(pairs)

    def recover_last_checkpoints(self, checkpoint_paths: Iterable[PathLike]) -> None:
        """Replace the list of kept checkpoints by those of some that are there.

        Hardly needed: a new Saver learns from the state file what an older one has kept.

        Args:
            checkpoint_paths: their paths, the oldest first. Each counts as saved when its file was
                last written; those that are not there are left out.

        Raises:
            TypeError: it is one path instead of a list of them, or holds something else than paths.
        """
        paths = path_texts("checkpoint_paths", checkpoint_paths)
        found = [(p, commit_status(self._storage, files.without_pattern(p))) for p in paths]
        self._keeping.assume([(p, status.mtime) for p, status in found if status is not None])


def _check_list(argument: str, value: object) -> None:
    if not isinstance(value, list):
        raise AssertionError(f"{argument} is a {type(value).__qualname__}, expected a list")
