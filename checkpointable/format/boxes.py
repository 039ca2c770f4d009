"""Tensors in several extents: the boxes must fill the tensor and not overlap (F-28)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import MOST_BOX_PAIRS
from checkpointable.format.records import Column
from checkpointable.format.tables import TensorTable


@attrs.frozen(eq=False)
class Boxes:
    """The extents of one divided tensor.

    Attributes:
        tensor: its number.
        first_extent: the number of its first extent.
        starts: one row per extent, one column per dimension.
        shapes: as `starts`.
    """

    tensor: int
    first_extent: int
    starts: Column
    shapes: Column


def divided(tensors: TensorTable) -> Iterator[Boxes]:
    """Yield the boxes of every tensor that has several extents, in order."""
    first = np.cumsum(tensors.extent_counts, dtype=np.int64) - tensors.extent_counts
    position = 0
    for tensor in np.flatnonzero(tensors.extent_counts > 1).tolist():
        shape = (int(tensors.extent_counts[tensor]), int(tensors.ranks[tensor]))
        part = slice(position, position + math.prod(shape))
        yield Boxes(
            tensor,
            int(first[tensor]),
            tensors.extent_starts[part].reshape(shape),
            tensors.extent_shapes[part].reshape(shape),
        )
        position += math.prod(shape)


def check_boxes(tensors: TensorTable, file: str) -> None:
    """Check that the extents of every divided tensor are boxes that fill it (F-28)."""
    several = tensors.extent_counts > 1
    ranks = tensors.ranks[several].astype(np.uint64)
    wanted = int((tensors.extent_counts[several] * ranks).sum(dtype=np.uint64))
    if len(tensors.extent_starts) != wanted:
        raise corrupt(
            file,
            "F-28",
            "the dimensions of the extents do not sum up",
            expected=wanted,
            found=len(tensors.extent_starts),
        )
    budget = MOST_BOX_PAIRS
    for boxes in divided(tensors):
        budget -= _check_tensor(tensors, boxes, budget, file)


def _check_tensor(tensors: TensorTable, boxes: Boxes, budget: int, file: str) -> int:
    """Check the boxes of one tensor; return how many pairs were compared."""
    shape = np.array(tensors.infos[boxes.tensor].shape, dtype=np.uint64)
    starts, shapes = boxes.starts, boxes.shapes
    inside = (shapes > 0) & (starts < shape) & (shapes <= shape - np.minimum(starts, shape))
    if not inside.all():
        raise corrupt(file, "F-28", f"an extent of tensor {boxes.tensor} lies outside of it")
    sizes = shapes.prod(axis=1, dtype=np.uint64)
    lengths = tensors.extent_lengths[boxes.first_extent : boxes.first_extent + len(starts)]
    item = int(tensors.item_sizes[boxes.tensor])
    if (sizes * np.uint64(item) != lengths).any():
        raise corrupt(
            file, "F-28", f"an extent of tensor {boxes.tensor} has a wrong length for its shape"
        )
    total = int(sizes.astype(object).sum())
    if total != math.prod(shape.tolist()):
        raise corrupt(
            file,
            "F-28",
            f"the extents of tensor {boxes.tensor} do not fill it",
            expected=f"{math.prod(shape.tolist())} elements",
            found=total,
        )
    order = np.lexsort(starts.T[::-1])
    if not np.array_equal(order, np.arange(len(starts))):
        raise corrupt(file, "F-28", f"the extents of tensor {boxes.tensor} are not sorted")
    return _check_overlap(boxes, budget, file)


def _check_overlap(boxes: Boxes, budget: int, file: str) -> int:
    """Compare the boxes that could overlap, along the dimension that separates them best."""
    distinct = [len(np.unique(column)) for column in boxes.starts.T]
    axis = int(np.argmax(distinct))
    order = np.argsort(boxes.starts[:, axis], kind="stable")
    starts, ends = boxes.starts[order], (boxes.starts + boxes.shapes)[order]
    candidates = np.searchsorted(starts[:, axis], ends[:, axis]) - np.arange(len(starts)) - 1
    pairs = int(candidates.sum())
    if pairs > budget:
        raise UnsupportedFormatError(
            f"{file}: tensor {boxes.tensor} lies in {len(starts)} pieces, and seeing that no two"
            f" overlap takes {pairs} comparisons, expected at most {budget} (F-28 of"
            " docs/format.md). Save it in fewer pieces."
        )
    for i in np.flatnonzero(candidates).tolist():
        others = slice(i + 1, i + 1 + int(candidates[i]))
        if ((starts[others] < ends[i]) & (starts[i] < ends[others])).all(axis=1).any():
            raise corrupt(file, "F-28", f"two extents of tensor {boxes.tensor} overlap")
    return pairs
