"""The right of one manager to its name in a directory, and the turns that its threads take."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.storage.base import Storage
from checkpointable.storage.process import process_id


class Hold:
    """One name in one directory, held until it is closed or dropped, or its process ends.

    Thread-safe.
    """

    def __init__(self, storage: Storage, prefix: str) -> None:
        """Take the name that stands before the numbers of its checkpoints.

        Raises:
            DirectoryInUseError: another manager has it; the message says which.
            StorageError: it cannot be locked.
        """
        self.turn = threading.RLock()
        self._prefix = prefix
        self._closed = False
        # Whoever drops this drops the lock, and sets it free.
        self._lock = storage.hold_lock(f"{prefix}.lock", f"pid {process_id()} on {platform.node()}")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Take turns; refuse to work once the name is not this manager's any more.

        Raises:
            RuntimeError: it was closed, or this process was forked from that which holds it.
        """
        # Asked without waiting: in a forked child nobody may be left to end a turn.
        if self._lock.inherited:
            raise RuntimeError(
                f"the manager of {self._prefix} belongs to the process from which this one was"
                " forked. Leave saving to that, or make another manager under another name."
            )
        with self.turn:
            if self._closed:
                raise RuntimeError(f"the manager of {self._prefix} is closed. Make another one.")
            yield

    def close(self) -> None:
        """Let go, once the work in progress has ended; twice is harmless."""
        with self.turn:
            self._closed = True
            self._lock.close()
