"""`FaultyStorage`: lets the n-th operation fail, for a moment or for ever.

A failing write writes half of its bytes first; a failing sync loses what it should have synced,
and would succeed if it were tried again (D-7).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import attrs

from checkpointable.errors import storage_error
from checkpointable.storage.base import (
    Buffer,
    FileStatus,
    HeldLock,
    ReadableFile,
    Storage,
    WritableFile,
    byte_views,
)
from tests.harness.wrapping import WrappedFile, WrappedStorage


@attrs.define
class Fault:
    """What fails, and how.

    Attributes:
        at: the number of the first operation that fails, from 0; beyond the last: none.
        errno: what the system says.
        sticky: whether everything after it fails too.
        interrupt: whether it is not the system that fails, but the user who presses Ctrl-C.
        seen: how many operations there were.
        hit: which verb failed first.
    """

    at: int
    errno: int
    sticky: bool = False
    interrupt: bool = False
    seen: int = 0
    hit: str = ""

    def strike(self, verb: str, path: str) -> None:
        """Count one operation, and raise if it is the one."""
        number, self.seen = self.seen, self.seen + 1
        if number == self.at or (self.sticky and number > self.at):
            self.hit = self.hit or verb
            if self.interrupt:
                raise KeyboardInterrupt
            raise storage_error(OSError(self.errno, os.strerror(self.errno)), verb, path)


class FaultyStorage(WrappedStorage):
    """A storage in which one operation, or every one from some point on, fails."""

    def __init__(self, inner: Storage, fault: Fault) -> None:
        super().__init__(inner)
        self.fault = fault

    def create(self, path: str) -> WritableFile:
        self.fault.strike("create", path)
        return _FaultyFile(super().create(path), self.fault)

    def open_read(self, path: str) -> ReadableFile:
        self.fault.strike("open", path)
        return super().open_read(path)

    def rename(self, source: str, destination: str) -> None:
        self.fault.strike("rename", source)
        super().rename(source, destination)

    def remove(self, path: str) -> None:
        self.fault.strike("remove", path)
        super().remove(path)

    def make_dirs(self, path: str, *, durable: bool) -> None:
        self.fault.strike("make the directory", path)
        super().make_dirs(path, durable=durable)

    def sync_dir(self, path: str) -> None:
        self.fault.strike("sync the directory", path)
        super().sync_dir(path)

    def list_dir(self, path: str) -> list[str]:
        self.fault.strike("list", path)
        return super().list_dir(path)

    def status(self, path: str) -> FileStatus | None:
        self.fault.strike("look at", path)
        return super().status(path)

    def lock_dir(self, path: str) -> AbstractContextManager[bool]:
        return self._locked_dir(path)

    def hold_lock(self, path: str, owner: str) -> HeldLock:
        self.fault.strike("take the lock of", path)
        return super().hold_lock(path, owner)

    def is_locked(self, path: str) -> bool:
        self.fault.strike("test the lock of", path)
        return super().is_locked(path)

    @contextmanager
    def _locked_dir(self, path: str) -> Iterator[bool]:
        self.fault.strike("lock the directory", path)
        with super().lock_dir(path) as locked:
            yield locked


class _FaultyFile(WrappedFile):
    """A file whose operations may fail."""

    def __init__(self, inner: WritableFile, fault: Fault) -> None:
        super().__init__(inner)
        self._fault = fault

    def write(self, buffers: Sequence[Buffer]) -> None:
        data = b"".join(byte_views(buffers))
        try:
            self._fault.strike("write", self.path)
        except BaseException:
            super().write([data[: len(data) // 2]])
            raise
        super().write([data])

    def sync(self) -> None:
        self._fault.strike("sync", self.path)
        super().sync()

    def lock(self) -> bool:
        self._fault.strike("lock", self.path)
        return super().lock()

    def close(self) -> None:
        super().close()
        self._fault.strike("close", self.path)
