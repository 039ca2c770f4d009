"""Preemption: a signal asks the program to go; it saves once more and exits.

The handler only sets a flag. The next save sees it, or a thread that watches the clock calls the
main thread out of whatever it does. Everything that the handler does is safe at any instant: it
takes no lock, and `SimpleQueue.put` is made to be called from handlers.
"""

from __future__ import annotations

import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from types import FrameType, TracebackType
from typing import Any, Final

import attrs

from checkpointable.storage.process import end_at_once, process_id, tell

#: How many seconds more than `grace` the main thread has to react before the process is ended.
REACTION: Final = 5.0

#: How often it is called in that time.
_CALLS: Final = 50


@attrs.define
class Saving:
    """A save that is going on.

    Attributes:
        must: whether it must save, whatever the interval.
        path: what it has saved, once it is complete.
    """

    must: bool
    path: str | None = None


class Preemption:
    """What a manager knows of signals: nothing, or that one is being watched for.

    Threads may save at once; blocks belong to the main thread.
    """

    def __init__(self) -> None:
        self._watch: SignalWatch | None = None

    @property
    def requested(self) -> bool:
        """Whether the signal that is watched for has come."""
        return self._watch is not None and self._watch.requested

    def watch(
        self, signum: int, grace: float, directory: str, newest: Callable[[], str | None]
    ) -> AbstractContextManager[None]:
        """Return a context manager: inside, the signal makes the next save the last one.

        Args:
            signum: the signal.
            grace: for how many seconds a save is waited for.
            directory: where is saved, for the message.
            newest: tells the newest checkpoint, for the message; it may wait for nothing.

        Raises:
            TypeError: the grace period is no number, or the signal no integer.
            ValueError: the grace period is not positive, or too long.
        """
        _check_arguments(signum, grace)
        return SignalWatch(self, signum, grace, directory, newest)

    def begin(self, watch: SignalWatch) -> None:
        """Note that a signal is watched for.

        Raises:
            RuntimeError: one is already.
        """
        if self._watch is not None:
            raise RuntimeError(
                f"{self._watch.directory}: save_on_signal is entered a second time, expected one"
                " block at a time. Leave the first one before."
            )
        self._watch = watch

    def end(self) -> None:
        """Note that no signal is watched for any more."""
        self._watch = None

    @contextmanager
    def saving(self) -> Iterator[Saving]:
        """Let the block save without being cut short; if the signal has come by then, exit.

        Raises:
            SystemExit: the signal has come, and the block has set the path of what it saved.
        """
        watch = self._watch
        if watch is None:
            yield Saving(must=False)
            return
        with watch.saving():
            saving = Saving(watch.requested)
            yield saving
            watch.note(saving.path)
        if saving.path is not None and watch.requested:
            watch.leave_saved(saving.path)


class _Word(Enum):
    """What the other threads tell the one that watches the clock."""

    SIGNALLED = "the signal has come"
    SAVE_ENDED = "a save has ended"
    SAVED = "another thread has saved"
    REACTED = "the main thread is on its way out"
    LEFT = "the block was left"


