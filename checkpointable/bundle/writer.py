"""Writes a checkpoint in the native format: shards first, then the index that names them.

The order of files and their durability are the commit's (`bundle/commit.py`); the layout of bytes
is here. Memory: contiguous arrays are never copied as a whole, others in pieces of 1 MiB; what is
streamed is in memory one block at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from checkpointable.bundle.array_bytes import (
    as_bytes,
    as_stored,
    blocks,
    is_buffer,
    lies_as_stored,
)
from checkpointable.bundle.chunks import ChunkWriter
from checkpointable.bundle.layout import Piece, ShardLayout, plan_layout
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.index import Index, decode_index, encode_index
from checkpointable.format.limits import LONGEST_METADATA, OWN_CHUNKS
from checkpointable.format.records import Blob, Divided, Snapshot, Streamed
from checkpointable.format.single import encode_footer
from checkpointable.format.tables import ShardTable, shard_token
from checkpointable.format.values import encode_value
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Buffer, WritableFile


class BundleCommit(Protocol):
    """What the writer needs of a commit: files to write to, and the end of it."""

    @property
    def file(self) -> WritableFile:
        """The commit file: the index, or the whole checkpoint in the one-file form."""

    def create_shard(self, shard: int, /) -> WritableFile:
        """Create the file of a shard."""

    def seal_shard(self, shard: int, /) -> None:
        """Make the file of a shard durable and close it."""

    def finish(self, tokens: Sequence[str], /) -> Any:
        """Give all files their names."""


def write_bundle(
    commit: BundleCommit, snapshot: Snapshot, options: SaveOptions, groups: Sequence[int] = ()
) -> int:
    """Write a snapshot through a commit and finish the commit.

    In the one-file form there is one shard, whatever `max_shard_bytes` and `groups`.
    The arrays must not change meanwhile. If this raises, the commit is to be aborted.

    Args:
        commit: where to.
        snapshot: what.
        options: `single_file` and `max_shard_bytes` count here.
        groups: for each tensor, and each slice of a divided one, a number; those of different
            numbers go into different shards. By default all may share one.

    Returns:
        how many shards were written.

    Raises:
        NotCheckpointableError: something in the snapshot cannot be stored.
        ValueError: `max_shard_bytes` is too small.
        StorageError: the storage failed.
    """
    metadata = encode_metadata(snapshot.metadata)
    single = options.single_file
    limit, groups = (None, ()) if single else (options.max_shard_bytes, groups)
    layout = plan_layout(snapshot.tensors, limit, groups)
    written = []
    for i, shard in enumerate(layout.shards):
        file = commit.file if single else commit.create_shard(i)
        written.append(write_shard(file, shard, layout.pieces))
        if not single:
            commit.seal_shard(i)
    shards = shard_table(written)
    index = Index(snapshot.graph, layout.table, shards, snapshot.inline, metadata)
    frames = encode_index(index)
    decode_index(b"".join(frames), commit.file.path)  # what could not be read is never committed
    commit.file.write(frames)
    if single:
        offset = sum(shard.length for shard in layout.shards)
        commit.file.write([encode_footer(offset, sum(map(len, frames)))])
    commit.finish([] if single else shards.tokens)
    return len(layout.shards)


def encode_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Return metadata as an index holds them.

    Raises:
        NotCheckpointableError: they are too long, have another key than a text, or a value that
            is not plain.
    """
    for name in metadata:
        if type(name) is not str:
            raise NotCheckpointableError(
                f"metadata has the key {name!r}, expected strings. Use str({name!r})."
            )
    encoded = encode_value(dict(metadata))
    if len(encoded) > LONGEST_METADATA:
        raise NotCheckpointableError(
            f"metadata take {len(encoded):,} bytes, expected at most {LONGEST_METADATA:,}. Keep"
            " large values as state of an object."
        )
    return encoded


def write_shard(
    file: WritableFile | None, shard: ShardLayout, pieces: Sequence[Piece]
) -> ChunkWriter:
    """Write the pieces of one shard, zeros between them; without a file, only look at them.

    Returns:
        what wrote it, and knows lengths and checksums of the chunks.
    """
    chunks = ChunkWriter(file)
    position = 0
    rows = zip(shard.pieces, shard.offsets, shard.lengths, strict=True)
    for number, offset, length in rows:
        if offset != position:
            chunks.add(bytes(offset - position), offset - position)
        position = offset + length
        tensor = pieces[number]
        if isinstance(tensor, Blob):
            _write_blob(chunks, tensor.data)
            continue
        if isinstance(tensor, Streamed):
            _write_blocks(chunks, tensor.blocks(), apart=length >= OWN_CHUNKS)
            continue
        if isinstance(tensor, Divided):
            tensor = np.asarray(tensor)
        if length >= OWN_CHUNKS:
            _write_large(chunks, tensor)
        elif tensor.flags.c_contiguous and is_buffer(tensor.dtype):
            chunks.add(tensor, length)
        else:
            chunks.add(as_bytes(as_stored(tensor)), length)
    chunks.cut()
    return chunks


def _write_blob(chunks: ChunkWriter, data: bytes) -> None:
    if len(data) >= OWN_CHUNKS:
        chunks.write_large(memoryview(data))
    else:
        chunks.add(data, len(data))


def _write_large(chunks: ChunkWriter, array: npt.NDArray[Any]) -> None:
    """Write an array that has chunks of its own."""
    if lies_as_stored(array):
        chunks.write_large(as_bytes(array).data)
        return
    _write_blocks(chunks, blocks(array), apart=True)


def _write_blocks(chunks: ChunkWriter, pieces: Iterable[Buffer], *, apart: bool) -> None:
    """Write the bytes of a tensor that come in pieces; `apart`: in chunks of its own."""
    if apart:
        chunks.cut()
    for block in pieces:
        chunks.add(block, len(block))
    if apart:
        chunks.cut()


def shard_table(written: Sequence[ChunkWriter]) -> ShardTable:
    """Return tokens and checksums of the shards that were written."""
    lengths = [chunks.chunk_lengths for chunks in written]
    digests = [chunks.chunk_digests for chunks in written]
    return ShardTable(
        tokens=[shard_token(n, d) for n, d in zip(lengths, digests, strict=True)],
        chunk_counts=np.array([len(n) for n in lengths], dtype=np.uint32),
        chunk_lengths=np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.uint32),
        chunk_digests=b"".join(digests),
    )
