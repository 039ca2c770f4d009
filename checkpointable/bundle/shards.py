"""The open shards of a checkpoint: chunks are read and verified in one pass (F-32)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.frame import corrupt, digest
from checkpointable.format.records import Column
from checkpointable.format.tables import ShardTable
from checkpointable.storage.base import ReadableFile

_DIGEST: Final = 16


@final
class OpenShards:
    """The shards of one checkpoint, thought of as laid one after the other. Thread-safe.

    Places are counted in bytes from the beginning of shard 0 (`bases` says where each begins),
    chunks from the first chunk of shard 0.
    """

    def __init__(
        self, table: ShardTable, files: Sequence[ReadableFile] | Mapping[int, ReadableFile]
    ) -> None:
        self._files = files
        self._digests = table.chunk_digests
        self._is_verified = bool(table.chunk_digests)
        self._edges = table.edges
        self._edge_list: list[int] = table.edges.tolist()
        self._first_chunks = table.first_chunks
        self.bases: list[int] = table.edges[table.first_chunks].tolist()

    def chunk_ranges(self, begins: Column, ends: Column) -> tuple[Column, Column]:
        """Return the first and the last but one chunk of the stretches between these places."""
        first = np.searchsorted(self._edges, begins, side="right") - 1
        return first, np.searchsorted(self._edges, ends, side="left")

    def edge(self, chunk: int) -> int:
        """Return where a chunk begins."""
        return self._edge_list[chunk]

    def shard_end(self, chunk: int) -> int:
        """Return the number of the first chunk after the shard in which a chunk lies."""
        return int(self._first_chunks[self.shard_of(chunk) + 1])

    def shard_of(self, chunk: int) -> int:
        """Return the shard in which a chunk lies."""
        return int(np.searchsorted(self._first_chunks, chunk, side="right")) - 1

    def read_chunks(self, first: int, last: int, buffer: memoryview) -> None:
        """Fill the buffer with the chunks from `first` up to `last`, all of one shard, verified.

        Where the files have no checksums, nothing but their lengths is.

        Raises:
            CorruptCheckpointError: the shard is cut short, or a checksum is wrong.
            StorageError: the storage failed.
        """
        shard = self.shard_of(first)
        file, base, edges = self._files[shard], self.bases[shard], self._edge_list
        origin = edges[first]
        for chunk in range(first, last):
            begin, end = edges[chunk], edges[chunk + 1]
            part = buffer[begin - origin : end - origin]
            found = file.read_into(begin - base, part)
            if found != len(part):
                raise corrupt(
                    file.path,
                    "F-2",
                    "the file is cut short",
                    expected=f"{end - base} bytes",
                    found=begin - base + found,
                )
            if not self._is_verified:
                continue
            stored = self._digests[_DIGEST * chunk : _DIGEST * (chunk + 1)]
            computed = digest(part)
            if computed != stored:
                raise corrupt(
                    file.path,
                    "F-32",
                    f"the checksum of the bytes from {begin - base} to {end - base} is wrong",
                    expected=stored.hex(),
                    found=computed.hex(),
                )

    def describe(self, place: int, rule: str, message: str) -> CorruptCheckpointError:
        """Describe a broken rule at a place."""
        shard = int(np.searchsorted(self.bases, place, side="right")) - 1
        return corrupt(
            self._files[shard].path, rule, f"{message} (offset {place - self.bases[shard]})"
        )

    def read_range(self, begin: int, end: int) -> memoryview:
        """Return the bytes between two places of one shard, in a buffer of their own."""
        firsts, lasts = self.chunk_ranges(np.array([begin]), np.array([end]))
        first, last = int(firsts[0]), int(lasts[0])
        buffer = memoryview(bytearray(self.edge(last) - self.edge(first)))
        self.read_chunks(first, last, buffer)
        return buffer[begin - self.edge(first) : end - self.edge(first)]


def byte_view(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of a C-contiguous array of any dtype, not copied."""
    return array.reshape(-1).view(np.uint8).data
