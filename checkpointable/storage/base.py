"""The storage contract: the few verbs through which every byte reaches a disk.

Paths are strings. An implementation promises, verb by verb:

- `create` fails if the name is taken, and follows no link;
- `rename` within a directory is atomic and replaces what stands there;
- `sync` and `sync_dir` return only when a power cut can no longer undo what came before;
- `open_read` opens regular files only, follows no link and never blocks;
- locks end with the process that holds them, and are not inherited by forked children.

Every failure is a `StorageError` with `errno` and path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

import attrs

Buffer = bytes | bytearray | memoryview

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
        """Append all bytes of the buffers, in order, however often the system writes short."""

    @abstractmethod
    def sync(self) -> None:
        """Make what was written durable. After a failure the file must be abandoned (D-7)."""

    @abstractmethod
    def lock(self) -> bool:
        """Lock the file until it is closed; tell whether the file system can lock."""

    @abstractmethod
    def close(self) -> None:
        """Close the file and release its lock; calling it twice is harmless."""


class ReadableFile(ABC):
    """An open regular file. Reads may come from several threads."""

    path: str
    status: FileStatus

    @abstractmethod
    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from the offset on; return how many bytes there were before the end."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; calling it twice is harmless."""


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
        """Make a directory and its parents where missing, each synced into its parent."""

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
    def lock_dir(self, path: str) -> AbstractContextManager[None]:
        """Wait for the directory's lock and hold it. One warning where it cannot lock."""

    @abstractmethod
    def is_locked(self, path: str) -> bool:
        """Tell whether a live writer holds the lock of this file."""