class SignalWatch(AbstractContextManager[None]):
    """One block of `save_on_signal`.

    Attributes:
        directory: where is saved.
        requested: whether the signal has come.
    """

    def __init__(
        self,
        owner: Preemption,
        signum: int,
        grace: float,
        directory: str,
        newest: Callable[[], str | None],
    ) -> None:
        self.directory = directory
        self.requested = False
        self._owner = owner
        self._signum = signum
        self._grace = grace
        self._newest = newest
        self._code = 128 + signum
        self._process = process_id()
        self._is_used = False
        self._previous: Any = signal.SIG_DFL
        self._words: queue.SimpleQueue[_Word] = queue.SimpleQueue()
        self._savers: set[int] = set()  # threads that are in a save
        self._saved: str | None = None  # the path of a save that the signal did not miss
        self._must_go = False  # the main thread is called out
        self._is_going = False  # and has heard
        self._is_left = False
        self._calling = threading.Lock()  # never taken in the handler

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                f"{self.directory}: save_on_signal was entered in a thread, expected the main"
                " thread: Python handles signals nowhere else. Enter it there; the saves may come"
                " from any thread."
            )
        if self._is_used:
            raise RuntimeError(
                f"{self.directory}: this block of save_on_signal was entered before, expected a new"
                " one. Call manager.save_on_signal() again."
            )
        self._owner.begin(self)
        try:
            self._is_used = True
            self._install()
        except BaseException:
            self._uninstall()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_going = True  # The handler raises no more: what is left to do here must be done.
        self._uninstall()
        if not self.requested or process_id() != self._process:
            return
        if self._saved is None:
            late = f"no save came within {self._grace:g} s"
            self._say(late if self._must_go else "the block was left without a save", error)
        if error is None:
            raise SystemExit(self._code)

    def saving(self) -> AbstractContextManager[None]:
        """Return the time in which this thread is not called out."""
        return _Saving(self._savers, self._words)

    def note(self, path: str | None) -> None:
        """Remember that a save ended well, before the main thread can be called out again."""
        if path is not None:
            self._saved = path

    def leave_saved(self, path: str) -> None:
        """Let the main thread exit after a save.

        Raises:
            SystemExit: this is the main thread.
        """
        self._saved = path
        self._must_go = True
        if threading.current_thread() is threading.main_thread():
            self._go()
        self._words.put(_Word.SAVED)

    def _install(self) -> None:
        current = signal.getsignal(self._signum)
        if isinstance(getattr(current, "__self__", None), SignalWatch):
            raise RuntimeError(
                f"{self.directory}: save_on_signal is entered for {_name(self._signum)}, which"
                " another block waits for already, expected one block at a time for each signal."
                " Leave the first one before."
            )
        # None: another language had installed it, and Python cannot put it back.
        self._previous = signal.SIG_DFL if current is None else current
        threading.Thread(target=self._watch_the_clock, name="save_on_signal", daemon=True).start()
        try:
            signal.signal(self._signum, self._handle)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{_name(self._signum)} cannot be handled ({error}), expected a signal that can,"
                " such as signal.SIGTERM."
            ) from None

    def _uninstall(self) -> None:
        """Put back what was there before; harmless where nothing was changed."""
        if process_id() == self._process:  # A forked child may find the lock taken for ever.
            with self._calling:
                self._is_left = True
        if signal.getsignal(self._signum) == self._handle:
            signal.signal(self._signum, self._previous)
        self._words.put(_Word.LEFT)
        self._owner.end()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        """Note that the signal has come; once there is nothing to wait for, raise SystemExit."""
        if process_id() != self._process:
            # A forked child has no part in this: it ends as if nobody watched.
            signal.signal(signum, self._previous)
            signal.raise_signal(signum)
        elif self._must_go:
            if not self._savers and not self._is_going:
                self._go()
        elif not self.requested:
            if not self._savers:
                self._saved = None
            self.requested = True
            self._words.put(_Word.SIGNALLED)

    def _go(self) -> None:
        self._is_going = True
        self._words.put(_Word.REACTED)
        raise SystemExit(self._code)

    def _call_main_thread(self) -> None:
        """Let the main thread handle the signal, unless that would reach another's handler."""
        main = threading.main_thread().ident
        with self._calling:
            if main is not None and not self._is_left:
                signal.pthread_kill(main, self._signum)

    def _watch_the_clock(self) -> None:
        """Wait for the signal, then for a save, then for the main thread to go."""
        word = _Word.SAVE_ENDED
        while word is _Word.SAVE_ENDED:  # saves without a signal
            word = self._words.get()
        if word is _Word.LEFT or not self._is_overdue(self._grace):
            return
        self._must_go = True
        # Once is not enough: a call just before a system call does not interrupt it, and one in a
        # save that then fails is not heeded.
        for _ in range(_CALLS):
            self._call_main_thread()
            if not self._is_overdue(REACTION / _CALLS):
                return
        try:
            if self._saved is None:
                self._say(f"no save came within {self._grace:g} s, nor does the main thread react")
        finally:
            end_at_once(self._code)

    def _is_overdue(self, seconds: float) -> bool:
        """Wait until the main thread must be called out; `False`: it goes by itself.

        That is after so many seconds, though never during a save, or once another thread has saved.
        """
        end = time.monotonic() + seconds
        while True:
            is_saving = bool(self._savers)  # looked at before the wait: its end is told afterwards
            left = max(end - time.monotonic(), 0)
            try:
                word = self._words.get(timeout=None if is_saving else left)
            except queue.Empty:
                if not self._savers:
                    return True
            else:
                if word in {_Word.LEFT, _Word.REACTED}:
                    return False
                if word is _Word.SAVED:
                    return True

    def _say(self, why: str, error: BaseException | None = None) -> None:
        """Write one line that says what is lost and what is not, and how the program ends.

        That is known unless an exception is on its way that is not the exit: it may be caught.
        """
        newest = self._newest()
        there = f"the newest checkpoint is {newest}" if newest else "this manager has no checkpoint"
        what = f"not saved after {_name(self._signum)}, for {why}"
        is_exit = error is None or (isinstance(error, SystemExit) and error.code == self._code)
        end = f"Exit code {self._code}" if is_exit else f"{type(error).__name__} goes on"
        tell(f"{self.directory}: {what}; {there}. {end}.")


class _Saving(AbstractContextManager[None]):
    """The time in which a thread saves."""

    def __init__(self, savers: set[int], words: queue.SimpleQueue[_Word]) -> None:
        self._savers = savers
        self._words = words

    def __enter__(self) -> None:
        self._savers.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        self._savers.discard(threading.get_ident())
        self._words.put(_Word.SAVE_ENDED)


def _name(signum: int) -> str:
    return signal.Signals(signum).name if signum in [*signal.Signals] else f"signal {signum}"


def _check_arguments(signum: object, grace: object) -> None:
    if isinstance(signum, bool) or not isinstance(signum, int):
        raise TypeError(f"the signal is {signum!r}, expected an integer such as signal.SIGTERM")
    if signum not in signal.valid_signals():
        raise ValueError(f"there is no signal {signum}, expected one such as signal.SIGTERM")
    if isinstance(grace, bool) or not isinstance(grace, int | float):
        raise TypeError(f"the grace period is {grace!r}, expected a number of seconds")
    if math.isnan(grace) or not 0 < grace <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"the grace period is {grace!r}, expected seconds above 0 and up to"
            f" {threading.TIMEOUT_MAX:g}"
        )
