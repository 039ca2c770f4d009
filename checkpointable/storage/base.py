"""The storage contract: the few verbs through which every byte reaches a disk.

Paths are strings. An implementation promises, verb by verb:

- `create` fails if the name is taken, and follows no link;
- `rename` within a directory is atomic and replaces what stands there;
- `sync` and `sync_dir` return only when a power cut can no longer undo what came before;
- `open_read` opens regular files only, follows no link and never blocks;
- locks end with the process that holds them, and are not inherited by forked children.

Links are not followed in the last part of a path; the directories before it may be links.
Every failure is a `StorageError` with `errno` and path, or, where `open_read` finds nothing, a
`CheckpointNotFoundError`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final

import attrs

from checkpointable.errors import StorageError

Buffer = bytes | bytearray | memoryview
PathLike = str | os.PathLike[str]

#: What a temporary name ends with, after 16 random hexadecimal digits.
TEMPORARY_SUFFIX: Final = ".tmp"


@attrs.frozen
class FileStatus:
    """What the storage knows of a name.

    Attributes:
        is_file: whether it is a regular file (a link is not).
        is_dir: whether it is a directory.
        size: its length in bytes.
        mtime: when it was last changed, in seconds since 1970.
        identity: equal only for the same file, never for two files at one time.
    """

    is_file: bool
    is_dir: bool
    size: int
    mtime: float
    identity: tuple[int, ...]


class WritableFile(ABC):
    """A file that was just created, written front to back. Not thread-safe."""

    path: str

    @abstractmethod
    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append all bytes of the (C-contiguous) buffers, however often the system writes short.

        After a failure it is unknown how much was written, and the file must be abandoned.
        """

    @abstractmethod
    def sync(self) -> None:
        """Make what was written durable. After a failure the file must be abandoned (D-7)."""

    @abstractmethod
    def lock(self) -> bool:
        """Lock the file until it is closed; tell whether the file system can lock."""

    @abstractmethod
    def close(self) -> None:
        """Close the file and release its lock; calling it twice is harmless."""

    @property
    @abstractmethod
    def inherited(self) -> bool:
        """Whether this process has the file by fork only: it is its parent's, and closed here."""


class ReadableFile(ABC):
    """An open regular file. Reads may come from several threads, but none during `close`."""

    path: str
    status: FileStatus

    @abstractmethod
    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from the offset on; return how many bytes there were before the end."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; calling it twice is harmless."""


class HeldLock(ABC):
    """The lock of a file, held until it is closed, dropped, or its process ends. Thread-safe."""

    path: str

    @abstractmethod
    def close(self) -> None:
        """Empty the file and give the lock back; calling it twice is harmless.

        In a forked child it does nothing: the lock is the parent's.
        """

    @abstractmethod
    def is_in_place(self) -> bool:
        """Tell whether the path, as it is found now, still leads to the very file that is held."""

    @property
    @abstractmethod
    def inherited(self) -> bool:
        """Whether this process has the object by fork only: its parent holds the lock."""


class Storage(ABC):
    """Where checkpoints live. Thread-safe."""

    @abstractmethod
    def create(self, path: str) -> WritableFile:
        """Create a file that does not exist yet."""

    @abstractmethod
    def open_read(self, path: str) -> ReadableFile:
        """Open a regular file; `CheckpointNotFoundError` if there is none."""

    @abstractmethod
    def rename(self, source: str, destination: str) -> None:
        """Give a file another name in the same directory, replacing what stands there."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""

    @abstractmethod
    def make_dirs(self, path: str, *, durable: bool) -> None:
        """Make a directory and its parents where missing; if durable, each synced into its parent.

        A link to a directory is one. What is there already is not synced.
        """

    @abstractmethod
    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""

    @abstractmethod
    def list_dir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; `[]` if it does not exist."""

    @abstractmethod
    def status(self, path: str) -> FileStatus | None:
        """Return what stands under a name, links not followed; `None` if nothing does."""

    @abstractmethod
    def lock_dir(self, path: str) -> AbstractContextManager[bool]:
        """Wait for the directory's lock and hold it; `False` where the file system cannot lock.

        The first time that it cannot, there is a `CheckpointWarning`.

        Raises:
            StorageError: there is no such directory; or this thread holds the lock, or waits for
                it, already (`EDEADLK`), which changes nothing for whoever did that.
        """

    @abstractmethod
    def hold_lock(self, path: str, owner: str) -> HeldLock:
        """Take the lock of a file without waiting, and keep it.

        The file is made where it is missing, says who the owner is while the lock is held, and is
        never renamed nor removed. Where the file system cannot lock there is a `CheckpointWarning`
        the first time, and no lock.

        Args:
            path: the lock file; its directory exists.
            owner: who takes the lock, in one line: `pid 123 on host`.

        Raises:
            DirectoryInUseError: another holder, in this process too, has it; the message says who.
            StorageError: the file cannot be made or opened, or is no lock file; it is intact.
        """

    @abstractmethod
    def is_locked(self, path: str) -> bool:
        """Tell whether a live writer holds the lock of this file, or may do so.

        Where that cannot be found out the answer is `True`. Ask only under the directory's lock.
        """


def byte_views(buffers: Sequence[Buffer]) -> list[memoryview]:
    """Return the C-contiguous buffers as flat views of bytes, the empty ones left out."""
    views = [memoryview(buffer) for buffer in buffers]
    return [view.cast("B") for view in views if view.nbytes]


def discard(storage: Storage, unfinished: Iterable[WritableFile]) -> None:
    """Remove and close files that will not be finished, as far as possible.

    In a forked child they are left alone: the parent may go on writing to them.
    """
    for file in unfinished:
        if not file.inherited:
            with suppress(StorageError):
                storage.remove(file.path)
            with suppress(StorageError):
                file.close()


def read_all(storage: Storage, path: str) -> bytes:
    """Return the whole content of a regular file.

    Raises:
        CheckpointNotFoundError: there is none.
        StorageError: it is not a regular file, or cannot be read.
    """
    file = storage.open_read(path)
    try:
        content = bytearray(file.status.size)
        length = file.read_into(0, memoryview(content))
    finally:
        file.close()
    return bytes(content[:length])


def path_text(path: PathLike) -> str:
    """Return a path as text.

    >>> import pathlib
    >>> path_text(pathlib.Path("run") / "ckpt")
    'run/ckpt'

    Raises:
        TypeError: it is neither `str` nor an `os.PathLike` of `str`.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"the path {text!r} is {type(text).__name__}, expected str or os.PathLike")
    return text


def path_texts(argument: str, paths: Iterable[PathLike]) -> list[str]:
    """Return paths as texts.

    >>> path_texts("paths", ["run/a", "run/b"])
    ['run/a', 'run/b']

    Raises:
        TypeError: it is one path instead of several, or holds something else than paths.
    """
    if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
        raise TypeError(
            f"{argument} is {paths!r}, expected a list of paths; give one path as a list of one"
        )
    return [path_text(path) for path in paths]
