"""What a saver remembers of its checkpoints: which it keeps, and which it deletes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from checkpointable.directory.numbers import commit_status, status_if_known
from checkpointable.directory.removal import remove_checkpoints
from checkpointable.directory.state_file import (
    CheckpointState,
    change_state,
    inside,
    look_at_state,
)
from checkpointable.errors import CheckpointError, CheckpointNotFoundError, StorageError, warn
from checkpointable.interop.opening import summarize
from checkpointable.name_based.listed import (
    Listed,
    Place,
    entry_of,
    listed,
    name_of,
    own_entries,
    with_newest,
)
from checkpointable.name_based.surplus import is_one_of, temporaries_of
from checkpointable.retention.plan import plan_retention
from checkpointable.retention.policies import EveryHours, KeepLatest
from checkpointable.storage.base import FileStatus, Storage


class Keeping:
    """The checkpoints of one saver, in the order of saving. Not thread-safe.

    Args:
        max_to_keep: how many of the latest are kept; 0: all, and none is remembered.
        hours: one is kept for good whenever so many hours have passed since the last such.
        written: the format of what the saver saves. Of other formats but the native one, nothing
            counts as a saver's: TensorFlow may have written it.
        storage: where the checkpoints are.
        clock: tells the time, in seconds since 1970.
    """

    def __init__(
        self,
        max_to_keep: int,
        hours: float,
        written: str,
        storage: Storage,
        clock: Callable[[], float],
    ) -> None:
        self._latest = KeepLatest(max_to_keep or None)
        self._every_hours = EveryHours(hours)
        self._formats = {"native", written}
        self._storage = storage
        self._clock = clock
        self._saved: tuple[Listed, ...] = ()
        #: What is to be deleted and still is there.
        self._surplus: tuple[Listed, ...] = ()
        self._last_preserved = clock()
        #: The names whose state files have been read; `None`: none will be.
        self._adopted: set[tuple[str, str]] | None = set()
        #: All names under which it has saved.
        self._names: set[str] = set()
        #: The commit files of name-based checkpoints when they were last looked into.
        self._known: dict[str, FileStatus] = {}

    @property
    def paths(self) -> list[str]:
        """What was returned of the checkpoints that are kept and may be deleted later, in order."""
        return [one.path for one in self._saved]

    def assume(self, saved: Iterable[tuple[str, float]]) -> None:
        """Replace what is remembered by paths and times; from now on state files are not read."""
        self._saved = ()
        for path, time in saved:
            self._saved = with_newest(self._saved, listed(path, time))
            self._names.add(name_of(path))
        self._surplus = ()
        self._adopted = None

    def keep(self, path: str, place: Place) -> None:
        """Take in what was just saved: remember it, write the state file, delete the surplus.

        What fails here is told in warnings, at the end: the checkpoint itself is saved.
        """
        newest = listed(path, self._clock())
        self._names.add(name_of(path))
        took_in = False

        def change(state: CheckpointState | None) -> CheckpointState:
            nonlocal took_in
            state = self._checked(state, place)
            if not took_in:
                self._adopt(state, path, place)
                self._take_in(newest)
                took_in = True
            # What is to be deleted is listed until it is gone: a crash leaves no orphan.
            own = [*self._surplus, *with_newest(self._saved, newest)]
            return self._state(state, place, own)

        problems: list[str] = []
        try:
            problems += self._change_state(path, place, change)
        finally:  # An interrupt must not lose it.
            if not took_in:
                self._take_in(newest)
        surplus = self._surplus
        if surplus:
            problems += self._delete(place)
        if len(self._surplus) < len(surplus):
            problems += self._change_state(path, place, change)
        for problem in problems:
            warn(problem)

    def _checked(self, state: CheckpointState | None, place: Place) -> CheckpointState | None:
        """Return what a state file says; one that says nothing is looked at once more.

        Raises:
            StorageError: it cannot be read now, so what it lists would be lost.
        """
        if state is not None:
            return state
        found = look_at_state(self._storage, place.directory, place.state_file)
        if found.is_unreadable:
            raise StorageError(
                f"{found.path} {found.problem}. The next save tries again. If it stays so, delete"
                " it; then what only it lists is not deleted any more.",
                path=found.path,
            )
        return found.state

    def _adopt(self, state: CheckpointState | None, path: str, place: Place) -> None:
        """Take over what the state file lists under the name of a checkpoint, once for each name.

        Only name-based checkpoints that are there count: nothing else will ever be deleted.
        """
        name = name_of(path)
        known = (name, place.state_file)
        if self._latest.count is None or self._adopted is None or known in self._adopted:
            return
        adopted: tuple[Listed, ...] = ()
        for prefix, time in own_entries(state, place, name):
            when = self._mtime(prefix) if time is None or math.isnan(time) else time
            if self._can_adopt(one := listed(prefix, when)):
                adopted = with_newest(adopted, one)
        own = {one.prefix for one in self._saved}
        last = state.last_preserved_timestamp if state is not None else None
        if self._adopted or not adopted or last is None or not math.isfinite(last):
            last = self._last_preserved
        # At one stroke: after an interrupt it is done again.
        self._saved, self._last_preserved = (
            (*(one for one in adopted if one.prefix not in own), *self._saved),
            last,
        )
        self._adopted.add(known)

    def _take_in(self, newest: Listed) -> None:
        """Put a checkpoint last, and decide about those that are no longer among the latest."""
        if self._latest.count is None:
            return
        saved = with_newest(self._saved, newest)
        plan = plan_retention(
            saved,
            self._latest,
            every_hours=self._every_hours,
            # A clock that was set back errs toward keeping.
            last_preserved=min(self._last_preserved, newest.time),
        )
        deleted = {*plan.deleted}
        leaving = {*deleted, *plan.preserved}
        surplus = [one for one in self._surplus if one.prefix != newest.prefix]
        surplus += [one for one in saved if one.prefix in deleted]
        # At one stroke: an interrupt must not lose what is to be deleted.
        self._saved, self._surplus, self._last_preserved = (
            tuple(one for one in saved if one.prefix not in leaving),
            tuple(surplus),
            plan.last_preserved,
        )
        status = status_if_known(self._storage, newest.where)
        if status is not None:
            self._known[newest.prefix] = status

    def _change_state(
        self,
        path: str,
        place: Place,
        change: Callable[[CheckpointState | None], CheckpointState],
    ) -> list[str]:
        """Change the state file; return what is to be told."""
        try:
            change_state(self._storage, place.directory, change, place.state_file)
        except CheckpointError as error:
            return [f"{path} is saved, but the state file beside it is not up to date: {error}"]
        return []

    def _state(
        self, state: CheckpointState | None, place: Place, own: Sequence[Listed]
    ) -> CheckpointState:
        """Return what the state file is to say; what it lists under other names stays, first."""
        entries: list[tuple[str, float]] = []
        for entry, time in () if state is None else state.entries:
            prefix = inside(place.directory, entry)
            if name_of(prefix) not in self._names:
                entries.append((entry, self._mtime(prefix) if time is None else time))
        entries += [(entry_of(one, place), one.time) for one in own]
        return CheckpointState(
            entries[-1][0],
            tuple(entry for entry, _ in entries),
            tuple(time for _, time in entries),
            self._last_preserved,
        )

    def _delete(self, place: Place) -> list[str]:
        """Delete the surplus, as far as possible; return what is to be told."""
        removable: list[Listed] = []
        side_files: list[str] = []
        left: list[Listed] = []
        told: list[str] = []
        problem: CheckpointError | None = None
        for one in self._surplus:
            try:
                if is_one_of(self._storage, one, self._saved):
                    continue
                is_ours = self._is_name_based(one)
            except StorageError as error:
                left.append(one)
                problem = problem or error
                continue
            if is_ours is False:
                told.append(
                    f"{one.where}: would be deleted now, but is left alone, because it is not a"
                    " name-based checkpoint of this library any more. Delete it yourself."
                )
                continue
            side_files += place.side_files(one.where)
            if is_ours:
                removable.append(one)
        try:
            side_files += temporaries_of(self._storage, side_files)
            paths = [one.where for one in removable]
            remove_checkpoints(self._storage, paths, extra=side_files, spare_others=True)
        except CheckpointError as error:
            left += removable
            problem = problem or error
        if problem:
            told.append(
                f"old checkpoints could not be deleted; the next save tries again: {problem}"
            )
        self._surplus = tuple(left)
        remembered = {one.prefix for one in (*self._saved, *left)}
        self._known = {key: status for key, status in self._known.items() if key in remembered}
        return told

    def _is_name_based(self, one: Listed) -> bool | None:
        """Tell whether a name-based checkpoint is there; `None`: there is nothing at all.

        Raises:
            StorageError: that cannot be found out now.
        """
        status = commit_status(self._storage, one.where)
        if status is not None and status == self._known.get(one.prefix):
            return True
        try:
            summary = summarize(self._storage, one.where)
        except CheckpointNotFoundError:
            return None
        except StorageError:
            raise
        except CheckpointError:
            return False
        if not summary.is_name_based or summary.format not in self._formats:
            return False
        self._known[one.prefix] = summary.status
        return True

    def _can_adopt(self, one: Listed) -> bool:
        """Tell whether what is listed counts; what cannot be looked at is looked at again later."""
        try:
            return self._is_name_based(one) is True
        except StorageError:
            return True

    def _mtime(self, prefix: str) -> float:
        status = status_if_known(self._storage, prefix)
        return self._clock() if status is None else status.mtime
