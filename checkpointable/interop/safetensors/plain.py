"""Files that another program wrote: their tensors as an index, though without checksums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.index import Index
from checkpointable.format.limits import CHUNK, OWN_CHUNKS
from checkpointable.format.name_graph import graph_of_names
from checkpointable.format.records import Column
from checkpointable.format.tables import ShardTable, TensorTable
from checkpointable.format.values import encode_value
from checkpointable.interop.safetensors.header import Header, TensorEntries

#: A name is cut at these (ST-7).
_SEPARATOR: Final = "."
#: How many nodes a graph may have: so many, and so many more for each tensor (ST-7).
_NODES: Final = 4096
_NODES_PER_TENSOR: Final = 16


def plain_index(headers: Sequence[Header], metadata: Mapping[str, Any], file: str) -> Index:
    """Return what an index would say of files with these headers; tensors in their order.

    Args:
        headers: of the files, each of which counts as a shard.
        metadata: texts and numbers by their names.
        file: how messages call them.

    Raises:
        UnsupportedFormatError: the names have too many parts.
    """
    names = [name for header in headers for name in header.tensors.names]
    parts = sum(name.count(_SEPARATOR) for name in names) + len(names)
    if parts > _NODES + _NODES_PER_TENSOR * len(names):
        raise UnsupportedFormatError(
            f"{file}: the {len(names):,} names of tensors have {parts:,} parts, expected at most"
            f" {_NODES:,} and {_NODES_PER_TENSOR} for each. Give the tensors shorter names."
        )
    graph = graph_of_names({name: i for i, name in enumerate(names)}, _SEPARATOR)
    shards = _shards(headers)
    return Index(graph, _tensors(headers), shards, [], encode_value(dict(metadata)))


def _tensors(headers: Sequence[Header]) -> TensorTable:
    entries = [header.tensors for header in headers]
    dtypes = [dtype for each in entries for dtype in each.dtypes]
    shapes = [shape for each in entries for shape in each.shapes]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(dtypes))}
    begins = _joined([each.begins for each in entries])
    lengths = _joined([each.ends for each in entries]) - begins
    shards = np.repeat(np.arange(len(entries)), [len(each.names) for each in entries])
    has_bytes = lengths > 0
    nothing = np.zeros(0, dtype=np.uint64)
    return TensorTable(
        dtypes=list(numbers),
        dtype_numbers=np.array([numbers[name] for name in dtypes], dtype=np.uint32),
        ranks=np.array([len(shape) for shape in shapes], dtype=np.uint8),
        dims=np.array([dim for shape in shapes for dim in shape], dtype=np.uint64),
        extent_counts=has_bytes.astype(np.uint32),
        extent_shards=shards[has_bytes].astype(np.uint32),
        extent_offsets=begins[has_bytes].astype(np.uint64),
        extent_lengths=lengths[has_bytes].astype(np.uint64),
        extent_starts=nothing,
        extent_shapes=nothing,
    )


def _shards(headers: Sequence[Header]) -> ShardTable:
    """Return chunks for reading: large tensors begin and end one. They have no checksums."""
    lengths = [_chunk_lengths(header.tensors, header.data_length) for header in headers]
    return ShardTable(
        tokens=["0" * 16] * len(lengths),
        chunk_counts=np.array([len(own) for own in lengths], dtype=np.uint32),
        chunk_lengths=np.concatenate(lengths),
        chunk_digests=b"",
    )


def _chunk_lengths(tensors: TensorEntries, length: int) -> Column:
    begins = np.array(tensors.begins, dtype=np.int64)
    ends = np.array(tensors.ends, dtype=np.int64)
    large = ends - begins >= OWN_CHUNKS
    edges = np.unique(np.concatenate([[0, length], begins[large], ends[large]]).astype(np.int64))
    stretches = np.diff(edges)
    counts = -(-stretches // CHUNK)
    chunks = np.full(int(counts.sum()), CHUNK, dtype=np.uint32)
    chunks[np.cumsum(counts) - 1] = stretches - (counts - 1) * CHUNK
    return chunks


def _joined(columns: Sequence[Sequence[int]]) -> Column:
    return np.concatenate([np.array(column, dtype=np.int64) for column in columns])
