"""Checkpoints in memory: the same contract without a disk, for tests and for scratch data.

The content can be taken out and put in as a `DiskImage`: what a disk would hold.
"""

from __future__ import annotations

import errno
import posixpath
import stat
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import attrs

from checkpointable.errors import CheckpointNotFoundError, storage_error
from checkpointable.storage.base import (
    Buffer,
    FileStatus,
    HeldLock,
    ReadableFile,
    Storage,
    WritableFile,
    byte_views,
)
from checkpointable.storage.owners import check_lock_file, decode_owner, encode_owner, in_use
from checkpointable.storage.refusals import check_is_file, locked_twice, refusals, system_error


@attrs.frozen
class DiskImage:
    """The whole content of a storage.

    Attributes:
        files: content by absolute path. Their directories exist too.
        directories: further directories, absolute.
    """

    files: Mapping[str, bytes]
    directories: frozenset[str] = frozenset()


@attrs.define(eq=False)
class _Node:
    """A file, whatever names it has."""

    number: int
    data: bytearray
    mtime: float
    locked: bool = False


class MemoryStorage(Storage):
    """Files in memory; relative paths begin at the root. Thread-safe.

    Nothing survives the process, and a forked child has a copy of its own.

    Example:
        >>> storage = MemoryStorage(DiskImage({"/run/notes": b"text"}))
        >>> storage.list_dir("/run"), storage.status("/run/notes").size
        (['notes'], 4)
    """

    def __init__(self, image: DiskImage | None = None) -> None:
        self._guard = threading.RLock()
        self._dir_locks: dict[str, threading.Lock] = {}
        self._claims: set[tuple[str, int]] = set()  # which thread holds or waits for which lock
        self._nodes: dict[str, _Node] = {}
        self._dirs = {"/"}
        self._count = 0
        given = image if image is not None else DiskImage({})
        for directory in given.directories:
            self._add_dir(_absolute(directory))
        for path, data in given.files.items():
            self._add_dir(posixpath.dirname(_absolute(path)))
            self._nodes[_absolute(path)] = self._new_node(data)

    def image(self) -> DiskImage:
        """Return a copy of the content."""
        with self._guard:
            files = {path: bytes(node.data) for path, node in sorted(self._nodes.items())}
            return DiskImage(files, frozenset(self._dirs))

    def create(self, path: str) -> WritableFile:
        """Create a file that does not exist yet."""
        with self._guard, refusals("create the file", path):
            key = _absolute(path)
            self._need_dir(posixpath.dirname(key))
            if key in self._nodes or key in self._dirs:
                raise system_error(errno.EEXIST)
            self._nodes[key] = self._new_node(b"")
            return _MemoryWritable(path, self._nodes[key], self._guard)

    def open_read(self, path: str) -> ReadableFile:
        """Open a file; its content stays readable when it is removed."""
        with self._guard, refusals("open the file", path):
            key = _absolute(path)
            if key in self._nodes:
                return _MemoryReadable(path, self._nodes[key])
        if key in self._dirs:
            check_is_file(path, stat.S_IFDIR)
        raise CheckpointNotFoundError(f"{path}: there is no such file.")

    def rename(self, source: str, destination: str) -> None:
        """Give a file another name in the same directory, replacing what stands there."""
        action = f"rename the file to {posixpath.basename(destination)}"
        with self._guard, refusals(action, source):
            if _absolute(source) not in self._nodes:
                raise system_error(errno.ENOENT)
            key = _absolute(destination)
            self._need_dir(posixpath.dirname(key))
            if key in self._dirs:
                raise system_error(errno.EISDIR)
            self._nodes[key] = self._nodes.pop(_absolute(source))

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with self._guard, refusals("remove the file", path):
            if _absolute(path) in self._dirs:
                raise system_error(errno.EISDIR)
            self._nodes.pop(_absolute(path), None)

    def make_dirs(self, path: str, *, durable: bool) -> None:
        """Make a directory and its parents where missing."""
        with self._guard, refusals("make the directory", path):
            self._add_dir(_absolute(path))

    def sync_dir(self, path: str) -> None:
        """Do nothing: memory is as durable as it gets."""
        with self._guard, refusals("sync the directory", path):
            self._need_dir(_absolute(path))

    def list_dir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        with self._guard, refusals("list the directory", path):
            key = _absolute(path)
            if key in self._nodes:
                raise system_error(errno.ENOTDIR)
            entries = [*self._nodes, *self._dirs]
            return sorted(
                posixpath.basename(e) for e in entries if e != "/" and posixpath.dirname(e) == key
            )

    def status(self, path: str) -> FileStatus | None:
        """Return what stands under a name."""
        with self._guard, refusals("look at the file", path):
            key = _absolute(path)
            if key in self._dirs:
                return FileStatus(is_file=False, is_dir=True, size=0, mtime=0.0, identity=(0,))
            node = self._nodes.get(key)
            return None if node is None else _status(node)

    def lock_dir(self, path: str) -> AbstractContextManager[bool]:
        """Wait for the directory's lock and hold it."""
        return self._locked_dir(path)

    def is_locked(self, path: str) -> bool:
        """Tell whether the file is open for writing, and locked."""
        with self._guard, refusals("test the lock of the file", path):
            node = self._nodes.get(_absolute(path))
            return node is not None and node.locked

    def hold_lock(self, path: str, owner: str) -> HeldLock:
        """Take the lock of a file without waiting, and keep it."""
        with self._guard, refusals("take the lock", path):
            key = _absolute(path)
            self._need_dir(posixpath.dirname(key))
            if key in self._dirs:
                check_is_file(path, stat.S_IFDIR)
            node = self._nodes.get(key) or self._new_node(b"")
            if node.locked:
                raise in_use(path, decode_owner(bytes(node.data)), owner)
            check_lock_file(path, bytes(node.data))
            self._nodes[key] = node
            node.data[:] = encode_owner(owner)
            return _MemoryHeldLock(path, node, self._guard, self._nodes)

    @contextmanager
    def _locked_dir(self, path: str) -> Iterator[bool]:
        with self._guard, refusals("lock the directory", path):
            key = _absolute(path)
            self._need_dir(key)
            lock = self._dir_locks.setdefault(key, threading.Lock())
            claim = (key, threading.get_ident())
            if claim in self._claims:
                raise locked_twice(path)
        try:
            self._claims.add(claim)
            with lock:
                yield True
        finally:
            self._claims.discard(claim)

    def _new_node(self, data: bytes) -> _Node:
        self._count += 1
        return _Node(self._count, bytearray(data), time.time())

    def _add_dir(self, key: str) -> None:
        while key not in self._dirs:
            if key in self._nodes:
                raise system_error(errno.ENOTDIR)
            self._dirs.add(key)
            key = posixpath.dirname(key)

    def _need_dir(self, key: str) -> None:
        if key not in self._dirs:
            raise system_error(errno.ENOTDIR if key in self._nodes else errno.ENOENT)


