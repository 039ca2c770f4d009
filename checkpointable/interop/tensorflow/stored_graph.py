"""Reads what a bundle says of itself: its object graph, and the annotations beside it."""

from __future__ import annotations

from collections.abc import Mapping

from checkpointable.format.dtypes import STRING
from checkpointable.format.frame import corrupt
from checkpointable.interop.tensorflow.annotations import (
    ANNOTATIONS_KEY,
    Annotations,
    decode_annotations,
)
from checkpointable.interop.tensorflow.contents import TensorContents
from checkpointable.interop.tensorflow.graph import GRAPH_KEY, StoredGraph, read_graph


def read_annotations(
    contents: TensorContents, keys: Mapping[str, int], file: str
) -> Annotations | None:
    """Return what is said beside the tensors of a bundle; `None` if nothing is.

    Raises:
        CorruptCheckpointError: it is damaged.
        UnsupportedFormatError: a newer version of the library wrote it.
    """
    number = keys.get(ANNOTATIONS_KEY)
    if number is None:
        return None
    return decode_annotations(_scalar_string(contents, number, "T-14", file), file)


def read_stored_graph(
    contents: TensorContents, keys: Mapping[str, int], annotations: Annotations | None, file: str
) -> StoredGraph | None:
    """Return the object graph of a bundle; `None` if it has none.

    Raises:
        CorruptCheckpointError: it is damaged, or the annotations do not fit it.
    """
    number = keys.get(GRAPH_KEY)
    if number is None:
        return None
    data = _scalar_string(contents, number, "T-12", file)
    return read_graph(data, keys, contents.infos, file, annotations)


def texts_of_names(
    annotations: Annotations, contents: TensorContents, keys: Mapping[str, int], file: str
) -> frozenset[int]:
    """Return the numbers of the tensors of a name-based bundle whose strings are str.

    Raises:
        CorruptCheckpointError: the annotations do not fit the bundle.
    """
    numbers = [keys.get(name, -1) for name in annotations.texts]
    if any(number < 0 or contents.infos[number].dtype != STRING for number in numbers):
        raise corrupt(file, "T-14", "the annotations name as text what holds no strings")
    return frozenset(numbers)


def _scalar_string(contents: TensorContents, number: int, rule: str, file: str) -> bytes:
    info = contents.infos[number]
    if info.dtype != STRING or info.shape:
        found = f"{info.dtype} {info.shape}"
        what = "what the checkpoint says of itself is no string"
        raise corrupt(file, rule, what, expected="string ()", found=found)
    return bytes(contents.read(number)[()])
