"""Partitioned variables: one large tensor as several Variables, saved and restored as one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from checkpointable.session.graph import get_default_graph
from checkpointable.trackable.base import Variable
from checkpointable.trackable.initializers import Initializer, Shape, initial_shape, is_constant
from checkpointable.trackable.owned import overwrite, pattern
from checkpointable.trackable.save_slice import SaveSlice

#: Where a part begins, and its shape.
_Box: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


class VariablePart(Variable):
    """A Variable that is a part of a larger tensor.

    Name-based savers write it as a slice of that tensor. For all else it is a Variable.

    Args:
        save_slice: which part it is; without one it is like any other Variable. The others are
            those of a Variable.

    Raises:
        ValueError: the part does not lie within the whole tensor.
    """

    __slots__ = ("_save_slice",)

    def __init__(
        self,
        initial_value: npt.ArrayLike | Callable[[], npt.ArrayLike] | None = None,
        dtype: npt.DTypeLike | None = None,
        *,
        shape: Shape | None = None,
        name: str | None = None,
        trainable: bool = True,
        device: str | None = None,
        save_slice: SaveSlice | None = None,
    ) -> None:
        if save_slice is not None and shape is not None:
            save_slice.check_part(pattern(shape, dtype).shape)
        super().__init__(
            initial_value, dtype, shape=shape, name=name, trainable=trainable, device=device
        )
        if save_slice is not None:
            save_slice.check_part(self.shape)
        self._save_slice = save_slice

    @property
    def save_slice(self) -> SaveSlice | None:
        """Which part of a larger tensor it is."""
        return self._save_slice


def partitioned_variables(
    shape: Shape,
    slicing: Sequence[int],
    initializer: Initializer = "zeros",
    dtype: npt.DTypeLike = np.float32,
    *,
    name: str,
    trainable: bool = True,
) -> list[Variable]:
    """Make the Variables that together are one tensor, cut along one dimension.

    Give the list to a `Saver`, alone or under a name: it writes one tensor, each part as a slice
    of it, and restores into any other slicing, or into one whole Variable. In an object graph each
    part is a Variable of its own.

    In a graph the parts are recorded like other Variables, under names made unique.

    Args:
        shape: the shape of the whole tensor.
        slicing: into how many parts each dimension is cut; more than 1 for one of them at most.
            Where the size is no multiple, the first parts are larger by one.
        initializer: `None` or "zeros", "ones", an array-like of the whole shape, or a callable of
            shape and dtype, which is called for each part with the shape of that.
        dtype: their dtype.
        name: the name of the whole tensor. The parts are called `NAME/part_0`, `NAME/part_1` ...
        trainable: a mark for optimizers.

    Returns:
        the Variables, in order. The `save_slice` of each says which part it is.

    Raises:
        NotCheckpointableError: values of this dtype cannot be stored.
        RuntimeError: the graph is finalized.
        TypeError: `slicing` holds no integers, the name is no text, or the initializer is of
            another kind than the dtype.
        ValueError: `slicing` does not fit the shape, or cuts more than one dimension; the
            initializer has another shape, or is an unknown word; the name is empty or ends with /.

    Example:
        >>> parts = partitioned_variables((5, 2), (2, 1), "ones", name="embedding")
        >>> [(part.name, part.shape, part.save_slice.offset) for part in parts]
        [('embedding/part_0', (3, 2), (0, 0)), ('embedding/part_1', (2, 2), (3, 0))]
    """
    _check_name(name)
    whole = pattern(shape, dtype)
    boxes = list(_cut(whole.shape, _counts(whole.shape, slicing)))
    initializers = _initializers(whole, boxes, initializer, name)
    graph = get_default_graph()
    with nullcontext(f"{name}/") if graph is None else graph.name_scope(name) as scope:
        parts: list[Variable] = []
        for number, (offset, size) in enumerate(boxes):
            part = VariablePart(
                shape=size,
                dtype=whole.dtype,
                name=f"{'' if graph else scope}part_{number}",
                trainable=trainable,
                save_slice=SaveSlice(scope[:-1], whole.shape, offset),
            )
            part.initialize_with(initializers[number])
            parts.append(part)
    return parts


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}, expected the name of the whole tensor")
    if not name or name.endswith("/"):
        raise ValueError(f"name is {name!r}, expected a name that does not end with '/'")


def _counts(shape: tuple[int, ...], slicing: Sequence[int]) -> tuple[int, ...]:
    """Return into how many parts each dimension is cut, checked."""
    try:
        counts = tuple(operator.index(count) for count in slicing)
    except TypeError:
        raise TypeError(f"slicing is {slicing!r}, expected a tuple of integers") from None
    if len(counts) != len(shape):
        raise ValueError(f"slicing is {counts}, expected one number for each size of {shape}")
    for count, size in zip(counts, shape, strict=True):
        if not 1 <= count <= max(size, 1):
            raise ValueError(
                f"slicing is {counts}: a size of {size} (shape {shape}) is cut into 1 to"
                f" {max(size, 1)} parts, not {count}"
            )
    if sum(count > 1 for count in counts) > 1:
        raise ValueError(f"slicing is {counts}, expected one number above 1 at most")
    return counts


def _cut(shape: tuple[int, ...], counts: tuple[int, ...]) -> Iterator[_Box]:
    """Yield the parts of a tensor that is cut along one dimension, the larger ones first."""
    cut = next((axis for axis, count in enumerate(counts) if count > 1), None)
    if cut is None:
        yield (0,) * len(shape), shape
        return
    each, larger = divmod(shape[cut], counts[cut])
    start = 0
    for number in range(counts[cut]):
        size = each + (number < larger)
        before, after = shape[:cut], shape[cut + 1 :]
        yield (0,) * cut + (start,) + (0,) * len(after), (*before, size, *after)
        start += size


def _initializers(
    whole: npt.NDArray[Any], boxes: Sequence[_Box], initializer: Initializer, name: str
) -> list[Initializer]:
    """Return the initializer of each part; an array is cut."""
    initial_shape(whole.shape, initializer)
    if not is_constant(initializer):
        return [initializer] * len(boxes)
    array = np.empty(whole.shape, whole.dtype)
    overwrite(array, cast(npt.ArrayLike, initializer), f"the partitioned variable {name!r}")
    return [array[tuple(map(slice, offset, np.add(offset, size)))] for offset, size in boxes]
