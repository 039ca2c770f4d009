"""The rules for tensors, their places and the shards, checked on whole columns (F-25 to F-33)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import numpy as np

from checkpointable.format import dtypes
from checkpointable.format.boxes import check_boxes
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import (
    CHUNK,
    MOST_DIMENSIONS,
    MOST_SHARDS,
    OWN_CHUNKS,
    TENSOR_BYTES,
)
from checkpointable.format.records import Column
from checkpointable.format.tables import Placement, ShardTable, TensorTable, shard_token

#: Products of floats below this are exact enough to know that the product of the integers fits.
_SURELY_FITS: Final = 2.0**52


def read_dtypes(columns: dict[str, Column], file: str) -> list[str]:
    """Return the dtype names, each of them in the table, used, and there once (F-25)."""
    lengths, data = columns["dtype_lengths"].tolist(), columns["dtype_bytes"].tobytes()
    if sum(lengths) != len(data):
        raise corrupt(
            file,
            "F-25",
            "the lengths of the dtype names do not sum up",
            expected=len(data),
            found=sum(lengths),
        )
    numbers = columns["dtype_numbers"]
    if not np.array_equal(np.unique(numbers), np.arange(len(lengths))):
        raise corrupt(file, "F-25", "a dtype is out of range, or not used")
    text = data.decode("latin-1")
    edges = np.cumsum([0, *lengths], dtype=np.int64).tolist()
    names = [text[start:end] for start, end in pairwise(edges)]
    for name in names:
        if not name.isascii() or not dtypes.is_dtype_name(name):
            raise corrupt(file, "F-25", "there is an unknown dtype", found=repr(name))
    if len(set(names)) != len(names):
        raise corrupt(file, "F-25", "a dtype stands in the table twice")
    return names


def check_shards(shards: ShardTable, file: str) -> None:
    """Check the chunk tables and the tokens (F-2, F-30, F-31, F-33)."""
    if len(shards) > MOST_SHARDS:
        raise corrupt(
            file, "F-2", "there are too many shards", expected=MOST_SHARDS, found=len(shards)
        )
    total = int(shards.chunk_counts.sum(dtype=np.uint64))
    if total != len(shards.chunk_lengths):
        raise corrupt(
            file,
            "F-31",
            "the numbers of chunks do not sum up",
            expected=len(shards.chunk_lengths),
            found=total,
        )
    if len(shards) and not shards.chunk_counts.all():
        raise corrupt(file, "F-30", "a shard has no chunk")
    lengths = shards.chunk_lengths
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= CHUNK:
        raise corrupt(
            file,
            "F-31",
            "a chunk has a wrong length",
            expected=f"1 to {CHUNK} bytes",
            found=f"{int(lengths.min())} to {int(lengths.max())}",
        )
    chunks = pairwise(shards.first_chunks.tolist())
    for shard, (start, end) in enumerate(chunks):
        token = shard_token(lengths[start:end], shards.chunk_digests[16 * start : 16 * end])
        if token != shards.tokens[shard]:
            raise corrupt(
                file,
                "F-33",
                f"the token of shard {shard} does not fit its chunks",
                expected=token,
                found=shards.tokens[shard],
            )


def check_tensors(
    tensors: TensorTable, shards: ShardTable, file: str, placement: Placement
) -> None:
    """Check shapes, extents and places (F-26 to F-31)."""
    ranks = tensors.ranks
    if int(ranks.max(initial=0)) > MOST_DIMENSIONS:
        raise corrupt(
            file,
            "F-26",
            "a tensor has too many dimensions",
            expected=f"at most {MOST_DIMENSIONS}",
            found=int(ranks.max()),
        )
    for counts, column, what in (
        (ranks, tensors.dims, "ranks"),
        (tensors.extent_counts, tensors.extent_shards, "numbers of extents"),
    ):
        total = int(counts.sum(dtype=np.uint64))
        if total != len(column):
            raise corrupt(
                file, "F-26", f"the {what} do not sum up", expected=len(column), found=total
            )
    elements = _elements(tensors, file)
    _check_extents(tensors, elements, file)
    _check_places(tensors, shards, file, placement)
    check_boxes(tensors, file)


def _elements(tensors: TensorTable, file: str) -> Column:
    """Return the number of elements of every tensor, all products checked (F-26)."""
    elements = np.ones(len(tensors), dtype=np.int64)
    starts = np.cumsum(tensors.ranks, dtype=np.int64) - tensors.ranks
    for rank in np.unique(tensors.ranks).tolist():
        which = np.flatnonzero(tensors.ranks == rank)
        sizes = np.maximum(tensors.item_sizes[which], 1)
        products = sizes.astype(np.float64)
        count = np.ones(len(which), dtype=np.uint64)
        for axis in range(rank):
            dims = tensors.dims[starts[which] + axis]
            products *= np.maximum(dims, np.uint64(1))
            count *= dims
        for i in np.flatnonzero(products >= _SURELY_FITS).tolist():
            start = int(starts[which[i]])
            shape = tensors.dims[start : start + rank].tolist()
            if int(sizes[i]) * math.prod(d or 1 for d in shape) >= TENSOR_BYTES:
                raise corrupt(
                    file, "F-26", f"tensor {int(which[i])} is too large", found=f"shape {shape}"
                )
        elements[which] = count.astype(np.int64)
    return elements


def _check_extents(tensors: TensorTable, elements: Column, file: str) -> None:
    """Check the number and the lengths of the extents of every tensor (F-25, F-27, F-28)."""
    counts, sizes = tensors.extent_counts, tensors.item_sizes
    empty = elements == 0
    first = np.cumsum(counts, dtype=np.int64) - counts
    single = np.flatnonzero((counts == 1) & (sizes > 0))
    may_be_empty = np.array([name == dtypes.BYTES for name in tensors.dtypes], dtype=bool)
    must_be_scalar = np.array(
        [name in (dtypes.BYTES, dtypes.PYTHON) for name in tensors.dtypes], dtype=bool
    )
    if must_be_scalar.any() and tensors.ranks[must_be_scalar[tensors.dtype_numbers]].any():
        raise corrupt(file, "F-25", "a tensor of dtype python or bytes has dimensions")
    if (counts[empty] != 0).any():
        raise corrupt(file, "F-27", "a tensor without elements has an extent")
    bare = (counts == 0) & ~empty
    if bare.any() and not may_be_empty[tensors.dtype_numbers[bare]].all():
        raise corrupt(file, "F-27", "a tensor has elements and no extent")
    wanted = sizes[single] * elements[single]
    found = tensors.extent_lengths[first[single]]
    wrong = np.flatnonzero(wanted.astype(np.uint64) != found)
    if wrong.size:
        raise corrupt(
            file,
            "F-27",
            f"the extent of tensor {int(single[wrong[0]])} has a wrong length",
            expected=int(wanted[wrong[0]]),
            found=int(found[wrong[0]]),
        )
    divided = counts > 1
    if (divided & ((sizes == 0) | (tensors.ranks == 0))).any():
        raise corrupt(file, "F-28", "a tensor that cannot be divided has several extents")


def _check_places(
    tensors: TensorTable, shards: ShardTable, file: str, placement: Placement
) -> None:
    """Check that the extents lie in the shards without overlap or hole (F-29, F-31)."""
    where, offsets, lengths = (
        tensors.extent_shards,
        tensors.extent_offsets,
        tensors.extent_lengths,
    )
    if where.size and int(where.max()) >= len(shards):
        raise corrupt(
            file,
            "F-29",
            "an extent lies in a shard that does not exist",
            expected=f"below {len(shards)}",
            found=int(where.max()),
        )
    limits = shards.lengths[where].astype(np.uint64)
    if ((offsets > limits) | (lengths > limits - np.minimum(offsets, limits))).any():
        raise corrupt(file, "F-29", "an extent ends beyond its shard")
    if not lengths.all():
        raise corrupt(file, "F-27", "an extent is empty")
    order = np.lexsort((offsets, where))
    where, offsets, lengths = where[order], offsets[order], lengths[order]
    small = np.array([dtypes.alignment(name) for name in tensors.dtypes], dtype=np.uint64)
    owners = np.repeat(tensors.dtype_numbers, tensors.extent_counts)[order]
    align = placement.alignment(lengths, small[owners] if len(small) else lengths)
    first = np.ones(len(where), dtype=bool)
    first[1:] = where[1:] != where[:-1]
    before = np.zeros(len(where), dtype=np.uint64)
    before[1:] = (offsets + lengths)[:-1]
    before[first] = 0
    wanted = (before + align - np.uint64(1)) // align * align
    wrong = np.flatnonzero(wanted != offsets)
    if wrong.size:
        raise corrupt(
            file,
            "F-29",
            f"an extent of shard {int(where[wrong[0]])} is out of place",
            expected=f"offset {int(wanted[wrong[0]])}",
            found=int(offsets[wrong[0]]),
        )
    last = np.append(first[1:], True)[: len(where)]
    ends = np.zeros(len(shards), dtype=np.uint64)
    ends[where[last]] = (offsets + lengths)[last]
    if (ends != shards.lengths).any():
        raise corrupt(file, "F-29", "a shard does not end with its last extent")
    _check_own_chunks(where, offsets, lengths, shards, file)


def _check_own_chunks(
    where: Column, offsets: Column, lengths: Column, shards: ShardTable, file: str
) -> None:
    """Check that large extents begin and end at the edge of a chunk (F-31)."""
    large = lengths >= OWN_CHUNKS
    begin = shards.edges[shards.first_chunks[where[large]]] + offsets[large].astype(np.int64)
    for place in (begin, begin + lengths[large].astype(np.int64)):
        if (shards.edges[np.searchsorted(shards.edges, place)] != place).any():
            raise corrupt(file, "F-31", "a large extent does not lie in chunks of its own")
