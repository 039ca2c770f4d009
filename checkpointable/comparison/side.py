"""One side of a comparison: a graph and its values, be they in a checkpoint or in a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.bundle.shards import byte_view
from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.dtypes import (
    BYTES,
    PYTHON,
    UNSIZED,
    dtype_name,
    item_size,
    stored_dtype,
)
from checkpointable.format.frame import digest
from checkpointable.format.name_graph import graph_of_names
from checkpointable.format.records import Blob, ObjectGraph, Snapshot, TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.format.strings import encode_strings
from checkpointable.format.values import encode_value

#: A value in the one form that is compared: a C-contiguous little-endian array, or bytes.
Content = npt.NDArray[Any] | bytes

#: How many bytes of tensors are read together, unless one alone is larger.
_READ_AT_ONCE: Final = 16 << 20


@attrs.frozen(eq=False)
class Side:
    """A graph and its values, by the numbers that its attributes give them.

    Attributes:
        name: how people call it.
        graph: nodes, edges and attributes.
        info: returns dtype and shape of a value; `None` for a plain one.
        contents: yields values themselves, in the order of the numbers. They are read, or looked
            up, as they are asked for, and none is kept that was yielded.
    """

    name: str
    graph: ObjectGraph
    info: Callable[[int], TensorInfo | None]
    contents: Callable[[Iterable[int]], Iterator[Content]]


def graph_of(source: CheckpointSource) -> ObjectGraph:
    """Return the object graph of a checkpoint.

    Raises:
        UnsupportedFormatError: it has none.
    """
    if source.graph is None:
        raise UnsupportedFormatError(
            f"{source.path}: holds named tensors and no object graph, which is expected here. Read"
            " it with load_checkpoint(), or restore it and save it as a graph."
        )
    return source.graph


def stored_side(source: CheckpointSource) -> Side:
    """Return the side of an open checkpoint; names of a name-based one are taken for paths."""
    graph = source.graph
    if graph is None:
        graph = graph_of_names({name: numbers[0] for name, numbers in source.names.items()})
    return Side(
        source.path, graph, partial(_stored_info, source), partial(_stored_contents, source)
    )


def live_side(snapshot: Snapshot, name: str) -> Side:
    """Return the side of live objects: what a save would write at this moment."""
    look_up = partial(_live_content, snapshot)
    return Side(name, snapshot.graph, partial(_live_info, snapshot), partial(map, look_up))


def content_digest(content: Content) -> bytes:
    """Return the digest of a value."""
    return digest(content if isinstance(content, bytes) else byte_view(content))


def _stored_info(source: CheckpointSource, number: int) -> TensorInfo | None:
    return None if source.is_plain(number) else source.tensors[number]


def _stored_contents(source: CheckpointSource, numbers: Iterable[int]) -> Iterator[Content]:
    """Yield stored values; tensors are read many at a time, for a read of each takes long."""
    batch: list[int] = []
    size = 0
    for number in numbers:
        length = _length(source, number)
        if size + length > _READ_AT_ONCE:
            yield from _read_batch(source, batch)
            batch, size = [], 0
        batch.append(number)
        size += length
    yield from _read_batch(source, batch)


def _read_batch(source: CheckpointSource, numbers: Sequence[int]) -> Iterator[Content]:
    sized = [number for number in numbers if _is_sized(source, number)]
    arrays = [source.new_array(number) for number in sized]
    source.read_into(sized, arrays)
    arrays.reverse()
    for number in numbers:
        if _is_sized(source, number):
            yield _as_stored(arrays.pop(), source.tensors[number].dtype)
        else:
            yield _read_unsized(source, number)


def _read_unsized(source: CheckpointSource, number: int) -> bytes:
    info = _stored_info(source, number)
    if info is None:
        return encode_value(source.value(number))
    if info.dtype == BYTES:
        return bytes(source.value(number))
    return bytes(encode_strings(source.read(number)).data)


def _is_sized(source: CheckpointSource, number: int) -> bool:
    return not source.is_plain(number) and source.tensors[number].dtype not in UNSIZED


def _length(source: CheckpointSource, number: int) -> int:
    if not _is_sized(source, number):
        return 0  # It is read by itself.
    info = source.tensors[number]
    return info.size * item_size(info.dtype)


def _live_info(snapshot: Snapshot, number: int) -> TensorInfo | None:
    if number >= len(snapshot.tensors):
        return None
    tensor = snapshot.tensors[number]
    if isinstance(tensor, Blob):
        return None if tensor.dtype == PYTHON else TensorInfo(tensor.dtype, tensor.shape)
    return TensorInfo(dtype_name(tensor.dtype), tensor.shape)


def _live_content(snapshot: Snapshot, number: int) -> Content:
    if number >= len(snapshot.tensors):
        return snapshot.inline[number - len(snapshot.tensors)]
    tensor = snapshot.tensors[number]
    return tensor.data if isinstance(tensor, Blob) else _as_stored(tensor, dtype_name(tensor.dtype))


def _as_stored(array: npt.ArrayLike, dtype: str) -> npt.NDArray[Any]:
    return np.asarray(array, stored_dtype(dtype), order="C")
