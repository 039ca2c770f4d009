"""`RecordingStorage`: keeps a log of every operation that changes the disk, and of what was told.

The log holds all that the crash enumerator and the order watcher need. It can also kill its writer:
from the n-th operation on nothing reaches the disk, as after `kill -9`.
"""

from __future__ import annotations

import itertools
import posixpath
import weakref
from collections.abc import Callable, Sequence

import attrs

from checkpointable.errors import StorageError
from checkpointable.storage.base import Buffer, HeldLock, Storage, WritableFile, byte_views
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.wrapping import WrappedFile, WrappedStorage


@attrs.frozen
class Create:
    path: str
    file: int


@attrs.frozen
class Write:
    file: int
    data: bytes


@attrs.frozen
class Sync:
    file: int


@attrs.frozen
class FailedSync:
    file: int


@attrs.frozen
class Rename:
    source: str
    destination: str
    file: int


@attrs.frozen
class Remove:
    path: str


@attrs.frozen
class MakeDir:
    path: str


@attrs.frozen
class SyncDir:
    path: str


@attrs.frozen
class Started:
    """A save of this value has begun."""

    value: int
    durable: bool


@attrs.frozen
class Told:
    """The save of this value returned: its caller now counts on it."""

    value: int
    prefix: str


@attrs.frozen
class Failed:
    """The save of this value raised."""

    value: int


@attrs.frozen
class Removing:
    """The removal of the checkpoint at this prefix has begun."""

    prefix: str


@attrs.frozen
class Removed:
    """The removal of the checkpoint at this prefix returned: its caller counts on that."""

    prefix: str


Operation = (
    Create
    | Write
    | Sync
    | FailedSync
    | Rename
    | Remove
    | MakeDir
    | SyncDir
    | Started
    | Told
    | Failed
    | Removing
    | Removed
)

#: What the caller knows, as opposed to what happens on the disk.
Mark = Started | Told | Failed | Removing | Removed


class Killed(BaseException):
    """The writer was killed: nothing that it does from here on has any effect."""


@attrs.frozen
class Recording:
    """What was on the disk at first, and everything that happened since.

    Attributes:
        before: the image at first; its files are numbered in the order of `before.files`.
        log: the operations.
    """

    before: DiskImage
    log: Sequence[Operation]


class RecordingStorage(WrappedStorage):
    """A memory storage with a log. One thread at a time.

    Args:
        image: what is on the disk at first.
        between: wraps the memory storage, so that it fails below the log.
    """

    #: Every recording made since the list was last cleared, for the order watcher.
    made: list[RecordingStorage] = []  # noqa: RUF012 - shared on purpose

    def __init__(
        self, image: DiskImage | None = None, between: Callable[[Storage], Storage] | None = None
    ) -> None:
        self.memory = MemoryStorage(image)
        super().__init__(self.memory if between is None else between(self.memory))
        self.before = self.memory.image()
        self.log: list[Operation] = []
        self._numbers = {path: i for i, path in enumerate(self.before.files)}
        self._fresh = itertools.count(len(self._numbers))
        self._left: int | None = None
        self._open: list[WritableFile] = []
        self._held: weakref.WeakSet[HeldLock] = weakref.WeakSet()
        RecordingStorage.made.append(self)

    def recording(self) -> Recording:
        return Recording(self.before, tuple(self.log))

    def kill_after(self, operations: int) -> None:
        """Let so many more operations happen, and kill the writer at the next."""
        self._left = operations

    def revive(self) -> None:
        """Let a new process begin: the locks of the dead one are free."""
        self._left = None
        for held in [*self._open, *self._held]:
            held.close()
        self._open.clear()

    def create(self, path: str) -> WritableFile:
        self._step()
        inner = super().create(path)
        self._open.append(inner)
        number = next(self._fresh)
        self._numbers[_key(path)] = number
        self.log.append(Create(_key(path), number))
        return _RecordedFile(inner, self, number)

    def rename(self, source: str, destination: str) -> None:
        self._step()
        super().rename(source, destination)
        number = self._numbers.pop(_key(source))
        self._numbers[_key(destination)] = number
        self.log.append(Rename(_key(source), _key(destination), number))

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)
        if self._numbers.pop(_key(path), None) is not None:
            self.log.append(Remove(_key(path)))

    def make_dirs(self, path: str, *, durable: bool) -> None:
        for directory in self._missing(path):
            self._step()
            super().make_dirs(directory, durable=durable)
            self.log.append(MakeDir(directory))
            if durable:
                self.sync_dir(posixpath.dirname(directory))

    def sync_dir(self, path: str) -> None:
        self._step()
        super().sync_dir(path)
        self.log.append(SyncDir(_key(path)))

    def hold_lock(self, path: str, owner: str) -> HeldLock:
        """Take a lock; the lock file is not recorded, for nothing depends on its content."""
        self._step()
        held = super().hold_lock(path, owner)
        self._held.add(held)
        return held

    def step(self, operation: Operation) -> None:
        """Record an operation of a file."""
        self._step()
        self.log.append(operation)

    def _step(self) -> None:
        if self._left is None:
            return
        if self._left == 0:
            raise Killed
        self._left -= 1

    def _missing(self, path: str) -> list[str]:
        missing: list[str] = []
        directory = _key(path)
        while self.memory.status(directory) is None:
            missing.append(directory)
            directory = posixpath.dirname(directory)
        return missing[::-1]


class _RecordedFile(WrappedFile):
    """A file whose writes and syncs are recorded."""

    def __init__(self, inner: WritableFile, storage: RecordingStorage, number: int) -> None:
        super().__init__(inner)
        self._storage = storage
        self._number = number

    def write(self, buffers: Sequence[Buffer]) -> None:
        data = b"".join(byte_views(buffers))
        self._storage.step(Write(self._number, data))
        super().write([data])

    def sync(self) -> None:
        try:
            super().sync()
        except StorageError:
            self._storage.step(FailedSync(self._number))
            raise
        self._storage.step(Sync(self._number))


def _key(path: str) -> str:
    return posixpath.normpath(posixpath.join("/", path))
