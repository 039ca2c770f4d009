"""A storage that passes everything on: the base of those that record, fail or lie."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from checkpointable.storage.base import (
    Buffer,
    FileStatus,
    HeldLock,
    ReadableFile,
    Storage,
    WritableFile,
)


class WrappedFile(WritableFile):
    """A file that passes everything on."""

    def __init__(self, inner: WritableFile) -> None:
        self.inner = inner
        self.path = inner.path

    @property
    def inherited(self) -> bool:
        return self.inner.inherited

    def write(self, buffers: Sequence[Buffer]) -> None:
        self.inner.write(buffers)

    def sync(self) -> None:
        self.inner.sync()

    def lock(self) -> bool:
        return self.inner.lock()

    def close(self) -> None:
        self.inner.close()


class WrappedStorage(Storage):
    """A storage that passes everything on."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    def create(self, path: str) -> WritableFile:
        return self.inner.create(path)

    def open_read(self, path: str) -> ReadableFile:
        return self.inner.open_read(path)

    def rename(self, source: str, destination: str) -> None:
        self.inner.rename(source, destination)

    def remove(self, path: str) -> None:
        self.inner.remove(path)

    def make_dirs(self, path: str, *, durable: bool) -> None:
        self.inner.make_dirs(path, durable=durable)

    def sync_dir(self, path: str) -> None:
        self.inner.sync_dir(path)

    def list_dir(self, path: str) -> list[str]:
        return self.inner.list_dir(path)

    def status(self, path: str) -> FileStatus | None:
        return self.inner.status(path)

    def lock_dir(self, path: str) -> AbstractContextManager[bool]:
        return self.inner.lock_dir(path)

    def hold_lock(self, path: str, owner: str) -> HeldLock:
        return self.inner.hold_lock(path, owner)

    def is_locked(self, path: str) -> bool:
        return self.inner.is_locked(path)
