"""The bytes of one shard on their way to its file: cut into chunks, hashed while hot (F-31)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from checkpointable.format.frame import digest
from checkpointable.format.limits import CHUNK
from checkpointable.storage.base import Buffer, WritableFile

#: How much is handed to the file at a time: enough for a system call, little enough for a cache.
_BATCH: Final = 4 * CHUNK


class ChunkWriter:
    """Writes a shard front to back and keeps its chunk table. Not thread-safe.

    What `add` gets is gathered and written in batches; the caller may not change it before the
    next `cut`. `cut` ends the chunk, `write_large` writes chunks of its own without copying.
    Without a file nothing is written, and the table is all.
    """

    def __init__(self, file: WritableFile | None) -> None:
        self._file = file
        self._pending: list[Any] = []
        self._length = 0
        self._lengths: list[int] = []
        self._digests: list[bytes] = []

    @property
    def chunk_lengths(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """The lengths of the chunks so far."""
        return np.array(self._lengths, dtype=np.uint32)

    @property
    def chunk_digests(self) -> bytes:
        """The digests of the chunks so far, joined."""
        return b"".join(self._digests)

    def add(self, piece: Any, length: int) -> None:
        """Append the bytes of a C-contiguous buffer."""
        self._pending.append(piece)
        self._length += length
        if self._length >= _BATCH:
            joined = memoryview(b"".join(self._pending))
            whole = self._length // CHUNK * CHUNK
            self._write(joined[:whole])
            self._pending = [joined[whole:]]
            self._length -= whole

    def cut(self) -> None:
        """End the chunk here."""
        if self._length:
            self._write(memoryview(b"".join(self._pending)))
            self._pending, self._length = [], 0

    def write_large(self, data: memoryview) -> None:
        """Append bytes in chunks of their own, as they lie in memory."""
        self.cut()
        for start in range(0, len(data), _BATCH):
            self._write(data[start : start + _BATCH])

    def _write(self, data: Buffer) -> None:
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            chunk = view[start : start + CHUNK]
            self._lengths.append(len(chunk))
            self._digests.append(digest(chunk))
        if self._file is not None:
            self._file.write([view])
