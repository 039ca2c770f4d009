"""`CheckpointManager`: many checkpoints in one directory, looked after."""

from __future__ import annotations

import datetime
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self, final

import attrs
import numpy as np

from checkpointable.bundle import files
from checkpointable.checkpoint import Checkpoint, save_checkpoint
from checkpointable.directory.latest import checkpoint_exists
from checkpointable.manager.hold import Hold
from checkpointable.manager.interval import Interval
from checkpointable.manager.keeper import Keeper
from checkpointable.manager.preemption import Preemption
from checkpointable.manager.recovery import restore_newest
from checkpointable.manager.settings import check_callable, check_number, check_settings
from checkpointable.manager.stamp import Stamp, check_metrics, refuse_stamp, stamped
from checkpointable.options import RestoreOptions, SaveOptions, build_options
from checkpointable.restore.status import LoadStatus
from checkpointable.retention.plan import RetentionPlan
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL
from checkpointable.trackable.base import Variable


@final
class CheckpointManager:
    """Saves numbered checkpoints into a directory, keeps those that matter, and finds the newest.

    Each save makes the next checkpoint, `DIRECTORY/NAME-1`, `DIRECTORY/NAME-2` and so on, and then
    deletes what no rule keeps. A checkpoint is kept as long as any rule keeps it: it is one of
    the latest (`max_to_keep`), one of the best (`keep_best`), the first of so many steps
    (`keep_every_n_steps`), pinned, or kept for good because hours had passed
    (`keep_checkpoint_every_n_hours`). The newest is always kept. `plan()` tells all decisions.

    Only what a manager of this name has saved is ever deleted or replaced. There is one manager of
    a name in a directory at a time; managers of different names share a directory. All that it
    decides by survives restarts, and the directory may be moved or copied. Nothing but the
    directory and the lock file `NAME.lock` is made before the first save.

    Thread-safe: calls take turns. A forked child may read, but leaves saving to its parent. Every
    call raises a `StorageError`, and touches nothing, where the path of the directory does not lead
    to the one that was locked any more: it was moved, removed or replaced, or the path is relative
    and the working directory was changed.

    Args:
        checkpoint: what to save and to restore.
        directory: where; it is made if it is missing.
        max_to_keep: how many of the latest are kept; `None`: all.
        keep_checkpoint_every_n_hours: of those that are not among the latest any more, one is kept
            for good whenever so many hours have passed since the last one of these.
        checkpoint_name: what the checkpoints are called, before the number.
        step_counter: a Variable of one integer that says how far the program is; one of a graph is
            read in the default session. Without it a checkpoint's number counts as its step.
        checkpoint_interval: how often `save` saves: a number of steps (needs `step_counter`), or a
            `datetime.timedelta`; `None`: at each call.
        init_fn: called by `restore_or_initialize` when there is no checkpoint.
        keep_best: how many of the best are kept (needs `metric`).
        metric: which of the metrics that `save` is given says what is best.
        mode: "max" or "min": whether more or less is better. Of equal ones the older is better;
            NaN is never best.
        keep_every_n_steps: for each multiple of this, the first checkpoint at or after it is kept.
        save_options: how to write.
        storage: where the directory is.
        clock: gives the time, in seconds since 1970.

    Raises:
        TypeError, ValueError: an argument is wrong.
        DirectoryInUseError: another manager of this name has the directory, in this process or
            another; the message says which.
        StorageError: the directory cannot be made, locked or read.
        UnsupportedFormatError: a newer version of the library has managed it.

    A `CheckpointWarning` says so if `NAME.manager`, where pins stand, is damaged (all that is there
    then counts as pinned), or if the clock was set back.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> checkpoint = ckpt.Checkpoint(epoch=0)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     with ckpt.CheckpointManager(
        ...         checkpoint, directory, max_to_keep=2, keep_best=1, metric="accuracy"
        ...     ) as manager:
        ...         for accuracy in (0.5, 0.75, 0.25, 0.5):
        ...             checkpoint.epoch += 1
        ...             path = manager.save(metrics={"accuracy": accuracy})
        ...         print(manager.plan())
        keep    ckpt-2  best by accuracy (0.75)
        keep    ckpt-3  one of the latest 2
        keep    ckpt-4  one of the latest 2
    """

    def __init__(  # noqa: PLR0917 - the order of the reference
        self,
        checkpoint: Checkpoint,
        directory: PathLike,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Variable | None = None,
        checkpoint_interval: int | datetime.timedelta | None = None,
        init_fn: Callable[[], Any] | None = None,
        *,
        keep_best: int | None = None,
        metric: str | None = None,
        mode: str = "max",
        keep_every_n_steps: int | None = None,
        save_options: SaveOptions | None = None,
        storage: Storage = LOCAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            raise TypeError(
                f"checkpoint is a {type(checkpoint).__qualname__}, expected a Checkpoint, such as"
                " Checkpoint(model=model)"
            )
        self._settings = check_settings(
            max_to_keep=max_to_keep,
            hours=keep_checkpoint_every_n_hours,
            name=checkpoint_name,
            step_counter=step_counter,
            interval=checkpoint_interval,
            keep_best=keep_best,
            metric=metric,
            mode=mode,
            every_steps=keep_every_n_steps,
        )
        self._options = build_options(SaveOptions, save_options, {})
        refuse_stamp(self._options.metadata)
        self._init_fn = check_callable("init_fn", init_fn)
        self._checkpoint = checkpoint
        self._directory = path_text(directory)
        self._storage = storage
        # What is remembered is a float, whatever the clock gives.
        self._clock: Callable[[], float] = lambda: float(clock())
        self._interval = Interval(self._settings.interval)
        self._preemption = Preemption()
        place = self._directory.rstrip("/") or ("/" if self._directory else ".")
        storage.make_dirs(place, durable=self._options.durable)
        self._hold = Hold(storage, files.in_directory(place, checkpoint_name))
        try:
            self._keeper = Keeper(storage, place, self._settings, self._clock)
        except BaseException:
            self._hold.close()
            raise

    @property
    def checkpoint(self) -> Checkpoint:
        """What is saved and restored."""
        return self._checkpoint

    @property
    def directory(self) -> str:
        """Where the checkpoints are, as it was given."""
        return self._directory

    @property
    def checkpoint_interval(self) -> int | datetime.timedelta | None:
        """How often `save` saves, as it was given."""
        return self._interval.given

    @property
    def checkpoints(self) -> list[str]:
        """The paths of the checkpoints that this manager keeps for now, in the order of saving.

        Those that are pinned or best are among them; those that are kept for good are not.

        Raises:
            StorageError: the directory cannot be read.
        """
        with self._hold.reading():
            self._keeper.shelf.refresh()
            return [saved.prefix for saved in self._keeper.listed()]

    @property
    def latest_checkpoint(self) -> str | None:
        """The path of the newest checkpoint of this name; `None` if there is none.

        Its index and the lengths of its files are right. One that no manager saved counts too.

        Raises:
            StorageError: the directory cannot be read.
        """
        with self._hold.reading():
            paths = self._keeper.shelf.newest_first()
        return next((p for p in paths if checkpoint_exists(p, storage=self._storage)), None)

    @property
    def best_checkpoint(self) -> str | None:
        """The path of the best checkpoint by `metric`; `None` if none has it.

        Raises:
            StorageError: the directory cannot be read.
        """
        with self._hold.reading():
            self._keeper.shelf.refresh()
            return self._keeper.best()

    def save(
        self,
        checkpoint_number: int | np.integer[Any] | Variable | None = None,
        *,
        check_interval: bool = True,
        metrics: Mapping[str, Any] | None = None,
        pin: bool = False,
        options: SaveOptions | None = None,
    ) -> str | None:
        """Save a checkpoint if the interval is over, and delete what no rule keeps any more.

        First the checkpoint is written and durable, then what is to be remembered, then the state
        file; deleted is last. A crash in between loses nothing that is to be kept, and the next
        save deletes what is left over.

        Args:
            checkpoint_number: its number, 0 or more; a checkpoint that a manager of this name has
                saved under it is replaced, and counts as new. By default the next one: one more
                than the larger of the save counter and the highest number present.
            check_interval: `False`: do not wait for the end of the interval. Of one step there is
                still only one checkpoint, where the interval is one of steps.
            metrics: how good it is: names and real numbers.
            pin: whether to pin it; a number that is pinned stays so.
            options: how to write, instead of `save_options`.

        Returns:
            the path of the checkpoint, or `None` if the interval is not over.

        Raises:
            CheckpointExistsError: a checkpoint of this number is there that no manager of this
                name has saved.
            NotCheckpointableError: something declared cannot be saved.
            RuntimeError: the manager is closed, or its process was forked from that which made
                it; or as `Checkpoint.save`.
            StorageError: the storage failed.
            TypeError, ValueError: an argument is wrong.

        A failed save changes nothing: no number is used, the interval is not over, every older
        checkpoint stays. Inside of `save_on_signal`, a save that ends after the signal raises
        `SystemExit`. If the checkpoint is saved, but what follows fails, there is a
        `CheckpointWarning`, and the next save tries that again.
        """
        with self._preemption.saving() as saving, self._hold.working():
            number = check_number(checkpoint_number)
            step = self._settings.step()
            now = float(self._clock())
            stamp = Stamp(self._settings.name, now, step, check_metrics(metrics))
            settings = self._options if options is None else build_options(SaveOptions, options, {})
            settings = attrs.evolve(settings, metadata=stamped(settings.metadata, stamp))
            is_due = self._interval.is_due(step, now, check_interval=check_interval)
            if not is_due and not saving.must:
                return None
            prefix = self._keeper.prepare(number)
            path, taken = save_checkpoint(
                self._checkpoint,
                prefix,
                settings,
                numbered=True,
                number=number,
                storage=self._storage,
            )
            self._interval = self._interval.after(step, self._clock())
            if taken is not None:
                self._keeper.take_in(taken, stamp, pin=pin, durable=settings.durable)
            saving.path = path
            return path

    def pin(self, checkpoint: int | PathLike) -> None:
        """Keep a checkpoint until it is unpinned; that survives restarts.

        Args:
            checkpoint: its number or path.

        Raises:
            CheckpointNotFoundError: the manager has no such checkpoint.
            RuntimeError: as `save`.
            StorageError: the storage failed; it is not pinned.
            TypeError: it is neither a number nor a path.
        """
        with self._hold.working():
            self._keeper.set_pinned(checkpoint, True, durable=self._options.durable)

    def unpin(self, checkpoint: int | PathLike) -> None:
        """Let a pinned checkpoint go; the next save deletes it if no rule keeps it.

        Args:
            checkpoint: its number or path. If it is not pinned, nothing happens.

        Raises:
            CheckpointNotFoundError, RuntimeError, StorageError, TypeError: as `pin`.
        """
        with self._hold.working():
            self._keeper.set_pinned(checkpoint, False, durable=self._options.durable)

    def plan(self) -> RetentionPlan:
        """Return what would be kept and deleted of what is there now, and why. Nothing is changed.

        It begins with what is left alone: checkpoints that no manager of this name has saved,
        those whose index cannot be read, and those that `restore_latest` has found damaged.

        Raises:
            RuntimeError: the manager is closed.
            StorageError: the directory cannot be read.
        """
        with self._hold.working():
            return self._keeper.plan()

    def restore_latest(self, options: RestoreOptions | None = None, **fields: Any) -> LoadStatus:
        """Restore the newest checkpoint whose every byte is right, and return a status.

        Those that are damaged, that vanish, or that are of a format that this library does not
        read are skipped, each with a `CheckpointWarning` that says why; from then on this manager
        leaves them alone, and they take the place of none that is to be kept. All numbered
        checkpoints of this name count, also those that no manager saved.

        Args:
            options: what to restore; `verify` is always "first".
            fields: fields of `RestoreOptions`, which override those of `options`.

        Returns:
            what `Checkpoint.restore` returns; where there is no checkpoint at all, what
            `restore(None)` does: nothing is restored, and every assertion of it raises.

        Raises:
            CorruptCheckpointError: there are checkpoints, but none that verifies.
            IncompatibleCheckpointError: the newest that verifies does not fit; nothing was
                changed.
            UnmatchedError: `defer=False`, and not everything matched; nothing was changed.
            RuntimeError: as `save`.
            StorageError: the storage failed, which says nothing about the checkpoint.
        """
        settings = build_options(RestoreOptions, options, fields)
        with self._hold.working():
            status, path = self._restore(settings)
            if path is not None:
                step = self._settings.restored_step(has_run=False)
                self._interval = self._interval.after(step, self._clock())
            return status

    def restore_or_initialize(self) -> str | None:
        """Restore the newest checkpoint as `restore_latest` does, or else call `init_fn`.

        Variables of a graph get their values in the default session.

        Returns:
            the path of what was restored; `None` if there was no checkpoint.

        Raises:
            CheckpointError: as `restore_latest`; where there are only damaged checkpoints,
                `init_fn` is not called.
            RuntimeError: as `save`; or there are Variables of a graph, and no session.
        """
        with self._hold.working():
            status, path = self._restore(RestoreOptions())
            if path is not None:
                status.run_restore_ops()
                step = self._settings.restored_step(has_run=True)
                self._interval = self._interval.after(step, self._clock())
            elif self._init_fn is not None:
                self._init_fn()
            return path

    def save_on_signal(
        self, signum: int = signal.SIGTERM, *, grace: float = 10.0
    ) -> AbstractContextManager[None]:
        """Return a context manager in which a signal makes the next `save` the last one.

        Once the signal has come, the next `save` saves whatever the interval, does all that
        belongs to a save, and raises `SystemExit` with 128 and the number of the signal (143), so
        that `finally` blocks run. A save that is going on when the signal comes is finished, and
        is the last one. Where no save ends within the grace period, or the block is left without
        one, the program exits unsaved with the same code, and one line on stderr says so; an
        exception that leaves the block is not replaced, and the line names it. A save is never
        interrupted; a second signal changes nothing. If the main thread does not react to the end
        of the grace period for 5 seconds more, the process is ended at once.

        Leaving the block puts back what handled the signal before; that is not called meanwhile.
        Forked children have no part in this. Enter it in the main thread; saves may come from any.

        Args:
            signum: the signal.
            grace: for how many seconds a save is waited for. They begin when Python handles the
                signal: after a call of foreign code that takes long, only when that returns.

        Raises:
            TypeError, ValueError: an argument is wrong, or the signal cannot be handled.
            RuntimeError: when it is entered: in a thread that is not the main one, or inside of
                another such block.

        Example:
            >>> import signal, tempfile
            >>> import checkpointable as ckpt
            >>> checkpoint = ckpt.Checkpoint(step=0)
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     manager = ckpt.CheckpointManager(checkpoint, directory, max_to_keep=2)
            ...     try:
            ...         with manager.save_on_signal(signal.SIGTERM):
            ...             while True:
            ...                 checkpoint.step += 1
            ...                 if checkpoint.step == 7:
            ...                     signal.raise_signal(signal.SIGTERM)  # the machine is wanted
            ...                 path = manager.save()
            ...     except SystemExit as exiting:
            ...         print(exiting.code, checkpoint.step, len(manager.checkpoints))
            ...     manager.close()
            143 7 2
        """
        shelf = self._keeper.shelf
        return self._preemption.watch(
            signum,
            grace,
            self._directory,
            lambda: shelf.saved[-1].prefix if shelf.saved else None,
        )

    def close(self) -> None:
        """Let go of the directory; only properties can be read afterwards. Twice is harmless.

        A manager that is dropped lets go too, and so does a process that ends, however it ends.
        """
        self._hold.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<CheckpointManager of {self._keeper.shelf.prefix}>"

    def _restore(self, options: RestoreOptions) -> tuple[LoadStatus, str | None]:
        options = attrs.evolve(options, verify="first")
        shelf = self._keeper.shelf
        return restore_newest(
            self._checkpoint, shelf.newest_first(), options, self._storage, shelf.set_aside
        )
