"""The checkpoints of one name in one directory: those that a manager owns, in the order of saving.

What is true stands in the directory; the shelf is brought up to date with it before every use.
Nothing is owned, and so nothing is ever deleted, that has not the stamp of a manager of this name.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from checkpointable.bundle import files
from checkpointable.directory.numbers import candidates_called, status_if_known
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.manager.stamp import Stamp, read_stamp
from checkpointable.retention.plan import record_saved
from checkpointable.retention.policies import Saved
from checkpointable.storage.base import FileStatus, Storage, path_text

_Files = Mapping[str, FileStatus | None]


class Shelf:
    """The numbered checkpoints of one name. Not thread-safe.

    Attributes:
        prefix: what stands before the number.
        saved: those that the manager owns, in the order of saving.
        strangers: those that are left alone, each with the reason.
    """

    def __init__(self, storage: Storage, prefix: str) -> None:
        self.prefix = prefix
        self.saved: tuple[Saved, ...] = ()
        self.strangers: dict[str, str] = {}
        self._storage = storage
        self._name = files.split_path(prefix)[1]
        #: Those of the owned that are damaged: why, and what their files were like.
        self._damaged: dict[str, tuple[str, _Files]] = {}
        #: What each commit file was like when it was last looked into.
        self._seen: dict[str, FileStatus] = {}

    def path(self, number: int) -> str:
        """Return the path of a checkpoint of this name."""
        return f"{self.prefix}-{number}"

    def paths(self, numbers: Iterable[int]) -> frozenset[str]:
        """Return the paths of checkpoints of this name."""
        return frozenset(map(self.path, numbers))

    def number_of(self, checkpoint: Any) -> int:
        """Return the number of an owned checkpoint, given by its number or path.

        Raises:
            CheckpointNotFoundError: none is owned that is called so, slashes and dots aside.
            TypeError: it is neither a number nor a path.
        """
        is_number = isinstance(checkpoint, (int, np.integer)) and not isinstance(checkpoint, bool)
        path = self.path(int(checkpoint)) if is_number else path_text(checkpoint)
        for saved in self.saved:
            number = files.split_number(saved.prefix)[1]
            if number is not None and posixpath.normpath(saved.prefix) == posixpath.normpath(path):
                return number
        there = ", ".join(s.prefix for s in self.saved) or "none"
        raise CheckpointNotFoundError(
            f"{path}: this manager has no such checkpoint. It has {there}; give one of these."
        )

    def sound(self) -> list[Saved]:
        """Return what is owned and not known to be damaged, in the order of saving."""
        return [s for s in self.saved if s.prefix not in self._damaged]

    def damaged(self) -> dict[str, str]:
        """Return the paths of what is owned and known to be damaged, each with the reason."""
        return {path: f"it is damaged: {reason}" for path, (reason, _) in self._damaged.items()}

    def set_aside(self, path: str, reason: str) -> None:
        """Take an owned checkpoint for damaged until its files change.

        Raises:
            StorageError: the directory cannot be read.
        """
        if any(s.prefix == path for s in self.saved):
            self._damaged[path] = reason, self._files([path])[path]

    def present(self) -> frozenset[str]:
        """Return the paths of all that are there, whoever owns them."""
        return frozenset(self._seen) | {s.prefix for s in self.saved}

    def refresh(self, order: Iterable[int] = ()) -> None:
        """Look at the directory again: what has come, what has gone, what was replaced.

        What has come stands where its number says; what was replaced by a checkpoint of the same
        owner keeps its place.

        Args:
            order: numbers of those whose order is known.

        Raises:
            StorageError: the directory cannot be read.
        """
        candidates = candidates_called(self._storage, self.prefix)
        present = {
            found.prefix: (found.number, found)
            for found in sorted(candidates, key=lambda c: (c.number or 0, c.prefix))
            if found.number is not None
        }
        owned = {s.prefix: s for s in self.saved if s.prefix in present}
        strangers = {p: reason for p, reason in self.strangers.items() if p in present}
        new: dict[int, Saved] = {}
        for path, (number, found) in present.items():
            if self._seen.get(path) == found.status:
                continue
            strangers.pop(path, None)
            before = owned.pop(path, None)
            stamp: Stamp | str = "its number is not written as a manager writes it"
            if path == self.path(number):
                stamp = read_stamp(self._storage, path, self._name)
            if isinstance(stamp, str):
                strangers[path] = stamp
            elif before is not None:
                owned[path] = described(path, number, stamp)
            else:
                new[number] = described(path, number, stamp)
        kept = [owned[s.prefix] for s in self.saved if s.prefix in owned]
        kept += [new.pop(number) for number in order if number in new]
        self.saved = tuple(_merged(kept, new.values()))
        self.strangers = strangers
        self._damaged = self._still_damaged(owned)
        self._seen = {path: found.status for path, (_, found) in present.items()}

    def _still_damaged(self, owned: Iterable[str]) -> dict[str, tuple[str, _Files]]:
        """Return what was damaged, and whose files are as they were."""
        paths = [path for path in owned if path in self._damaged]
        now = self._files(paths) if paths else {}
        return {path: self._damaged[path] for path in paths if now[path] == self._damaged[path][1]}

    def _files(self, paths: Sequence[str]) -> dict[str, _Files]:
        """Return what the files of checkpoints are like, by their names."""
        directory = files.split_path(self.prefix)[0]
        found: dict[str, _Files] = {path: {} for path in paths}
        for entry in self._storage.list_dir(directory):
            path = files.in_directory(directory, files.read_name(entry).prefix)
            if path in found:
                status = self._storage.status(files.in_directory(directory, entry))
                found[path] = {**found[path], entry: status}
        return found

    def newest_first(self) -> list[str]:
        """Return all that are there, strangers too, the newest first.

        Raises:
            StorageError: the directory cannot be read.
        """
        self.refresh()
        strangers = [Saved(path, self._seen[path].mtime) for path in self.strangers]
        return [s.prefix for s in reversed(_merged(self.saved, strangers))]

    def put(self, newest: Saved) -> None:
        """Take in what was saved this very moment."""
        status = status_if_known(self._storage, newest.prefix)
        self.strangers.pop(newest.prefix, None)
        self._damaged.pop(newest.prefix, None)
        self.saved = record_saved(self.saved, newest)
        if status is not None:  # Last: what is seen, and on no shelf, would never be looked at.
            self._seen[newest.prefix] = status


def described(path: str, number: int, stamp: Stamp) -> Saved:
    """Return a checkpoint with what its stamp says; without a step counter its number is its step.

    >>> described("run/ckpt-3", 3, Stamp("ckpt", 0.0, None, {})).step
    3
    """
    step = number if stamp.step is None else stamp.step
    return Saved(path, stamp.time, step=step, metrics=stamp.metrics)


def _merged(ordered: Sequence[Saved], others: Iterable[Saved]) -> list[Saved]:
    """Put checkpoints of unknown order among those of known order.

    Each stands after the last that has a lower number, and among themselves numbers decide. Times
    are not trusted: clocks go backwards, and a copy of the directory makes all files anew.
    """
    numbers = [_number(s) for s in ordered]
    #: The lowest number from each place on.
    lowest = [*accumulate(reversed(numbers), min)][::-1]
    places: list[list[Saved]] = [[] for _ in range(len(numbers) + 1)]
    for other in sorted(others, key=_number):
        places[bisect_left(lowest, _number(other))].append(other)
    merged = places[0]
    for saved, after in zip(ordered, places[1:], strict=True):
        merged += [saved, *after]
    return merged


def _number(saved: Saved) -> int:
    return files.split_number(saved.prefix)[1] or 0
