"""What the tensors of a bundle mean: object graph or names, and which is text (T-12 to T-14)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from checkpointable.format.dtypes import STRING
from checkpointable.format.frame import corrupt
from checkpointable.format.records import ObjectGraph, TensorInfo
from checkpointable.format.source import Unclear
from checkpointable.interop.tensorflow.annotations import (
    ANNOTATIONS_KEY,
    Annotations,
    decode_annotations,
)
from checkpointable.interop.tensorflow.dtypes import STRING_NUMBER
from checkpointable.interop.tensorflow.graph import GRAPH_KEY, read_graph
from checkpointable.interop.tensorflow.opening import OpenIndex

Names = Mapping[str, tuple[int, ...]]


@attrs.frozen(eq=False)
class Meaning:
    """What the tensors of a bundle mean.

    Attributes:
        names: the numbers of the tensors by their global names.
        graph: the object graph; `None` if the tensors have names only.
        unclear: what in the graph cannot be interpreted.
        dtypes: the dtypes of tensors that are stored as strings and mean something else.
        texts: the numbers of the tensors whose strings are str.
        metadata: the user's metadata.
    """

    names: Names
    graph: ObjectGraph | None = None
    unclear: Sequence[Unclear] = ()
    dtypes: Mapping[int, str] = attrs.field(factory=dict)
    texts: Collection[int] = frozenset()
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


def read_meaning(index: OpenIndex) -> Meaning:
    """Read the object graph of an open bundle, and the annotations, where they are there.

    Raises:
        CorruptCheckpointError: they are damaged.
        UnsupportedFormatError: a newer version of this library wrote the annotations.
        MissingDependencyError: a package that it takes is not installed.
        StorageError: the storage failed.
    """
    tensors, path = index.tensors, index.index_path
    stored = _scalar_string(index, ANNOTATIONS_KEY)
    notes = None if stored is None else decode_annotations(stored, path)
    message = _scalar_string(index, GRAPH_KEY)
    if message is None:
        return _names_only(tensors.keys, tensors.infos, notes, path)
    found = read_graph(message, tensors.keys, tensors.infos, path, notes)
    return Meaning(
        names=found.graph.global_names(),
        graph=found.graph,
        unclear=found.unclear,
        dtypes=found.tensor_dtypes,
        texts=found.texts,
        metadata=found.metadata,
    )


def _names_only(
    keys: Mapping[str, int],
    infos: Sequence[TensorInfo],
    notes: Annotations | None,
    path: str,
) -> Meaning:
    """Return the meaning of tensors that have names only."""
    names = {key: (number,) for key, number in keys.items() if key != ANNOTATIONS_KEY}
    if notes is None:
        return Meaning(names)
    for key in notes.texts:
        if key not in names or infos[keys[key]].dtype != STRING:
            raise corrupt(path, "T-14", f"{key[:80]!r} is annotated as text and holds no strings")
    texts = frozenset(keys[key] for key in notes.texts)
    return Meaning(names, texts=texts, metadata=notes.metadata)


def _scalar_string(index: OpenIndex, key: str) -> bytes | None:
    """Return the string under a key; `None` if the key is not there."""
    number = index.tensors.keys.get(key)
    if number is None:
        return None
    entry = index.tensors.entries[number]
    kind = index.data.entries.kinds[entry]
    if kind.number != STRING_NUMBER or kind.info.shape or index.tensors.is_divided(number):
        raise corrupt(
            index.index_path,
            "T-12",
            f"{key} is no scalar string",
            expected="dtype string, shape ()",
            found=f"dtype {kind.info.dtype}, shape {kind.info.shape}",
        )
    return index.data.read_items(entry)[0]
