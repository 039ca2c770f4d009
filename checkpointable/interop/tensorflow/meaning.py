"""What the tensors of a bundle mean: object graph or names, and which is text (T-12 to T-14)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

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
from checkpointable.interop.tensorflow.tensors import Tensors
from checkpointable.names import PY_STATE

Names = Mapping[str, tuple[int, ...]]

#: What the graph calls a string that is the state of a Python object.
_STATE: Final = PY_STATE.encode()


@attrs.frozen(eq=False)
class Meaning:
    """What the tensors of a bundle mean.

    Attributes:
        names: the numbers of the tensors by their global names.
        graph: the object graph; `None` if the tensors have names only.
        unclear: what in the graph cannot be interpreted.
        dtypes: the dtypes of tensors that are stored as strings and mean something else.
        texts: the numbers of the tensors whose strings are str.
        empty: the numbers of the tensors that hold `None` or an empty container.
        metadata: the user's metadata.
    """

    names: Names
    graph: ObjectGraph | None = None
    unclear: Sequence[Unclear] = ()
    dtypes: Mapping[int, str] = attrs.field(factory=dict)
    texts: Collection[int] = frozenset()
    empty: Collection[int] = frozenset()
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Words:
    """What a bundle says of its tensors, verified, not yet understood.

    Attributes:
        graph: the message of the object graph, if there is one.
        notes: the annotations, if there are any.
    """

    graph: bytes | None
    notes: Annotations | None

    @property
    def tell_dtypes(self) -> bool:
        """Whether a tensor may mean something else than its dtype says."""
        return self.notes is not None or (self.graph is not None and _STATE in self.graph)


def read_words(index: OpenIndex) -> Words:
    """Read the object graph and the annotations of an open bundle, where they are there.

    Raises:
        CorruptCheckpointError: they are damaged.
        UnsupportedFormatError: a newer version of this library wrote the annotations.
        StorageError: the storage failed.
    """
    stored = _scalar_string(index, ANNOTATIONS_KEY)
    notes = None if stored is None else decode_annotations(stored, index.index_path)
    return Words(_scalar_string(index, GRAPH_KEY), notes)


def understand(words: Words, tensors: Tensors, path: str) -> Meaning:
    """Return what words mean: of a graph of many nodes, that takes longer than all the rest.

    Args:
        words: what the bundle says.
        tensors: its tensors.
        path: the file of the index, for messages.

    Raises:
        CorruptCheckpointError: the graph is damaged, or the annotations do not fit.
        MissingDependencyError: the package protobuf is not installed.
    """
    if words.graph is None:
        return _names_only(tensors.keys, tensors.infos, words.notes, path)
    found = read_graph(words.graph, tensors.keys, tensors.infos, path, words.notes)
    return Meaning(
        names=found.graph.global_names(),
        graph=found.graph,
        unclear=found.unclear,
        dtypes=found.tensor_dtypes,
        texts=found.texts,
        empty=found.empty,
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
