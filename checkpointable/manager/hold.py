"""The right of one manager to its name in a directory, and the turns that its threads take."""

from __future__ import annotations

import errno
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.errors import StorageError
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
        self._turn = threading.RLock()
        self._prefix = prefix
        self._closed = False
        self._process = process_id()
        # Whoever drops this drops the lock, and sets it free.
        self._lock = storage.hold_lock(f"{prefix}.lock", f"pid {process_id()} on {platform.node()}")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Take turns; refuse to work once the name is not this manager's any more.

        Raises:
            RuntimeError: it was closed, or this process was forked from that which holds it.
            StorageError: the directory is not the one that was locked.
        """
        # Asked without waiting: in a forked child nobody may be left to end a turn.
        if self._lock.inherited:
            raise RuntimeError(
                f"the manager of {self._prefix} belongs to the process from which this one was"
                " forked. Leave saving to that, or make another manager under another name."
            )
        with self._turn:
            if self._closed:
                raise RuntimeError(f"the manager of {self._prefix} is closed. Make another one.")
            self._check_place()
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Take turns where there is somebody to take turns with; closed managers are read too.

        Raises:
            StorageError: the directory is not the one that was locked.
        """
        if self._is_in_child():
            yield
            return
        with self._turn:
            if not self._closed:
                self._check_place()
            yield

    def close(self) -> None:
        """Let go, once the work in progress has ended; twice is harmless."""
        if self._is_in_child():  # The lock is the parent's, and a turn may never end here.
            self._closed = True
            return
        with self._turn:
            self._closed = True
            self._lock.close()

    def _is_in_child(self) -> bool:
        return process_id() != self._process

    def _check_place(self) -> None:
        """Refuse another directory than the one that was locked, whatever its path says."""
        if self._lock.is_in_place():
            return
        raise StorageError(
            f"{self._lock.path}: is not the file any more that this manager has locked: the"
            " directory (or this file) was moved, removed or replaced, or the working directory"
            " was changed. Nothing was touched. Make another manager, with an absolute path.",
            errno=errno.ESTALE,
            path=self._lock.path,
        )
