"""Where the tensors of a checkpoint lie, and the checksums of its shards, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from typing import Any

import attrs
import numpy as np
import xxhash

from checkpointable.format.dtypes import item_size
from checkpointable.format.limits import ALIGNMENT
from checkpointable.format.records import Column, TensorInfo


class Placement(Enum):
    """How the extents of a shard follow one another."""

    ALIGNED = "aligned"  #: each at a multiple of its alignment (F-29)
    PACKED = "packed"  #: without a byte between them, the largest items first (ST-9)

    def alignment(self, lengths: Column, item_alignments: Column) -> Column:
        """Return to what multiples extents are aligned, given lengths and those of their dtypes."""
        if self is Placement.PACKED:
            return np.ones_like(lengths)
        return np.where(lengths >= ALIGNMENT, lengths.dtype.type(ALIGNMENT), item_alignments)


@attrs.frozen(eq=False, slots=False)
class TensorTable:
    """The tensors of a checkpoint and where their bytes lie, as columns.

    Attributes:
        dtypes: the names of the dtypes.
        dtype_numbers: uint32 per tensor, a position in `dtypes`.
        ranks: uint8 per tensor.
        dims: uint64, the dimensions of tensor 0 first.
        extent_counts: uint32 per tensor.
        extent_shards: uint32 per extent.
        extent_offsets: uint64 per extent, in bytes from the beginning of the shard.
        extent_lengths: uint64 per extent, in bytes.
        extent_starts: uint64 per dimension of the extents of divided tensors.
        extent_shapes: as `extent_starts`.
    """

    dtypes: Sequence[str]
    dtype_numbers: Column
    ranks: Column
    dims: Column
    extent_counts: Column
    extent_shards: Column
    extent_offsets: Column
    extent_lengths: Column
    extent_starts: Column
    extent_shapes: Column

    def __len__(self) -> int:
        return len(self.ranks)

    @cached_property
    def infos(self) -> list[TensorInfo]:
        """The dtype and shape of every tensor; equal ones are one object."""
        dims, known = self.dims.tolist(), dict[Any, TensorInfo]()
        infos, start = [], 0
        for number, rank in zip(self.dtype_numbers.tolist(), self.ranks.tolist(), strict=True):
            key = (number, *dims[start : start + rank])
            info = known.get(key)
            if info is None:
                info = known[key] = TensorInfo(self.dtypes[number], key[1:])
            infos.append(info)
            start += rank
        return infos

    @cached_property
    def item_sizes(self) -> Column:
        """The item size of every tensor, in bytes; 0 where it is not fixed."""
        sizes = np.array([item_size(name) for name in self.dtypes], dtype=np.int64)
        return sizes[self.dtype_numbers] if len(self) else sizes[:0]


@attrs.frozen(eq=False, slots=False)
class ShardTable:
    """The shards of a checkpoint and the checksums of their chunks.

    Attributes:
        tokens: 16 hexadecimal digits per shard, part of its file name.
        chunk_counts: uint32 per shard.
        chunk_lengths: uint32 per chunk, in bytes, those of shard 0 first.
        chunk_digests: 16 bytes per chunk, joined; none where the files have no checksums.
    """

    tokens: Sequence[str]
    chunk_counts: Column
    chunk_lengths: Column
    chunk_digests: bytes

    def __len__(self) -> int:
        return len(self.chunk_counts)

    @cached_property
    def edges(self) -> Column:
        """Where chunks begin and end, in bytes, all shards laid one after the other: int64."""
        return edges_of(self.chunk_lengths)

    @cached_property
    def first_chunks(self) -> Column:
        """The number of the first chunk of each shard, and the number of all chunks: int64."""
        return edges_of(self.chunk_counts)

    @cached_property
    def lengths(self) -> Column:
        """The length of each shard, in bytes: int64."""
        return np.diff(self.edges[self.first_chunks])


def shard_token(chunk_lengths: Column, chunk_digests: bytes) -> str:
    """Return the token of a shard: 16 hexadecimal digits over its chunk table (F-33)."""
    lengths = np.ascontiguousarray(chunk_lengths, dtype="<u4")
    return str(xxhash.xxh3_64_hexdigest(lengths.tobytes() + chunk_digests))


def edges_of(lengths: Column) -> Column:
    """Return where things of these lengths begin, and where the last one ends."""
    edges = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=edges[1:])
    return edges
