"""The lock of a file, held by one object of one process for a long time."""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import suppress
from typing import Final

from checkpointable.storage import lock
from checkpointable.storage.base import HeldLock
from checkpointable.storage.owners import (
    LONGEST_OWNER,
    check_lock_file,
    decode_owner,
    encode_owner,
    in_use,
)
from checkpointable.storage.refusals import check_is_file, refusals

_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

#: How often, and after how many seconds, it is looked who holds the lock.
_LOOKS: Final = 20
_PAUSE: Final = 0.002


class LocalHeldLock(HeldLock):
    """The flock of a file of this machine.

    Attributes:
        path: the file.
        locked: whether the file system can lock.
        device: the file system.
    """

    def __init__(self, path: str, owner: str) -> None:
        self.path = path
        self.locked = False
        self._closing = threading.RLock()
        self._descriptor = lock.Descriptor(lambda: _open(path))
        self._finalizer = weakref.finalize(self, self._descriptor.close)
        try:
            found = os.fstat(self._descriptor.number)
            check_is_file(path, found.st_mode)
            self.device = found.st_dev
            self.locked = _acquire(self._descriptor.number, path, owner)
            if self.locked:
                _name_owner(self._descriptor.number, path, owner)
        except BaseException:
            self._descriptor.close()
            raise

    @property
    def inherited(self) -> bool:
        """Whether this process has the object by fork only."""
        return self._descriptor.inherited

    def is_in_place(self) -> bool:
        """Tell whether the path still leads to the very file that is held."""
        with refusals("look at the lock", self.path):
            try:
                found = os.lstat(self.path)
            except (FileNotFoundError, NotADirectoryError):
                return False
            return os.path.samestat(found, os.fstat(self._descriptor.number))

    def close(self) -> None:
        """Empty the file and give the lock back."""
        if self._descriptor.number < 0:
            return
        with self._closing, refusals("release the lock", self.path):
            if self.locked and self._descriptor.number >= 0:
                with suppress(OSError):
                    os.ftruncate(self._descriptor.number, 0)
            self._descriptor.close()


def _open(path: str) -> int:
    try:
        return os.open(path, _OPEN, 0o666)
    except OSError:
        with suppress(FileNotFoundError):
            check_is_file(path, os.lstat(path).st_mode)
        raise


def _acquire(number: int, path: str, owner: str) -> bool:
    """Lock; `False`: no locks here.

    Who comes second waits for a few milliseconds, to be able to say who was first: the winner
    writes its name right after locking, and until then the file may name a dead one.
    """
    seen: str | None = None
    for _ in range(_LOOKS):
        held = lock.acquire(number, wait=False)
        if held is not False:
            return held is True
        holder = decode_owner(os.pread(number, LONGEST_OWNER + 1, 0))
        if holder is not None and holder == seen:
            break
        seen = holder
        time.sleep(_PAUSE)
    raise in_use(path, seen, owner)


def _name_owner(number: int, path: str, owner: str) -> None:
    """Write down who holds the lock. The lock counts, so a full disk does not matter."""
    check_lock_file(path, os.pread(number, LONGEST_OWNER + 1, 0))
    with suppress(OSError):
        os.ftruncate(number, 0)
        os.pwrite(number, encode_owner(owner), 0)
