"""An open checkpoint as a snapshot: what a save writes of it, in any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import BYTES, PYTHON, STRING, UNSIZED
from checkpointable.format.limits import LONGEST_INLINE
from checkpointable.format.records import (
    NOTHING,
    AttributeKind,
    Blob,
    ObjectGraph,
    Snapshot,
    Streamed,
)
from checkpointable.format.source import CheckpointSource
from checkpointable.format.strings import encode_strings
from checkpointable.format.values import encode_value
from checkpointable.graph.named import named_snapshot
from checkpointable.graph.numbering import breadth_first
from checkpointable.graph.streaming import Count, streamed
from checkpointable.names import check_local_name, shorten


@attrs.frozen(eq=False)
class Transfer:
    """What is to be written of an open checkpoint.

    Attributes:
        snapshot: the graph and the values. Tensors of fixed item size are read from the
            checkpoint while they are written, so it must stay open.
        read: how many bytes of other values were read.
        length: how many bytes there are in all.
        values: the numbers of the values, in the checkpoint, that it holds.
    """

    snapshot: Snapshot
    read: int
    length: int
    values: frozenset[int]


def stored_snapshot(
    source: CheckpointSource, metadata: Mapping[str, Any] | None, count: Count
) -> Transfer:
    """Return what a save writes of an open checkpoint.

    Plain values, strings and opaque bytes are read now; all else while it is written.

    Args:
        source: the checkpoint.
        metadata: stored instead of those of the checkpoint; `None`: those of the checkpoint.
        count: as in `streamed`.

    Raises:
        NotCheckpointableError: a name in it is no text, or too long.
        CorruptCheckpointError: a value is damaged.
        MissingDependencyError: a dtype needs a package that is not installed.
    """
    kept = source.metadata if metadata is None else metadata
    if source.graph is None:
        names = {name: numbers[0] for name, numbers in source.names.items()}
        _check_names(source, names)
        tensors = _tensors(source, list(names.values()), count)
        snapshot = named_snapshot(dict(zip(names, tensors, strict=True)), kept)
        return _transfer(snapshot, names.values())
    graph = breadth_first(source.graph)
    _check_local_names(source, graph)
    snapshot = _graph_snapshot(source, graph, kept, count)
    return _transfer(snapshot, graph.attribute_values.tolist())


def _graph_snapshot(
    source: CheckpointSource, graph: ObjectGraph, metadata: Mapping[str, Any], count: Count
) -> Snapshot:
    """Return the snapshot of an object-based checkpoint; values are numbered by attribute."""
    python = (graph.attribute_kinds == AttributeKind.PYTHON).tolist()
    values = graph.attribute_values.tolist()
    encoded = {
        i: encode_value(source.value(value))
        for i, (value, is_plain) in enumerate(zip(values, python, strict=True))
        if is_plain
    }
    inline = {i: data for i, data in encoded.items() if len(data) <= LONGEST_INLINE}
    large = [i for i in range(len(values)) if i not in inline]
    given = _tensors(source, [values[i] for i in large if i not in encoded], count)
    given.reverse()
    tensors = [Blob(PYTHON, (), encoded[i]) if i in encoded else given.pop() for i in large]
    numbers = np.zeros(len(values), np.uint32)
    numbers[large] = np.arange(len(large))
    numbers[list(inline)] = np.arange(len(large), len(values))
    renumbered = attrs.evolve(graph, attribute_values=numbers)
    return Snapshot(renumbered, tensors, list(inline.values()), dict(metadata))


def _tensors(
    source: CheckpointSource, numbers: Sequence[int], count: Count
) -> list[Streamed | Blob]:
    """Return tensors of the source: those of fixed item size streamed, the others read now."""
    sized = [number for number in numbers if source.tensors[number].dtype not in UNSIZED]
    later = streamed(source, sized, count)
    return [later[n] if n in later else _blob(source, n) for n in numbers]


def _blob(source: CheckpointSource, number: int) -> Blob:
    dtype = source.tensors[number].dtype
    if dtype == STRING:
        return encode_strings(source.read(number))
    value = source.value(number)
    return Blob(dtype, (), bytes(value) if dtype == BYTES else encode_value(value))


def _transfer(snapshot: Snapshot, values: Any) -> Transfer:
    read = sum(len(tensor.data) for tensor in snapshot.tensors if isinstance(tensor, Blob))
    read += sum(map(len, snapshot.inline))
    later = sum(tensor.nbytes for tensor in snapshot.tensors if isinstance(tensor, Streamed))
    return Transfer(snapshot, read, read + later, frozenset(values))


def _check_local_names(source: CheckpointSource, graph: ObjectGraph) -> None:
    """Refuse names that are too long: TensorFlow knows no limit."""
    asked = np.concatenate([graph.child_names, graph.attribute_names, graph.slots[2::4]])
    for number in np.unique(asked[asked != NOTHING]).tolist():
        check_local_name(graph.names[number], source.path)


def _check_names(source: CheckpointSource, names: Mapping[str, int]) -> None:
    """Refuse names that are no text: TensorFlow takes any bytes for one."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise NotCheckpointableError(
                f"{source.path}: holds a tensor under a name that is no text in UTF-8,"
                f" {shorten(name)!a}, which cannot be stored under it. Read it with"
                " load_checkpoint(), and save it under another name.",
                path=name,
            ) from None
