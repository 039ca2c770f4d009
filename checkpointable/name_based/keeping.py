"""What a saver remembers of its checkpoints: which it keeps, and which it deletes."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterable, Sequence

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.bundle.opening import read_commit_file
from checkpointable.directory.numbers import commit_status, status_if_known
from checkpointable.directory.removal import remove_checkpoints
from checkpointable.directory.state_file import CheckpointState, change_state, inside
from checkpointable.errors import CheckpointError, CheckpointNotFoundError, StorageError, warn
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
        #: All names under which it has saved.
        self._names: set[str] = set()
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
            self._names.add(_name(one.prefix))
        self._surplus = ()
        self._adopted = None

    def keep(self, path: str, place: Place) -> None:
        """Take in what was just saved: remember it, write the state file, delete the surplus.

        What fails here is told in warnings: the checkpoint itself is saved.
        """
        newest = Saved(path, self._clock())
        self._names.add(_name(path))
        took_in = False

        def change(state: CheckpointState | None) -> CheckpointState:
            nonlocal took_in
            if not took_in:
                self._adopt(state, path, place)
                self._take_in(newest)
                took_in = True
            # What is to be deleted is listed until it is gone: a crash leaves no orphan.
            return self._state(state, place, [*self._surplus, *(self._saved or [newest])])

        self._change_state(path, place, change)
        if not took_in:
            self._take_in(newest)
        if self._surplus and self._delete(place):
            self._change_state(path, place, change)

    def _adopt(self, state: CheckpointState | None, path: str, place: Place) -> None:
        """Take over what the state file lists under the name of a checkpoint, once for each name.

        Only name-based checkpoints that are there count: nothing else will ever be deleted.
        """
        name = _name(path)
        known = (name, place.state_file)
        if self._latest.count is None or self._adopted is None or known in self._adopted:
            return
        is_first = not self._adopted and not self._saved
        adopted: tuple[Saved, ...] = ()
        for entry, time in _entries(state) if state is not None else ():
            prefix = inside(place.directory, entry)
            if _name(prefix) == name and self._can_adopt(prefix):
                when = self._mtime(prefix) if time is None or math.isnan(time) else time
                adopted = _with(adopted, Saved(prefix, when))
        own = {_key(one.prefix) for one in self._saved}
        self._saved = (*(one for one in adopted if _key(one.prefix) not in own), *self._saved)
        last = state.last_preserved_timestamp if state is not None else None
        if is_first and adopted and last is not None and math.isfinite(last):
            self._last_preserved = last
        self._adopted.add(known)

    def _take_in(self, newest: Saved) -> None:
        """Put a checkpoint last, and decide about those that are no longer among the latest."""
        if self._latest.count is None:
            return
        saved = _with(self._saved, newest)
        plan = plan_retention(
            saved,
            self._latest,
            every_hours=self._every_hours,
            # A clock that was set back errs toward keeping.
            last_preserved=min(self._last_preserved, newest.time),
        )
        deleted = {*plan.deleted}
        leaving = {*deleted, *plan.preserved}
        again = _key(newest.prefix)
        surplus = [one for one in self._surplus if _key(one.prefix) != again]
        surplus += [one for one in saved if one.prefix in deleted]
        # At one stroke: an interrupt must not lose what is to be deleted.
        self._saved, self._surplus, self._last_preserved = (
            tuple(one for one in saved if one.prefix not in leaving),
            tuple(surplus),
            plan.last_preserved,
        )
        status = status_if_known(self._storage, files.without_pattern(newest.prefix))
        if status is not None:
            self._known[again] = status

    def _change_state(
        self,
        path: str,
        place: Place,
        change: Callable[[CheckpointState | None], CheckpointState],
    ) -> None:
        try:
            change_state(self._storage, place.directory, change, place.state_file)
        except CheckpointError as error:
            warn(f"{path} is saved, but the state file beside it is not up to date: {error}")

    def _state(
        self, state: CheckpointState | None, place: Place, own: Sequence[Saved]
    ) -> CheckpointState:
        """Return what the state file is to say; what it lists under other names stays, first."""
        entries: list[tuple[str, float]] = []
        for entry, time in _entries(state) if state is not None else ():
            prefix = inside(place.directory, entry)
            if _name(prefix) not in self._names:
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
        left: list[Saved] = []
        problems: list[CheckpointError] = []
        for one in self._surplus:
            prefix = files.without_pattern(one.prefix)
            try:
                is_ours = self._is_name_based(prefix)
            except StorageError as error:
                left.append(one)
                problems.append(error)
                continue
            if is_ours is False:
                warn(
                    f"{prefix}: would be deleted now, but is left alone, because it is not a"
                    " name-based checkpoint of this library any more. Delete it yourself."
                )
                continue
            side_files += place.side_files(prefix)
            if is_ours:
                removable.append(one)
        try:
            side_files += self._temporaries_of(side_files)
            remove_checkpoints(self._storage, [one.prefix for one in removable], extra=side_files)
        except CheckpointError as error:
            left += removable
            problems.append(error)
        if problems:
            warn(f"old checkpoints could not be deleted; the next save tries again: {problems[0]}")
        is_less = len(left) < len(self._surplus)
        self._surplus = tuple(left)
        listed = {_key(one.prefix) for one in (*self._saved, *left)}
        self._known = {key: status for key, status in self._known.items() if key in listed}
        return is_less

    def _temporaries_of(self, side_files: Sequence[str]) -> list[str]:
        """Return what writers of these files left when they died."""
        found: list[str] = []
        for directory in {files.split_path(path)[0] for path in side_files}:
            for name in self._storage.list_dir(directory):
                read = files.read_name(name)
                is_temporary = read.kind is FileKind.COMMIT_TEMPORARY
                if is_temporary and files.in_directory(directory, read.prefix) in side_files:
                    found.append(files.in_directory(directory, name))
        return found

    def _is_name_based(self, prefix: str) -> bool | None:
        """Tell whether a name-based checkpoint is there; `None`: there is nothing at all.

        Raises:
            StorageError: that cannot be found out now.
        """
        key = _key(prefix)
        status = commit_status(self._storage, prefix)
        if status is not None and status == self._known.get(key):
            return True
        try:
            commit_file = read_commit_file(self._storage, prefix)
        except CheckpointNotFoundError:
            return None
        except StorageError:
            raise
        except CheckpointError:
            return False
        if commit_file.single is not None:
            commit_file.single.close()
        if not commit_file.index.graph.is_name_based:
            return False
        self._known[key] = commit_file.status
        return True

    def _can_adopt(self, prefix: str) -> bool:
        """Tell whether what is listed counts; what cannot be looked at is looked at again later."""
        try:
            return self._is_name_based(prefix) is True
        except StorageError:
            return True

    def _mtime(self, prefix: str) -> float:
        status = status_if_known(self._storage, prefix)
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
