"""Where each tensor goes: shards and offsets, planned before the first byte is written (F-29)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.dtypes import UNSIZED, alignment, dtype_name, item_size
from checkpointable.format.limits import ALIGNMENT, MOST_SHARDS
from checkpointable.format.records import Blob
from checkpointable.format.tables import TensorTable

#: What is written as a tensor of its own.
Tensor = npt.NDArray[Any] | Blob


@attrs.frozen(eq=False)
class ShardLayout:
    """The tensors that have bytes in one shard.

    Attributes:
        tensors: their numbers, in the order of their bytes.
        offsets: where each begins, in bytes.
        lengths: the bytes of each.
    """

    tensors: list[int] = attrs.field(factory=list)
    offsets: list[int] = attrs.field(factory=list)
    lengths: list[int] = attrs.field(factory=list)

    @property
    def length(self) -> int:
        """The bytes of the shard."""
        return self.offsets[-1] + self.lengths[-1]


@attrs.frozen(eq=False)
class Layout:
    """The plan of a save: what the index will say of the tensors, and the shards to write."""

    table: TensorTable
    shards: list[ShardLayout]


@attrs.frozen(slots=True)
class _Dtype:
    number: int
    item_size: int
    alignment: int


def plan_layout(tensors: Sequence[Tensor], max_shard_bytes: int | None) -> Layout:
    """Plan the shards of a checkpoint: tensors in order, a new shard before one grows too large.

    Raises:
        NotCheckpointableError: an array has a dtype that cannot be stored.
        ValueError: there would be more than 99,999 shards.
    """
    names: dict[str, int] = {}
    known: dict[Any, _Dtype] = {}
    numbers: list[int] = []
    shards: list[ShardLayout] = []
    end = 0
    for i, tensor in enumerate(tensors):
        dtype = known.get(tensor.dtype)
        if dtype is None:
            dtype = known[tensor.dtype] = _describe(tensor.dtype, names)
        numbers.append(dtype.number)
        length = len(tensor.data) if isinstance(tensor, Blob) else tensor.nbytes
        if not length:
            continue
        align = ALIGNMENT if length >= ALIGNMENT else dtype.alignment
        offset = -(-end // align) * align
        if not shards or (max_shard_bytes is not None and offset + length > max_shard_bytes):
            shards.append(ShardLayout())
            offset = 0
        shard = shards[-1]
        shard.tensors.append(i)
        shard.offsets.append(offset)
        shard.lengths.append(length)
        end = offset + length
    if len(shards) > MOST_SHARDS:
        raise ValueError(
            f"max_shard_bytes={max_shard_bytes} gives {len(shards)} shards, expected at most"
            f" {MOST_SHARDS}. Choose larger shards."
        )
    return Layout(_table(tensors, list(names), numbers, shards), shards)


def _describe(dtype: np.dtype[Any] | str, names: dict[str, int]) -> _Dtype:
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    number = names.setdefault(name, len(names))
    return _Dtype(number, 0 if name in UNSIZED else item_size(name), alignment(name))


def _table(
    tensors: Sequence[Tensor], names: list[str], numbers: list[int], shards: list[ShardLayout]
) -> TensorTable:
    """Return what the index says of the tensors."""
    shapes = [tensor.shape for tensor in tensors]
    has_extent = np.zeros(len(tensors), dtype=np.uint32)
    for shard in shards:
        has_extent[shard.tensors] = 1
    nothing = np.zeros(0, dtype=np.uint64)
    return TensorTable(
        dtypes=names,
        dtype_numbers=np.array(numbers, dtype=np.uint32),
        ranks=np.array([len(shape) for shape in shapes], dtype=np.uint8),
        dims=np.array([dim for shape in shapes for dim in shape], dtype=np.uint64),
        extent_counts=has_extent,
        extent_shards=np.repeat(
            np.arange(len(shards), dtype=np.uint32), [len(shard.tensors) for shard in shards]
        ),
        extent_offsets=np.array([o for shard in shards for o in shard.offsets], dtype=np.uint64),
        extent_lengths=np.array([n for shard in shards for n in shard.lengths], dtype=np.uint64),
        extent_starts=nothing,
        extent_shapes=nothing,
    )
