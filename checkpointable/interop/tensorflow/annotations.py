"""What TensorFlow's object graph has no words for, kept in a tensor beside it (T-14).

TensorFlow does not look at keys that its graph does not name. A checkpoint of ours in its format
comes back exactly as it was, because of this tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import LONGEST_METADATA, LONGEST_RECORD
from checkpointable.format.record_file import decode_record_file, encode_record_file
from checkpointable.format.records import Column
from checkpointable.format.values import encode_value

#: The key of the annotations among the tensors.
ANNOTATIONS_KEY: Final = "_CHECKPOINTABLE_ANNOTATIONS"

#: What an edge was: under a string or an integer, or at a position of a list or tuple; or the
#: place of an item that was not saved, which the graph does not have, without and with a name.
STRING_KEY, INTEGER_KEY, POSITION, HOLE, NAMED_HOLE = range(5)
#: Added to the kind of an attribute: its strings are str; it is `None` or an empty container.
TEXT, EMPTY = 16, 32

_KIND: Final = "annotation of a TensorFlow checkpoint"
_NAMES: Final = ("metadata", "texts", "graph")


@attrs.frozen(eq=False)
class GraphNotes:
    """What is said of the nodes, edges and attributes of a graph, in their order.

    Attributes:
        kinds: uint8 per node, a `NodeKind`.
        attributes: uint8 per attribute, an `AttributeKind`, perhaps with `TEXT` or `EMPTY`.
        edges: uint8 per edge and hole.
        hole_owners: uint32 per hole, its node.
        label_numbers: uint32 per node, a position in `labels`, or NOTHING.
        labels: the type labels.
        hole_names: of the holes that have names.
    """

    kinds: Column
    attributes: Column
    edges: Column
    hole_owners: Column
    label_numbers: Column
    labels: Sequence[str]
    hole_names: Sequence[str]


@attrs.frozen(eq=False)
class Annotations:
    """All that is said beside a checkpoint.

    Attributes:
        metadata: the user's metadata.
        texts: the names of the tensors of a name-based checkpoint whose strings are str.
        graph: what is said of the object graph; `None` in a name-based checkpoint.
    """

    metadata: Mapping[str, Any]
    texts: Sequence[str] = ()
    graph: GraphNotes | None = None


_COLUMNS: Final = {
    "kinds": "u1",
    "attributes": "u1",
    "edges": "u1",
    "hole_owners": "<u4",
    "label_numbers": "<u4",
}
_TEXTS: Final = ("labels", "hole_names")


def encode_annotations(annotations: Annotations) -> bytes:
    """Return the content of the tensor.

    Raises:
        NotCheckpointableError: the metadata cannot be stored, or it is all too long.
    """
    _check_metadata(annotations.metadata)
    notes = annotations.graph
    graph = None
    if notes is not None:
        columns = {n: getattr(notes, n).astype(dtype).tobytes() for n, dtype in _COLUMNS.items()}
        graph = {**columns, **{name: list(getattr(notes, name)) for name in _TEXTS}}
    content = (dict(annotations.metadata), list(annotations.texts), graph)
    data = encode_record_file(_KIND, dict(zip(_NAMES, content, strict=True)))
    if len(data) > LONGEST_RECORD:
        raise NotCheckpointableError(
            f"what TensorFlow's format has no words for takes {len(data):,} bytes, expected at most"
            f' {LONGEST_RECORD:,}. Save with format="native".'
        )
    return data


def decode_annotations(data: bytes, file: str) -> Annotations:
    """Return the annotations that were encoded.

    Raises:
        CorruptCheckpointError: these are none.
        UnsupportedFormatError: a newer version of the library wrote them.
    """
    content = decode_record_file(data, _KIND, file)
    if type(content) is not dict or tuple(content) != _NAMES:
        raise _malformed(file)
    metadata, texts, graph = content.values()
    is_named = type(metadata) is dict and all(type(name) is str for name in metadata)
    if not is_named or not _are_texts(texts):
        raise _malformed(file)
    return Annotations(metadata, texts, None if graph is None else _decode_notes(graph, file))


def _decode_notes(graph: Any, file: str) -> GraphNotes:
    if type(graph) is not dict or tuple(graph) != (*_COLUMNS, *_TEXTS):
        raise _malformed(file)
    columns: dict[str, Any] = {}
    for name, dtype in _COLUMNS.items():
        column = graph[name]
        if type(column) is not bytes or len(column) % np.dtype(dtype).itemsize:
            raise _malformed(file)
        columns[name] = np.frombuffer(column, dtype)
    if not all(_are_texts(graph[name]) for name in _TEXTS):
        raise _malformed(file)
    return GraphNotes(**columns, **{name: graph[name] for name in _TEXTS})


def _are_texts(texts: Any) -> bool:
    return type(texts) is list and all(type(text) is str for text in texts)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    for name in metadata:
        if type(name) is not str:
            raise NotCheckpointableError(
                f"metadata has the key {name!r}, expected strings. Use str({name!r})."
            )
    length = len(encode_value(dict(metadata)))
    if length > LONGEST_METADATA:
        raise NotCheckpointableError(
            f"metadata take {length:,} bytes, expected at most {LONGEST_METADATA:,}. Keep large"
            " values as state of an object."
        )


def _malformed(file: str) -> Exception:
    return corrupt(file, "T-14", "the annotations of the checkpoint are malformed")
