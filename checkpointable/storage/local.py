"""Checkpoints on a local file system, through POSIX calls.

Rules: D-2 (sync means sync), D-7 (a file whose sync failed is abandoned), S-1 (no link is
followed, nothing but a regular file is read, nothing blocks).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from checkpointable.errors import (
    CheckpointNotFoundError,
    StorageError,
    storage_error,
    warn,
)
from checkpointable.storage import lock
from checkpointable.storage.base import (
    Buffer,
    FileStatus,
    HeldLock,
    ReadableFile,
    Storage,
    WritableFile,
    byte_views,
)
from checkpointable.storage.detour import Reads
from checkpointable.storage.held_lock import LocalHeldLock
from checkpointable.storage.refusals import check_is_file, locked_twice, refusals

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

#: The most buffers and bytes handed to one system call (macOS refuses 2 GiB, Linux cuts them).
_MOST_BUFFERS: Final = 1024
_MOST_BYTES: Final = 1 << 30

_NOTHING_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class LocalStorage(Storage):
    """The file system of this machine. Thread-safe.

    Example:
        >>> LocalStorage().list_dir("/no/such/directory")
        []
    """

    def __init__(self) -> None:
        self._devices_without_locks: set[int] = set()

    def create(self, path: str) -> WritableFile:
        """Create a file that does not exist yet."""
        with refusals("create the file", path):
            return _LocalWritable(path)

    def open_read(self, path: str) -> ReadableFile:
        """Open a regular file for reading, without ever blocking."""
        try:
            with refusals("open the file", path):
                return _LocalReadable(path)
        except StorageError as error:
            if error.errno in _NOTHING_THERE:
                raise CheckpointNotFoundError(f"{path}: there is no such file.") from None
            raise

    def rename(self, source: str, destination: str) -> None:
        """Give a file another name in the same directory, replacing what stands there."""
        with refusals(f"rename the file to {os.path.basename(destination)}", source):
            os.rename(source, destination)

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with refusals("remove the file", path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    def make_dirs(self, path: str, *, durable: bool) -> None:
        """Make a directory and its parents where missing, from the top down."""
        for directory in _missing_dirs(path):
            with refusals("make the directory", directory):
                try:
                    os.mkdir(directory)
                except FileExistsError:  # another process was faster
                    if not os.path.isdir(directory):
                        raise
            if durable:
                self.sync_dir(os.path.dirname(directory) or ".")

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        with refusals("sync the directory", path):
            number = os.open(path, _DIRECTORY)
            try:
                _full_sync(number)
            finally:
                os.close(number)

    def list_dir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        with refusals("list the directory", path):
            try:
                return sorted(os.listdir(path))
            except FileNotFoundError:
                return []

    def status(self, path: str) -> FileStatus | None:
        """Return what stands under a name, links not followed."""
        with refusals("look at the file", path):
            try:
                return _status(os.lstat(path))
            except OSError as error:
                if error.errno in _NOTHING_THERE:
                    return None
                raise

    def lock_dir(self, path: str) -> AbstractContextManager[bool]:
        """Wait for the lock of the directory itself (no lock file) and hold it."""
        return self._locked_dir(path)

    def is_locked(self, path: str) -> bool:
        """Tell whether a live writer holds the lock of this file, or may do so."""
        try:
            with refusals("open the file", path):
                number = os.open(path, _READ)
        except StorageError as error:
            return error.errno not in _NOTHING_THERE
        try:
            with refusals("test the lock of the file", path):
                return lock.is_held(number) is not False
        finally:
            os.close(number)

    def hold_lock(self, path: str, owner: str) -> HeldLock:
        """Take the lock of a file without waiting, and keep it."""
        with refusals("take the lock", path):
            held = LocalHeldLock(path, owner)
        if not held.locked:
            self._warn_without_locks(path, held.device)
        return held

    @contextmanager
    def _locked_dir(self, path: str) -> Iterator[bool]:
        with refusals("open the directory", path):
            descriptor = lock.Descriptor(lambda: os.open(path, _DIRECTORY))
        try:
            with refusals("lock the directory", path):
                if not descriptor.claim():
                    raise locked_twice(path)
                held = lock.acquire(descriptor.number, wait=True) is not None
                if not held:
                    self._warn_without_locks(path, os.fstat(descriptor.number).st_dev)
            yield held
        finally:
            try:
                descriptor.close()
            except BaseException:
                descriptor.close()  # An interrupt must not leave the lock to the whole process.
                raise

    def _warn_without_locks(self, path: str, device: int) -> None:
        if device in self._devices_without_locks:
            return
        self._devices_without_locks.add(device)
        warn(
            f"{path}: this file system cannot lock, so saves of several processes into one"
            " directory are not kept apart, and leftovers of dead writers are not removed. Let"
            " one process at a time save there.",
        )


class _LocalWritable(WritableFile):
    """A file under construction."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = lock.Descriptor(lambda: os.open(path, _CREATE, 0o666))
        self._finalizer = weakref.finalize(self, self._descriptor.close)
        self._length = 0
        self._failed = False

    @property
    def inherited(self) -> bool:
        return self._descriptor.inherited

    def write(self, buffers: Sequence[Buffer]) -> None:
        views = byte_views(buffers)
        size = sum(map(len, views))
        with self._attempt(f"write {size:,} bytes at offset {self._length:,}"):
            _write_all(self._descriptor.number, views)
        self._length += size

    def sync(self) -> None:
        with self._attempt("sync the file"):
            _full_sync(self._descriptor.number)

    def lock(self) -> bool:
        with self._attempt("lock the file"):
            return lock.acquire(self._descriptor.number, wait=False) is True

    def close(self) -> None:
        with refusals("close the file", self.path):
            self._descriptor.close()

    @contextmanager
    def _attempt(self, action: str) -> Iterator[None]:
        """Let a failure, an interrupt too, be the last thing that is tried on this file (D-7)."""
        if self._failed or self._descriptor.number < 0:
            why = "an earlier operation on it failed" if self._failed else "it is closed"
            raise storage_error(OSError(errno.EBADF, why), action, self.path)
        self._failed = True
        with refusals(action, self.path):
            yield
        self._failed = False


