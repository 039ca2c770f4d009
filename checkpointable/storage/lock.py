"""Locks (flock), and the descriptors they hang on, which forked children give up at once.

A flock belongs to the open file, and a forked child shares it: without further care the child
would hold its dead parent's locks. So every descriptor that may carry a lock is registered here;
a child closes them all before it runs on, and a release unlocks explicitly. Thread-safe.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

#: What `flock` answers where the file system has no locks (NFS, some FUSE file systems).
_CANNOT_LOCK: Final = frozenset(
    {
        errno.EBADF,
        errno.EINVAL,
        errno.EISDIR,
        errno.ENOLCK,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
    }
)


class Descriptor:
    """An open descriptor of this process, which no forked child keeps.

    Attributes:
        number: what the system calls it; -1 once it is closed.
        inherited: whether this process is a forked child, and the descriptor was its parent's.
    """

    __slots__ = ("_claim", "inherited", "number")

    def __init__(self, opener: Callable[[], int]) -> None:
        self.inherited = False
        self._claim: tuple[int, int, int] | None = None
        with _fork_guard:
            self.number = opener()
            _open[id(self)] = self

    def claim(self) -> bool:
        """Note that this thread is about to wait for the lock; `False` if it would for ever.

        That is where it holds the lock already, or waits for it, by another descriptor: a signal
        handler runs in the midst of anything.
        """
        found = os.fstat(self.number)
        claim = (found.st_dev, found.st_ino, threading.get_ident())
        if any(other._claim == claim for other in list(_open.values())):
            return False
        self._claim = claim
        return True

    def close(self) -> None:
        """Release the lock and close; harmless when that was done already, or in part.

        If an interrupt comes before the lock is free, the call can be repeated; after that the
        worst that it can leave is an open descriptor without a lock.
        """
        if self.number < 0:
            return
        with suppress(OSError):
            fcntl.flock(self.number, fcntl.LOCK_UN)
        with _fork_guard:
            _open.pop(id(self), None)
            number, self.number = self.number, -1
        os.close(number)


#: Held while a descriptor comes or goes, so that no fork falls between the two halves of that.
_fork_guard: Final = threading.RLock()

#: Every descriptor that a forked child must close.
_open: Final[dict[int, Descriptor]] = {}


def acquire(number: int, *, wait: bool) -> bool | None:
    """Lock for this process alone; `False`: another holds it; `None`: no locks here."""
    return _flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(number: int) -> bool | None:
    """Tell whether another open file holds the lock; `None`: no locks here."""
    free = _flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return None if free is None else not free


def _flock(number: int, operation: int) -> bool | None:
    try:
        fcntl.flock(number, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _CANNOT_LOCK:
            return None
        raise
    return True


def _close_in_child() -> None:
    """Close what is the parent's, without LOCK_UN: that would release the parent's locks."""
    for descriptor in _open.values():
        with suppress(OSError):
            os.close(descriptor.number)
        descriptor.number = -1
        descriptor.inherited = True
    _open.clear()
    _fork_guard.release()


os.register_at_fork(
    before=_fork_guard.acquire,
    after_in_parent=_fork_guard.release,
    after_in_child=_close_in_child,
)
