"""What a saver remembers of its checkpoints: which it keeps, and which it deletes."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterable, Sequence

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.opening import read_commit_file
from checkpointable.directory.numbers import commit_status
from checkpointable.directory.removal import remove_checkpoints
from checkpointable.directory.state_file import CheckpointState, change_state, inside, read_state
from checkpointable.errors import CheckpointError, warn
from checkpointable.retention.plan import plan_retention
from checkpointable.retention.policies import EveryHours, KeepLatest, Saved
from checkpointable.storage.base import FileStatus, Storage


@attrs.frozen
class Place:
    """Where the bookkeeping of a save is done.

    Attributes:
        directory: where the state file is.
        state_file: what it is called.
        side_files: return the files that go with the checkpoint of a prefix.
        relative: whether the state file names checkpoints of other directories relatively too.
    """

    directory: str
    state_file: str
    side_files: Callable[[str], Sequence[str]]
    relative: bool


class Keeping:
    """The checkpoints of one saver, in the order of saving. Not thread-safe.

    Args:
        max_to_keep: how many of the latest are kept; 0: all, and none is remembered.
        hours: one is kept for good whenever so many hours have passed since the last such.
        storage: where the checkpoints are.
        clock: tells the time, in seconds since 1970.
    """

    def __init__(
        self, max_to_keep: int, hours: float, storage: Storage, clock: Callable[[], float]
    ) -> None:
        self._latest = KeepLatest(max_to_keep or None)
        self._every_hours = EveryHours(hours)
        self._storage = storage
        self._clock = clock
        self._saved: tuple[Saved, ...] = ()
        #: What is to be deleted and still is there.
        self._surplus: tuple[Saved, ...] = ()
        self._last_preserved = clock()
        #: The names whose state files have been read; `None`: none will be.
        self._adopted: set[tuple[str, str]] | None = set()
        #: The commit files of name-based checkpoints when they were last looked into.
        self._known: dict[str, FileStatus] = {}

    @property
    def saved(self) -> tuple[Saved, ...]:
        """The checkpoints that are kept and may be deleted later, the oldest first."""
        return self._saved

    def assume(self, saved: Iterable[Saved]) -> None:
        """Replace what is remembered; from now on state files are not read."""
        self._saved = ()
        for one in saved:
            self._saved = _with(self._saved, one)
        self._surplus = ()
        self._adopted = None

    def keep(self, path: str, place: Place) -> None:
        """Take in what was just saved: remember it, write the state file, delete the surplus.

        What fails here is told in warnings: the checkpoint itself is saved.
        """
        own = [Saved(path, self._clock())]
        if self._latest.count is not None:
            self._adopt(path, place)
            self._take_in(own[0])
        # What is to be deleted is listed until it is gone: a crash meanwhile leaves no orphan.
        self._write_state(path, place, [*self._surplus, *(self._saved or own)])
        if self._surplus and self._delete(place):
            self._write_state(path, place, [*self._surplus, *self._saved])

    def _adopt(self, path: str, place: Place) -> None:
        """Take over what the state file lists under the name of a checkpoint, once for each name.

        Only name-based checkpoints that are there count: nothing else will ever be deleted.
        """
        name = _name(path)
        known = (name, place.state_file)
        if self._adopted is None or known in self._adopted:
            return
        is_first = not self._adopted and not self._saved
        self._adopted.add(known)
        state = read_state(self._storage, place.directory, place.state_file)
        if state is None:
            return
        adopted: tuple[Saved, ...] = ()
        for entry, time in _entries(state):
            prefix = inside(place.directory, entry)
            status = self._look_into(prefix) if _name(prefix) == name else None
            if status is not None:
                when = status.mtime if time is None or math.isnan(time) else time
                adopted = _with(adopted, Saved(prefix, when))
        own = {_key(one.prefix) for one in self._saved}
        self._saved = (*(one for one in adopted if _key(one.prefix) not in own), *self._saved)
        last = state.last_preserved_timestamp
        if is_first and adopted and last is not None and math.isfinite(last):
            self._last_preserved = last

    def _take_in(self, newest: Saved) -> None:
        """Put a checkpoint last, and decide about those that are no longer among the latest."""
        # A clock that was set back errs toward keeping.
        self._last_preserved = min(self._last_preserved, newest.time)
        saved = _with(self._saved, newest)
        plan = plan_retention(
            saved,
            self._latest,
            every_hours=self._every_hours,
            last_preserved=self._last_preserved,
        )
        self._last_preserved = plan.last_preserved
        deleted = {*plan.deleted}
        leaving = {*deleted, *plan.preserved}
        self._saved = tuple(one for one in saved if one.prefix not in leaving)
        again = _key(newest.prefix)
        self._surplus = (
            *(one for one in self._surplus if _key(one.prefix) != again),
            *(one for one in saved if one.prefix in deleted),
        )
        status = commit_status(self._storage, files.without_pattern(newest.prefix))
        if status is not None:
            self._known[again] = status

    def _write_state(self, path: str, place: Place, own: Sequence[Saved]) -> None:
        try:
            change_state(
                self._storage,
                place.directory,
                lambda state: self._state(state, path, place, own),
                place.state_file,
            )
        except CheckpointError as error:
            warn(f"{path} is saved, but the state file beside it is not up to date: {error}")

    def _state(
        self, state: CheckpointState | None, path: str, place: Place, own: Sequence[Saved]
    ) -> CheckpointState:
        """Return what the state file is to say; what it lists under other names stays, first."""
        names = {_name(path), *(_name(one.prefix) for one in own)}
        entries: list[tuple[str, float]] = []
        for entry, time in _entries(state) if state is not None else ():
            prefix = inside(place.directory, entry)
            if _name(prefix) not in names:
                entries.append((entry, self._mtime(prefix) if time is None else time))
        entries += [(_as_entry(one.prefix, place), one.time) for one in own]
        return CheckpointState(
            entries[-1][0],
            tuple(entry for entry, _ in entries),
            tuple(time for _, time in entries),
            self._last_preserved,
        )

    def _delete(self, place: Place) -> bool:
        """Delete the surplus; tell whether less is left of it."""
        removable: list[Saved] = []
        side_files: list[str] = []
        for one in self._surplus:
            prefix = files.without_pattern(one.prefix)
            status = commit_status(self._storage, prefix)
            if status is None:
                side_files += place.side_files(prefix)
            elif status == self._known.get(_key(prefix)) or self._look_into(prefix) is not None:
                removable.append(one)
                side_files += place.side_files(prefix)
            else:
                warn(
                    f"{prefix}: would be deleted now, but is left alone, because it is not a"
                    " name-based checkpoint of this library any more. Delete it yourself."
                )
        is_less = len(removable) < len(self._surplus)
        try:
            remove_checkpoints(self._storage, [one.prefix for one in removable], extra=side_files)
        except CheckpointError as error:
            warn(f"old checkpoints could not be deleted; the next save tries again: {error}")
            self._surplus = tuple(removable)
            return is_less
        for one in self._surplus:
            self._known.pop(_key(one.prefix), None)
        self._surplus = ()
        return True

    def _look_into(self, prefix: str) -> FileStatus | None:
        """Return the status of a commit file if it is that of a name-based checkpoint."""
        try:
            commit_file = read_commit_file(self._storage, prefix)
        except CheckpointError:
            return None
        if commit_file.single is not None:
            commit_file.single.close()
        if not commit_file.index.graph.is_name_based:
            return None
        self._known[_key(prefix)] = commit_file.status
        return commit_file.status

    def _mtime(self, prefix: str) -> float:
        status = commit_status(self._storage, prefix)
        return self._clock() if status is None else status.mtime


def _with(saved: Iterable[Saved], newest: Saved) -> tuple[Saved, ...]:
    """Return a sequence with one more at its end, which takes the place of its older self."""
    key = _key(newest.prefix)
    return (*(one for one in saved if _key(one.prefix) != key), newest)


def _entries(state: CheckpointState) -> list[tuple[str, float | None]]:
    """Return what a state file lists, with times where it has one for each."""
    paths, times = state.all_model_checkpoint_paths, state.all_model_checkpoint_timestamps
    return list(zip(paths, times if len(times) == len(paths) else [None] * len(paths), strict=True))


def _as_entry(path: str, place: Place) -> str:
    """Return how the state file names a checkpoint: relative to its directory if it is there."""
    directory, base = posixpath.split(_key(path))
    here = posixpath.abspath(place.directory)
    if directory == here:
        return base
    return posixpath.relpath(_key(path), here) if place.relative else _key(path)


def _key(path: str) -> str:
    """Return what tells checkpoints apart, however their paths are spelled."""
    return posixpath.abspath(files.without_pattern(path))


def _name(path: str) -> str:
    """Return the directory and name of a checkpoint, without its number."""
    return files.split_number(_key(path))[0]
