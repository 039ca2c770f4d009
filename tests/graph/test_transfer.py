"""An open checkpoint as a snapshot."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.format.records import Blob, ObjectGraph, Streamed
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.transfer import stored_snapshot
from checkpointable.graph.walk import walk
from tests.graph.test_streaming import Source


def nothing(_: int) -> None:
    """Count nothing."""


def graph_of(**values: Any) -> ObjectGraph:
    """Return the graph of a checkpoint of some values."""
    return take_snapshot(walk(ckpt.Checkpoint(**values))).graph


def source_of(graph: ObjectGraph, *arrays: Any) -> Any:
    """Return a source with that graph and those tensors."""
    source: Any = Source([np.asarray(array) for array in arrays])
    source.graph, source.path, source.metadata = graph, "run/ckpt", {"a": 1}
    source.value = lambda number: source.arrays[number].item()
    return source


def test_values_are_numbered_by_attribute():
    """Tensors that no attribute has are left out; one that two have is written for each."""
    graph = graph_of(w=np.zeros(2), v=np.ones(3), same=np.zeros(2))
    graph = attrs.evolve(graph, attribute_values=np.array([3, 1, 3], np.uint32))
    source = source_of(graph, [0], [1.0, 2.0, 3.0], [2], [4.0, 5.0])
    transfer = stored_snapshot(source, None, nothing)
    tensors = [np.asarray(tensor).tolist() for tensor in transfer.snapshot.tensors]

    assert [0, 1, 2] == transfer.snapshot.graph.attribute_values.tolist()
    assert [[4.0, 5.0], [1.0, 2.0, 3.0], [4.0, 5.0]] == tensors
    assert ({1, 3}, 0, 56) == (transfer.values, transfer.read, transfer.length)
    assert {"a": 1} == transfer.snapshot.metadata


def test_a_plain_value_may_be_a_tensor_of_the_source():
    """Where a format keeps plain values as tensors, they become plain values again."""
    graph = graph_of(step=1, w=np.zeros(2), rate=0.5)
    graph = attrs.evolve(graph, attribute_values=np.array([0, 1, 2], np.uint32))
    transfer = stored_snapshot(source_of(graph, 7, [1.0, 2.0], 0.25), {}, nothing)
    snapshot = transfer.snapshot

    assert [1, 0, 2] == snapshot.graph.attribute_values.tolist()
    assert [True] == [isinstance(tensor, Streamed) for tensor in snapshot.tensors]
    assert [b"\x07", b"\xcb?\xd0" + bytes(6)] == snapshot.inline
    assert ({}, 10, 26) == (snapshot.metadata, transfer.read, transfer.length)


def test_strings_and_bytes_are_read_at_once():
    """What has no fixed item size is a blob of the bytes that are stored."""
    texts = np.array(["a", b"bc"], object)
    graph = graph_of(texts=texts)
    source = source_of(graph, [0])
    source.tensors = [attrs.evolve(source.tensors[0], dtype="string", shape=(2,))]
    source.read = lambda _: texts
    (blob,) = stored_snapshot(source, None, nothing).snapshot.tensors

    assert isinstance(blob, Blob)
    assert ("string", (2,)) == (blob.dtype, blob.shape)


def test_a_local_name_that_is_too_long_is_refused():
    """TensorFlow knows no limit; no other format can hold it."""
    graph = graph_of(w=np.zeros(2))
    long = attrs.evolve(graph, names=["x" * 5000 if n == "w" else n for n in graph.names])
    with pytest.raises(ckpt.NotCheckpointableError, match=r"run/ckpt: .* 5,000 bytes"):
        stored_snapshot(source_of(long, [1.0, 2.0]), None, nothing)