class _MemoryWritable(WritableFile):
    """A file under construction."""

    def __init__(self, path: str, node: _Node, guard: threading.RLock) -> None:
        self.path = path
        self._node = node
        self._guard = guard
        self._closed = False

    @property
    def inherited(self) -> bool:
        return False

    def write(self, buffers: Sequence[Buffer]) -> None:
        self._need_open("write to the file")
        with self._guard:
            for view in byte_views(buffers):
                self._node.data += view
            self._node.mtime = time.time()

    def sync(self) -> None:
        self._need_open("sync the file")

    def lock(self) -> bool:
        self._need_open("lock the file")
        self._node.locked = True
        return True

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._node.locked = False

    def _need_open(self, action: str) -> None:
        if self._closed:
            raise storage_error(OSError(errno.EBADF, "it is closed"), action, self.path)


class _MemoryReadable(ReadableFile):
    """An open file."""

    def __init__(self, path: str, node: _Node) -> None:
        self.path = path
        self.status = _status(node)
        self._node: _Node | None = node

    def read_into(self, offset: int, buffer: memoryview) -> int:
        node = self._node
        if node is None:
            raise storage_error(OSError(errno.EBADF, "it is closed"), "read", self.path)
        piece = bytes(node.data[offset : offset + buffer.nbytes])
        if piece:
            buffer.cast("B")[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._node = None


class _MemoryHeldLock(HeldLock):
    """A lock that is held."""

    def __init__(
        self, path: str, node: _Node, guard: threading.RLock, nodes: Mapping[str, _Node]
    ) -> None:
        self.path = path
        self._node = node
        self._guard = guard
        self._nodes = nodes
        self._finalizer = weakref.finalize(self, _unlock, node)
        node.locked = True

    @property
    def inherited(self) -> bool:
        return False

    def is_in_place(self) -> bool:
        with self._guard:
            return self._nodes.get(_absolute(self.path)) is self._node

    def close(self) -> None:
        with self._guard:
            if self._finalizer.alive:
                self._node.data.clear()
                self._finalizer()


def _unlock(node: _Node) -> None:
    node.locked = False


def _status(node: _Node) -> FileStatus:
    return FileStatus(
        is_file=True, is_dir=False, size=len(node.data), mtime=node.mtime, identity=(node.number,)
    )


def _absolute(path: str) -> str:
    if "\0" in path:
        raise system_error(errno.EINVAL)
    return posixpath.normpath(posixpath.join("/", path))
