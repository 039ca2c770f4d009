"""Waits for checkpoints that another program saves: for evaluation beside training."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.directory.latest import Newest, find_newest
from checkpointable.directory.state_file import STATE_FILE
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL

#: How often an iterator looks, in seconds.
_PERIOD: Final = 1.0


def wait_for_new_checkpoint(
    checkpoint_dir: PathLike,
    last_checkpoint: PathLike | None = None,
    seconds_to_sleep: float = 1,
    timeout: float | None = None,
    *,
    storage: Storage = LOCAL,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Wait until the latest checkpoint of a directory is another one than the last.

    The directory need not exist yet. Nothing is locked: the program that saves never waits.
    Thread-safe.

    Args:
        checkpoint_dir: where to look.
        last_checkpoint: the path that was seen last; `None`: any checkpoint is new.
        seconds_to_sleep: how long to sleep between two looks.
        timeout: how many seconds to wait at most; `None`: for ever; 0: one look.
        storage: where the directory is.
        clock: tells the time in seconds; for tests.
        sleep: waits so many seconds; for tests.

    Returns:
        what `latest_checkpoint` finds, once that is new; `None` if the time is over.

    Raises:
        StorageError: as `latest_checkpoint`.
        ValueError: a number of seconds is negative.

    If the state file was of no help there is one `CheckpointWarning`, as by `latest_checkpoint`.

    Example:
        >>> wait_for_new_checkpoint("/no/such/directory", timeout=0) is None
        True
    """
    _check_seconds(seconds_to_sleep=seconds_to_sleep, timeout=timeout)
    watch = _Watch(storage, path_text(checkpoint_dir), clock, sleep)
    last = None if last_checkpoint is None else path_text(last_checkpoint)
    found = watch.wait(last, seconds_to_sleep, timeout)
    if found is not None:
        found.say_so()
    return None if found is None else found.path


def checkpoints_iterator(
    checkpoint_dir: PathLike,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], object] | None = None,
    *,
    storage: Storage = LOCAL,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Yield the latest checkpoint of a directory, again and again, each time that it is new.

    The directory is looked at once a second, and only while the caller waits for the next one: of
    checkpoints that come faster than they are worked on, the intermediate ones are skipped. One
    that was yielded may be removed by the program that saves at any time; restore it at once, or
    keep it open. The directory need not exist yet.

    Args:
        checkpoint_dir: where to look.
        min_interval_secs: how many seconds pass at least from one checkpoint being yielded until
            the next is looked for.
        timeout: how many seconds to wait for a new one at most; `None`: for ever.
        timeout_fn: called without arguments when the time is over: if it returns what is true,
            there will be no more; else the wait begins anew. Without it the end has come.
        storage: where the directory is.
        clock: tells the time in seconds; for tests.
        sleep: waits so many seconds; for tests.

    Yields:
        paths, as `latest_checkpoint` finds them.

    Raises:
        StorageError: as `latest_checkpoint`.
        ValueError: a number of seconds is negative.

    If the state file is of no help there is one `CheckpointWarning`, whatever the number of looks.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     checkpoint = ckpt.Checkpoint(step=0)
        ...     first = checkpoint.save(directory + "/ckpt")
        ...     for path in ckpt.checkpoints_iterator(directory, timeout=0):
        ...         print(path[len(directory) :])
        ...         if path == first:
        ...             path = checkpoint.save(directory + "/ckpt")
        /ckpt-1
        /ckpt-2
    """
    _check_seconds(min_interval_secs=min_interval_secs, timeout=timeout)
    watch = _Watch(storage, path_text(checkpoint_dir), clock, sleep)
    return _iterate(watch, min_interval_secs, timeout, timeout_fn)


@attrs.frozen
class _Watch:
    """A directory, and how to wait for what comes into it."""

    storage: Storage
    directory: str
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def wait(self, last: str | None, period: float, timeout: float | None) -> Newest | None:
        """Return the latest checkpoint once it is another than the last; `None`: too late."""
        end = None if timeout is None else self.clock() + timeout
        while True:
            found = find_newest(self.storage, self.directory, STATE_FILE, sleep=self.sleep)
            if found.path is not None and not (last and _is_same(found.path, last)):
                return found
            left = None if end is None else end - self.clock()
            if left is not None and left <= 0:
                return None
            self.sleep(period if left is None else min(period, left))


def _iterate(
    watch: _Watch,
    min_interval: float,
    timeout: float | None,
    timeout_fn: Callable[[], object] | None,
) -> Iterator[str]:
    last: str | None = None
    has_said_so = False
    while True:
        found = watch.wait(last, _PERIOD, timeout)
        if found is None or found.path is None:
            if timeout_fn is None or timeout_fn():
                return
            continue
        if found.problem and not has_said_so:
            has_said_so = True
            found.say_so()
        start, last = watch.clock(), found.path
        yield last
        left = start + min_interval - watch.clock()
        if left > 0:
            watch.sleep(left)


def _is_same(path: str, other: str) -> bool:
    """Tell whether two paths mean one checkpoint, however they are spelled."""
    ours, theirs = (posixpath.abspath(files.without_pattern(p)) for p in (path, other))
    return ours == theirs


def _check_seconds(**seconds: float | None) -> None:
    """Refuse a negative time."""
    for name, value in seconds.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} is {value!r}, expected a number of seconds of at least 0")
