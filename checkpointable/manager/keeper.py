"""What is kept: the plan, what is remembered of it, and its execution after each save.

The order makes a crash harmless at every instant: the new checkpoint is durable, then what is
remembered, then comes the state file (a hint), and only then is anything deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from checkpointable.bundle import files
from checkpointable.directory.numbers import status_if_known
from checkpointable.directory.removal import remove_checkpoints
from checkpointable.directory.state_file import change_state, read_state
from checkpointable.errors import (
    CheckpointError,
    CheckpointExistsError,
    CorruptCheckpointError,
    warn,
)
from checkpointable.interop.opening import summarize
from checkpointable.manager.listing import Listed, listed_of, with_own
from checkpointable.manager.record import Remembered, read_record, record_file, write_record
from checkpointable.manager.settings import Settings
from checkpointable.manager.shelf import Shelf, described
from checkpointable.manager.stamp import Stamp
from checkpointable.retention.plan import Decision, RetentionPlan, plan_retention
from checkpointable.retention.policies import KeepNamed, Saved
from checkpointable.storage.base import Storage


class Keeper:
    """Decides which checkpoints of one name are kept, and deletes the others. Not thread-safe.

    Attributes:
        shelf: the checkpoints.
    """

    def __init__(
        self, storage: Storage, directory: str, settings: Settings, clock: Callable[[], float]
    ) -> None:
        """Look at what is there; nothing is changed.

        Raises:
            StorageError: the directory or the record cannot be read.
            UnsupportedFormatError: a newer version of the library wrote the record.
        """
        self._storage = storage
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self.shelf = Shelf(storage, files.in_directory(directory, settings.name))
        self._record = record_file(self.shelf.prefix)
        self._told_of_clock = False
        #: What the record says; `None` if that is not known.
        self._recorded: Remembered | None = None
        self._has_record = False
        self._remembered = self._recall(listed_of(read_state(storage, directory), settings.name))
        for problem in self._mind_the_clock():
            warn(problem)

    def listed(self) -> list[Saved]:
        """Return what is owned but for what is kept for good, in the order of saving."""
        preserved = self.shelf.paths(self._remembered.preserved)
        return [s for s in self.shelf.sound() if s.prefix not in preserved]

    def best(self) -> str | None:
        """Return the best by the metric; `None` if none has it."""
        best = self._settings.best
        ranking = [] if best is None else best.ranking(self.shelf.sound())
        return ranking[0].prefix if ranking else None

    def plan(self) -> RetentionPlan:
        """Return what a sweep would do now, after what is left alone.

        Raises:
            StorageError: the directory cannot be read.
        """
        self.shelf.refresh()
        plan = self._plan()
        alone = tuple(
            Decision(path, True, (f"left alone: {reason}",))
            for path, reason in (self.shelf.strangers | self.shelf.damaged()).items()
        )
        return attrs.evolve(plan, decisions=alone + plan.decisions)

    def prepare(self, number: int | None) -> str:
        """Look at what is there before a save; return what stands before the number.

        Args:
            number: the number that is wanted, if any.

        Raises:
            CheckpointExistsError: somebody else's checkpoint stands under it.
            StorageError: the directory cannot be read.
        """
        self.shelf.refresh()
        path = "" if number is None else self.shelf.path(number)
        if path in self.shelf.strangers and not self._is_lost(path):
            raise CheckpointExistsError(
                f"{path}: there is a checkpoint that no manager of the name"
                f" {self._settings.name!r} has saved, so it is not replaced. Use another number, or"
                " remove it."
            )
        return self.shelf.prefix

    def set_pinned(self, checkpoint: Any, pinned: bool, *, durable: bool) -> None:
        """Pin a checkpoint, or not, and remember that.

        Raises:
            CheckpointNotFoundError: there is no such checkpoint.
            TypeError: it is neither a number nor a path.
            CheckpointError: that could not be written down; all is as it was.
        """
        self.shelf.refresh()
        number = self.shelf.number_of(checkpoint)
        pins = self._remembered.pins - {number} | ({number} if pinned else set())
        remembered = attrs.evolve(self._remembered, pins=pins)
        self._write_record(remembered, durable=durable)
        self._remembered = remembered

    def take_in(self, number: int, stamp: Stamp, *, pin: bool, durable: bool) -> None:
        """Take in what was just saved, and delete what is not to be kept any more.

        What fails here is told in warnings: the checkpoint itself is saved.
        """
        path, before = self.shelf.path(number), self._remembered
        problems = self._mind_the_clock()
        is_pinned = pin or (number in before.pins and path in self.shelf.present())
        self.shelf.put(described(path, number, stamp))
        self._remembered = attrs.evolve(
            before,
            pins=before.pins - {number} | ({number} if is_pinned else set()),
            preserved=before.preserved - {number},
            # A clock that was set back errs toward keeping.
            last_preserved=min(before.last_preserved, stamp.time),
        )
        problems += [f"{path} is saved, but {problem}" for problem in self._sweep(durable=durable)]
        for problem in problems:
            warn(problem)

    def _plan(self) -> RetentionPlan:
        remembered, shelf = self._remembered, self.shelf
        pinned = KeepNamed(shelf.paths(remembered.pins), "pinned")
        return plan_retention(
            shelf.sound(),
            self._settings.latest,
            [*self._settings.policies(), pinned],
            every_hours=self._settings.every_hours,
            preserved=shelf.paths(remembered.preserved),
            last_preserved=remembered.last_preserved,
        )

    def _sweep(self, *, durable: bool) -> list[str]:
        """Carry out the plan; return what failed.

        A save may take long: what was replaced by somebody else meanwhile is not the manager's.
        """
        blind: list[str] = []
        try:
            self.shelf.refresh()
        except CheckpointError as error:
            blind = [f"it could not be looked what is there, so nothing was deleted: {error}"]
        plan = self._plan()
        self._remembered = self._after(plan)
        try:
            if self._has_record or self._needs_record(plan):
                self._write_record(self._remembered, durable=durable)
        except CheckpointError as error:
            problem = f"{self._record} is not up to date, so nothing was deleted: {error}"
            return [problem, *self._write_state(())]
        if blind:
            return blind + self._write_state(())
        return self._write_state(plan.deleted) + self._delete(plan.deleted)

    def _after(self, plan: RetentionPlan) -> Remembered:
        """Return what is to be remembered once a plan is carried out.

        What is not seen may be there again later, so of that nothing is forgotten.
        """
        newly = self._numbers([s for s in self.shelf.saved if s.prefix in plan.preserved])
        preserved = self._remembered.preserved | newly
        return Remembered(self._remembered.pins, preserved, plan.last_preserved)

    def _needs_record(self, plan: RetentionPlan) -> bool:
        """Tell whether there is anything to remember yet.

        Before anything is deleted there must be a record: where it is lost, what is not listed
        counts as kept for good, and what a crash left undeleted must not.
        """
        remembered = self._remembered
        is_plain = not remembered.pins and not remembered.preserved and not plan.deleted
        return not is_plain or self._settings.every_hours is not None

    def _write_record(self, remembered: Remembered, *, durable: bool) -> None:
        if remembered == self._recorded:
            return
        self._has_record, self._recorded = True, None  # After a failure it may say either.
        write_record(self._storage, self._record, remembered, durable=durable)
        self._recorded = remembered

    def _write_state(self, deleted: tuple[str, ...]) -> list[str]:
        gone = {*deleted}
        own = [s for s in self.listed() if s.prefix not in gone]
        if not own:  # Somebody has removed what was just saved.
            return []
        name, last = self._settings.name, self._remembered.last_preserved
        try:
            change_state(
                self._storage,
                self._directory,
                lambda state: with_own(state, name, own, last, self._time_of),
            )
        except CheckpointError as error:
            return [f"the state file beside it is not up to date: {error}"]
        return []

    def _delete(self, paths: tuple[str, ...]) -> list[str]:
        if not paths:
            return []
        try:
            remove_checkpoints(self._storage, paths, spare_others=True)
        except CheckpointError as error:
            return [f"not all that is surplus could be deleted; the next save tries again: {error}"]
        return []

    def _is_lost(self, path: str) -> bool:
        """Tell whether an index cannot tell any more whose it is; such a number is saved again."""
        try:
            summarize(self._storage, path)
        except CorruptCheckpointError:
            return True
        except CheckpointError:
            return False
        return False

    def _time_of(self, entry: str) -> float:
        """Return a time for an entry of the state file that has none."""
        status = status_if_known(self._storage, files.in_directory(self._directory, entry))
        return self._clock() if status is None else status.mtime

    def _recall(self, listed: Listed) -> Remembered:
        """Fill the shelf; return what was remembered or, if that is lost, what keeps more."""
        damage = ""
        try:
            self._recorded = read_record(self._storage, self._record)
        except CorruptCheckpointError as error:
            damage = error.message.rstrip(".")
        recorded = self._recorded
        self._has_record = recorded is not None or bool(damage)
        self.shelf.refresh(listed.numbers)
        if recorded is not None:
            return recorded
        saved = self.shelf.saved
        if damage:
            warn(
                f"{damage}. It says what is pinned and what is kept for good, so now all"
                f" {len(saved)} checkpoints of {self.shelf.prefix} count as pinned. Unpin those"
                " that need not be kept."
            )
            return Remembered(self._numbers(saved), frozenset(), self._since(listed))
        # What was kept for good is not listed; what was saved last, neither.
        highest = max(listed.numbers, default=-1)
        unlisted = self._numbers(saved).difference(listed.numbers)
        preserved = frozenset(number for number in unlisted if number < highest)
        return Remembered(frozenset(), preserved, self._since(listed))

    def _since(self, listed: Listed) -> float:
        """Return the time that the rule of hours begins with, where it is not remembered."""
        if listed.last_preserved is not None:
            return listed.last_preserved
        # Before all that is there, so that the oldest counts; and else a moment ago.
        return 0.0 if self.shelf.saved else self._clock() - 1

    def _numbers(self, saved: Iterable[Saved]) -> frozenset[int]:
        """Return the numbers of checkpoints."""
        found = (files.split_number(s.prefix)[1] for s in saved)
        return frozenset(number for number in found if number is not None)

    def _mind_the_clock(self) -> list[str]:
        """Return what to say, once, about a clock that was set back."""
        now, last = self._clock(), self._remembered.last_preserved
        was_told, self._told_of_clock = self._told_of_clock, last > now
        if was_told or last <= now or self._settings.every_hours is None:
            return []
        return [
            f"{self.shelf.prefix}: the clock was set back, from at least {last:.0f} to {now:.0f}"
            " seconds since 1970. What is kept every few hours is counted from the next save on,"
            " and what was saved before that is rather kept than deleted."
        ]
