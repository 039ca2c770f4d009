"""Name-based checkpoints: arrays under global names, and no object graph (F-45)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.name_graph import table_of_names
from checkpointable.format.records import Blob, Divided, Snapshot, Streamed
from checkpointable.format.strings import encode_strings
from checkpointable.names import MAX_LOCAL_NAME, shorten
from checkpointable.trackable.arrays import array_refusal

Array = npt.NDArray[Any]


def named_snapshot(
    values: Mapping[str, Array | Divided | Streamed | Blob],
    metadata: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Write down what a save of a name-based checkpoint writes.

    Args:
        values: arrays by their names, or what else a snapshot may hold; they are referred to, not
            copied.
        metadata: names and plain values to store beside them.

    Raises:
        NotCheckpointableError: a name or an array cannot be stored.
    """
    tensors = [_tensor(name, value) for name, value in values.items()]
    return Snapshot(table_of_names(values), tensors, [], dict(metadata or {}))


def divided(
    name: str, shape: tuple[int, ...], slices: Sequence[tuple[tuple[int, ...], Array]]
) -> Array | Divided:
    """Return a tensor that is given in slices, such as those of a partitioned variable.

    Args:
        name: how messages call it.
        shape: of the whole.
        slices: for each its first position in every dimension, and its array. They may come in any
            order; those without elements are left out.

    Raises:
        ValueError: they do not fill the whole, overlap, or are of different dtypes.
        NotCheckpointableError: their dtype cannot be divided.
    """
    given = sorted(((s, a) for s, a in slices if a.size), key=lambda pair: pair[0])
    if not given:
        return np.zeros(shape, slices[0][1].dtype if slices else np.float32)
    dtype = given[0][1].dtype
    boxes = [(start, tuple(map(sum, zip(start, a.shape, strict=False)))) for start, a in given]
    for box, (begin, part) in zip(boxes, given, strict=True):
        same_rank = len(begin) == part.ndim == len(shape)
        inside = same_rank and all(0 <= b <= e <= n for b, e, n in zip(*box, shape, strict=True))
        if not inside or part.dtype != dtype:
            raise ValueError(
                f"{name}: a slice of dtype {part.dtype} and shape {part.shape} at {begin} does not"
                f" fit the whole, which has dtype {dtype} and shape {shape}."
            )
    if dtype.kind in "OT":
        raise NotCheckpointableError(
            f"{name}: strings cannot be saved in slices. Save them as one array."
        )
    if _overlap(boxes) or sum(a.size for _, a in given) != int(np.prod(shape, dtype=object)):
        raise ValueError(
            f"{name}: the slices do not fill the whole of shape {shape}, each element once. They"
            f" begin at {', '.join(str(begin) for begin, _ in given[:6])}. Give all of them."
        )
    if len(given) == 1:
        return given[0][1]
    return Divided(shape, dtype, [start for start, _ in given], [a for _, a in given])


def _tensor(
    name: str, value: Array | Divided | Streamed | Blob
) -> Array | Blob | Divided | Streamed:
    """Return an array as it is stored, having checked that it and its name can be."""
    if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_LOCAL_NAME:
        raise NotCheckpointableError(
            f"the name {shorten(name)!r} is empty or too long, expected 1 to {MAX_LOCAL_NAME:,}"
            " bytes. Rename the variable, or give it under another name."
        )
    if isinstance(value, Streamed | Blob):
        return value
    first = value.slices[0] if isinstance(value, Divided) else value
    reason = array_refusal(first)
    if reason is not None:
        raise NotCheckpointableError(f"{shorten(name)}: {reason}.", path=name)
    if not isinstance(value, Divided) and value.dtype.kind in "OT":
        return encode_strings(value)
    return value


def _overlap(boxes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> bool:
    """Tell whether two of some boxes, given by their corners, have an element in common."""
    return any(
        all(max(b, d) < min(e, f) for b, e, d, f in zip(*one, *other, strict=True))
        for i, one in enumerate(boxes)
        for other in boxes[:i]
    )