class _LocalReadable(ReadableFile):
    """An open regular file."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._number = os.open(path, _READ)
        except OSError:
            check_is_file(path, os.lstat(path).st_mode)
            raise
        self._finalizer = weakref.finalize(self, os.close, self._number)
        self._reads = Reads(self._number)
        found = os.fstat(self._number)
        try:
            check_is_file(path, found.st_mode)
        except StorageError:
            self._finalizer()
            raise
        self.status = _status(found)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        rest = buffer.cast("B") if buffer.nbytes else buffer
        with refusals(f"read {buffer.nbytes:,} bytes at offset {offset:,}", self.path):
            if not self._finalizer.alive:
                raise OSError(errno.EBADF, "it is closed")
            done = 0
            while done < buffer.nbytes:
                count = self._reads.read(rest[done : done + _MOST_BYTES], offset + done)
                if count == 0:
                    break
                done += count
        return done

    def close(self) -> None:
        with refusals("close the file", self.path):
            self._finalizer()


def _write_all(number: int, views: list[memoryview]) -> None:
    """Write every byte, however little the system takes at a time."""
    first = 0
    while first < len(views):
        written = os.writev(number, _batch(views, first))
        if written == 0:
            raise OSError(errno.EIO, "the system took no byte")
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]


def _batch(views: list[memoryview], first: int) -> list[memoryview]:
    """Return what one system call may be given, from the view `first` on."""
    room = _MOST_BYTES
    batch: list[memoryview] = []
    for view in views[first : first + _MOST_BUFFERS]:
        batch.append(view[:room])
        room -= len(batch[-1])
        if not room:
            break
    return batch


def _full_sync(number: int) -> None:
    """Make a file or directory durable; macOS's own fsync leaves the data in the drive's cache."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(number, full)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.ENOTTY}:
                raise
        else:
            return
    os.fsync(number)


def _missing_dirs(path: str) -> list[str]:
    """Return the directories that must be made, the topmost first."""
    missing: list[str] = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path.rstrip("/"))
    return missing[::-1]


def _status(found: os.stat_result) -> FileStatus:
    return FileStatus(
        is_file=stat.S_ISREG(found.st_mode),
        is_dir=stat.S_ISDIR(found.st_mode),
        size=found.st_size,
        mtime=found.st_mtime,
        # An inode number is used again after a removal, the time of the last write is not.
        identity=(found.st_dev, found.st_ino, found.st_mtime_ns),
    )


#: The storage that every path means unless another is given.
LOCAL: Final = LocalStorage()
