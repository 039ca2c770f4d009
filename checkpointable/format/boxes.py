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
        starts: one row per extent, one column per dimension.
        shapes: as `starts`.
    """

    tensor: int
    starts: Column
    shapes: Column


@attrs.frozen(eq=False)
class _Rows:
    """The boxes of all divided tensors, flat.

    Attributes:
        tensors: the numbers of the divided tensors.
        begins: where the extents of each begin among all extents of divided tensors.
        owners: per such extent, the position of its tensor in `tensors`.
        extents: per such extent, its number.
        edges: where the dimensions of each such extent begin, and where the last ones end.
        dims: per dimension of such an extent, that of its tensor.
    """

    tensors: Column
    begins: Column
    owners: Column
    extents: Column
    edges: Column
    dims: Column


def divided(tensors: TensorTable) -> Iterator[Boxes]:
    """Yield the boxes of every tensor that has several extents, in order."""
    if not (tensors.extent_counts > 1).any():
        return
    rows = _rows(tensors)
    yield from (_boxes(tensors, rows, i) for i in range(len(rows.tensors)))


def check_boxes(tensors: TensorTable, file: str) -> None:
    """Check that the extents of every divided tensor are boxes that fill it (F-28).

    The lengths of the extents must have been checked against the shards, so that no sum overflows.
    """
    several = tensors.extent_counts > 1
    ranks = tensors.ranks[several].astype(np.int64)
    wanted = int((tensors.extent_counts[several] * ranks).sum())
    if len(tensors.extent_starts) != wanted or len(tensors.extent_shapes) != wanted:
        raise corrupt(
            file,
            "F-28",
            "the dimensions of the extents do not sum up",
            expected=wanted,
            found=len(tensors.extent_starts),
        )
    if not wanted:
        return
    rows = _rows(tensors)
    _check_sizes(tensors, rows, file)
    budget = MOST_BOX_PAIRS
    for i in np.flatnonzero(~_are_stacked(tensors, rows)).tolist():
        budget -= _check_overlap(_boxes(tensors, rows, i), budget, file)


def _rows(tensors: TensorTable) -> _Rows:
    counts = tensors.extent_counts.astype(np.int64)
    ranks = tensors.ranks.astype(np.int64)
    first_extents, first_dims = np.cumsum(counts) - counts, np.cumsum(ranks) - ranks
    which = np.flatnonzero(counts > 1)
    begins = np.cumsum(counts[which]) - counts[which]
    owners = np.repeat(np.arange(len(which)), counts[which])
    row_ranks = ranks[which][owners]
    edges = np.concatenate([[0], np.cumsum(row_ranks)])
    shift = np.repeat(first_dims[which][owners] - edges[:-1], row_ranks)
    return _Rows(
        tensors=which,
        begins=begins,
        owners=owners,
        extents=np.arange(len(owners)) + (first_extents[which] - begins)[owners],
        edges=edges,
        dims=tensors.dims[np.arange(edges[-1]) + shift],
    )


def _boxes(tensors: TensorTable, rows: _Rows, i: int) -> Boxes:
    """Return the boxes of one divided tensor."""
    tensor = int(rows.tensors[i])
    shape = (int(tensors.extent_counts[tensor]), int(tensors.ranks[tensor]))
    start = int(rows.edges[rows.begins[i]])
    part = slice(start, start + math.prod(shape))
    return Boxes(
        tensor,
        tensors.extent_starts[part].reshape(shape),
        tensors.extent_shapes[part].reshape(shape),
    )


def _check_sizes(tensors: TensorTable, rows: _Rows, file: str) -> None:
    """Check that each box lies inside its tensor, has the right length, and that they sum up."""
    starts, shapes, dims = tensors.extent_starts, tensors.extent_shapes, rows.dims
    inside = (shapes > 0) & (starts < dims) & (shapes <= dims - np.minimum(starts, dims))
    if not inside.all():
        raise corrupt(file, "F-28", "an extent lies outside of its tensor, or is empty")
    sizes = np.multiply.reduceat(shapes, rows.edges[:-1])
    items = tensors.item_sizes[rows.tensors].astype(np.uint64)
    if (sizes * items[rows.owners] != tensors.extent_lengths[rows.extents]).any():
        raise corrupt(file, "F-28", "an extent has a wrong length for its shape")
    found = np.add.reduceat(sizes, rows.begins)
    # The dimensions of a tensor stand before each of its extents; those of the first will do.
    wanted = np.multiply.reduceat(dims, rows.edges[:-1])[rows.begins]
    wrong = np.flatnonzero(found != wanted)
    if wrong.size:
        raise corrupt(
            file,
            "F-28",
            f"the extents of tensor {int(rows.tensors[wrong[0]])} do not fill it",
            expected=f"{int(wanted[wrong[0]])} elements",
            found=int(found[wrong[0]]),
        )


def _are_stacked(tensors: TensorTable, rows: _Rows) -> Column:
    """Tell of each divided tensor whether its extents are whole rows, one after the other.

    They are then sorted and cannot overlap; most tensors are divided in this way.
    """
    firsts = rows.edges[:-1]
    whole = tensors.extent_shapes == rows.dims
    whole[firsts] = True
    stacked = np.logical_and.reduceat(whole, firsts)
    begin = tensors.extent_starts[firsts]
    end = begin + tensors.extent_shapes[firsts]
    follows = begin[1:] == end[:-1]
    stacked[1:] &= follows | (rows.owners[1:] != rows.owners[:-1])
    return np.logical_and.reduceat(stacked, rows.begins)


def _check_overlap(boxes: Boxes, budget: int, file: str) -> int:
    """Check that boxes are sorted and that no two overlap; return how many pairs were compared."""
    if (np.lexsort(boxes.starts.T[::-1]) != np.arange(len(boxes.starts))).any():
        raise corrupt(file, "F-28", f"the extents of tensor {boxes.tensor} are not sorted")
    pairs, overlap = find_overlap(boxes.starts, boxes.starts + boxes.shapes, budget)
    if pairs > budget:
        raise UnsupportedFormatError(
            f"{file}: tensor {boxes.tensor} lies in {len(boxes.starts)} pieces, and seeing that no"
            f" two overlap takes {pairs} comparisons, expected at most {budget} (F-28 of"
            " docs/format.md). Save it in fewer pieces."
        )
    if overlap:
        raise corrupt(file, "F-28", f"two extents of tensor {boxes.tensor} overlap")
    return pairs


def find_overlap(starts: Column, ends: Column, budget: int) -> tuple[int, bool]:
    """Return how many pairs of boxes must be compared, and whether two of them overlap.

    Only those are compared that could overlap along the dimension that separates them best; none
    if they are more than the budget.

    Args:
        starts: one row per box, one column per dimension; at least one of each.
        ends: as `starts`.
        budget: how many pairs may be compared.
    """
    distinct = [len(np.unique(column)) for column in starts.T]
    axis = int(np.argmax(distinct))
    order = np.argsort(starts[:, axis], kind="stable")
    starts, ends = starts[order], ends[order]
    candidates = np.searchsorted(starts[:, axis], ends[:, axis]) - np.arange(len(starts)) - 1
    pairs = int(candidates.sum())
    if pairs > budget:
        return pairs, False
    for i in np.flatnonzero(candidates).tolist():
        others = slice(i + 1, i + 1 + int(candidates[i]))
        if ((starts[others] < ends[i]) & (starts[i] < ends[others])).all(axis=1).any():
            return pairs, True
    return pairs, False
