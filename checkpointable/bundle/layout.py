"""Where each tensor goes: shards and offsets, planned before the first byte is written (F-29)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.dtypes import UNSIZED, alignment, dtype_name, item_size
from checkpointable.format.limits import ALIGNMENT, MOST_SHARDS
from checkpointable.format.records import Blob, Divided, Streamed
from checkpointable.format.tables import Placement, TensorTable

#: What is written in one place: a tensor, or a slice of one. Packed, what is divided is in one too.
Piece = npt.NDArray[Any] | Blob | Divided | Streamed
Tensor = Piece


@attrs.frozen(eq=False)
class ShardLayout:
    """The pieces that have bytes in one shard.

    Attributes:
        pieces: their numbers, in the order of their bytes.
        offsets: where each begins, in bytes.
        lengths: the bytes of each.
    """

    pieces: list[int] = attrs.field(factory=list)
    offsets: list[int] = attrs.field(factory=list)
    lengths: list[int] = attrs.field(factory=list)

    @property
    def length(self) -> int:
        """The bytes of the shard."""
        return self.offsets[-1] + self.lengths[-1]


@attrs.frozen(eq=False)
class Layout:
    """The plan of a save.

    Attributes:
        table: what the index will say of the tensors.
        pieces: the tensors, and the slices of those that are divided, in their order.
        shards: where the pieces go.
    """

    table: TensorTable
    pieces: Sequence[Piece]
    shards: list[ShardLayout]


@attrs.frozen(slots=True)
class _Dtype:
    number: int
    item_size: int
    alignment: int


def plan_layout(
    tensors: Sequence[Tensor],
    max_shard_bytes: int | None,
    groups: Sequence[int] = (),
    placement: Placement = Placement.ALIGNED,
) -> Layout:
    """Plan the shards of a checkpoint: pieces in order, a new shard before one grows too large.

    Packed, those of the largest items come first, so that each lies at a multiple of its own.

    Args:
        tensors: what is written.
        max_shard_bytes: how large a shard may grow.
        groups: for each piece a number; pieces of different numbers share no shard. By default
            all may.
        placement: how the pieces of a shard follow one another.

    Raises:
        NotCheckpointableError: an array has a dtype that cannot be stored.
        ValueError: there would be more than 99,999 shards.
    """
    is_packed = placement is Placement.PACKED
    pieces = tensors if is_packed else _pieces(tensors)
    names: dict[str, int] = {}
    known: dict[Any, _Dtype] = {}
    numbers = [0] * len(pieces)
    shards: list[ShardLayout] = []
    growing: dict[int, ShardLayout] = {}
    ends: dict[int, int] = {}
    for i in _by_item_size(pieces) if is_packed else range(len(pieces)):
        piece = pieces[i]
        dtype = known.get(piece.dtype)
        if dtype is None:
            dtype = known[piece.dtype] = _describe(piece.dtype, names)
        numbers[i] = dtype.number
        length = len(piece.data) if isinstance(piece, Blob) else piece.nbytes
        if not length:
            continue
        align = 1 if is_packed else ALIGNMENT if length >= ALIGNMENT else dtype.alignment
        group = groups[i] if groups else 0
        shard = growing.get(group)
        offset = -(-ends.get(group, 0) // align) * align
        if shard is None or (max_shard_bytes is not None and offset + length > max_shard_bytes):
            shard = growing[group] = ShardLayout()
            shards.append(shard)
            offset = 0
        shard.pieces.append(i)
        shard.offsets.append(offset)
        shard.lengths.append(length)
        ends[group] = offset + length
    if len(shards) > MOST_SHARDS:
        raise ValueError(
            f"max_shard_bytes={max_shard_bytes} gives {len(shards)} shards, expected at most"
            f" {MOST_SHARDS}. Choose larger shards."
        )
    divided = [] if is_packed else [t for t in tensors if isinstance(t, Divided)]
    return Layout(_table(tensors, list(names), numbers, shards, divided), pieces, shards)


def _by_item_size(pieces: Sequence[Piece]) -> list[int]:
    """Return the numbers of pieces, those of the largest items first."""
    sizes = [1 if isinstance(piece, Blob) else piece.dtype.itemsize for piece in pieces]
    return sorted(range(len(pieces)), key=sizes.__getitem__, reverse=True)


def _pieces(tensors: Sequence[Tensor]) -> Sequence[Piece]:
    """Return the tensors, each that is divided replaced by its slices."""
    found: list[Piece] = []
    for tensor in tensors:
        if isinstance(tensor, Divided):
            found.extend(tensor.slices)
        else:
            found.append(tensor)
    return found


def _describe(dtype: np.dtype[Any] | str, names: dict[str, int]) -> _Dtype:
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    number = names.setdefault(name, len(names))
    return _Dtype(number, 0 if name in UNSIZED else item_size(name), alignment(name))


def _table(
    tensors: Sequence[Tensor],
    names: list[str],
    numbers: list[int],
    shards: list[ShardLayout],
    divided: Sequence[Divided],
) -> TensorTable:
    """Return what the index says of the tensors; `numbers` has the dtype of every piece."""
    shapes = [tensor.shape for tensor in tensors]
    counts = np.ones(len(tensors), dtype=np.int64)
    if divided:
        counts[:] = [len(t.slices) if isinstance(t, Divided) else 1 for t in tensors]
    firsts = np.cumsum(counts) - counts
    order = np.argsort([piece for shard in shards for piece in shard.pieces])
    has_bytes = np.zeros(len(numbers), dtype=np.uint32)
    for shard in shards:
        has_bytes[shard.pieces] = 1
    return TensorTable(
        dtypes=names,
        dtype_numbers=np.array(numbers, dtype=np.uint32)[firsts],
        ranks=np.array([len(shape) for shape in shapes], dtype=np.uint8),
        dims=np.array([dim for shape in shapes for dim in shape], dtype=np.uint64),
        extent_counts=np.add.reduceat(has_bytes, firsts) if len(tensors) else has_bytes,
        extent_shards=np.repeat(
            np.arange(len(shards), dtype=np.uint32), [len(shard.pieces) for shard in shards]
        )[order],
        extent_offsets=_column([o for shard in shards for o in shard.offsets])[order],
        extent_lengths=_column([n for shard in shards for n in shard.lengths])[order],
        extent_starts=_column([n for t in divided for start in t.starts for n in start]),
        extent_shapes=_column([n for t in divided for part in t.slices for n in part.shape]),
    )


def _column(numbers: Sequence[int]) -> npt.NDArray[Any]:
    return np.array(numbers, dtype=np.uint64)
