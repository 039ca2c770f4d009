"""What the operating system refuses, in the words of the library."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from checkpointable.errors import StorageError, storage_error

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def refusals(action: str, path: str) -> Iterator[None]:
    """Turn what the system raises into a `StorageError`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(error, action, path) from error
    except ValueError as error:  # a NUL, or half of a surrogate pair
        raise storage_error(OSError(errno.EINVAL, str(error)), action, path) from error


def check_is_file(path: str, mode: int) -> None:
    """Refuse what is not a regular file (S-1)."""
    if stat.S_ISREG(mode):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
    remedy = "Give the path of the file itself."
    if stat.S_ISLNK(mode):
        remedy = (
            "Links are not followed: give the path to which it leads, os.path.realpath(...). Of a"
            " checkpoint in several files make a copy without links: cp -RL."
        )
    raise StorageError(
        f"{path}: is {kind}, expected a regular file (S-1). {remedy}",
        errno=errno.EINVAL,
        path=path,
    )


def locked_twice(path: str) -> StorageError:
    """Return the error for a thread that would wait for itself."""
    return StorageError(
        f"{path}: this thread holds the lock of the directory already, or waits for it, expected"
        " one save or removal at a time. A signal handler may have come in the midst of one: let"
        " it set a flag only, and save where the program looks at the flag.",
        errno=errno.EDEADLK,
        path=path,
    )


def system_error(number: int) -> OSError:
    """Return the error that the system would raise for a number."""
    return OSError(number, os.strerror(number))
