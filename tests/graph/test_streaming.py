"""Tensors of an open checkpoint are read piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.format.records import TensorInfo
from checkpointable.graph.streaming import spans, streamed

MIB = 1 << 20


class Source:
    """Holds arrays, and counts how often it is asked for some."""

    def __init__(self, arrays: list[np.ndarray[Any, Any]]) -> None:
        self.arrays = arrays
        self.tensors = [TensorInfo(array.dtype.name, array.shape) for array in arrays]
        self.reads = 0
        self.slices: list[int] = []

    def read_into(self, numbers, targets, *, threads):
        self.reads += 1
        for number, target in zip(numbers, targets, strict=True):
            target[...] = self.arrays[number]

    def read_slice(self, number, index):
        part = self.arrays[number][index]
        self.slices.append(part.nbytes)
        return part


@given(
    st.lists(st.integers(0, 5), max_size=4).map(tuple), st.sampled_from([1, 8]), st.integers(1, 60)
)
def test_spans_cover_an_array_in_order(shape, item, most):
    """Joined, the parts are the array, element by element; none is too large or empty."""
    array = np.arange(int(np.prod(shape)), dtype=np.uint64).astype(f"u{item}").reshape(shape)
    parts = [array[index] for index in spans(shape, item, most)] if array.size else []

    assert array.tobytes() == b"".join(part.tobytes() for part in parts)
    assert all(part.size == 1 or 0 < part.nbytes <= most for part in parts)


def test_a_large_tensor_is_read_in_pieces():
    """A piece is at most 4 MiB, whatever the rows; every call reads the tensor anew."""
    rng = np.random.default_rng(1)
    arrays = [
        rng.integers(0, 9, shape).astype(np.uint8)
        for shape in [(9 * MIB,), (3, 5 * MIB), (1000, 3, 7000), (1, 1, 66_000)]
    ]
    source = Source(arrays)
    counted: list[int] = []
    found = streamed(source, range(len(arrays)), counted.append)
    for number, array in enumerate(arrays):
        for _ in range(2):
            assert array.tobytes() == b"".join(found[number].blocks())
        assert array.nbytes == found[number].nbytes

    assert 0 == source.reads
    assert max(source.slices) <= 4 * MIB < sum(source.slices) // len(source.slices) * 3
    assert counted == source.slices


def test_small_tensors_are_read_many_at_a_time():
    """Twenty thousand small tensors take a few reads, also where two item sizes alternate."""
    arrays = [np.full(64, n, ("<f4", "<i2", ">f8")[n % 3]) for n in range(20_000)]
    arrays[7] = np.zeros((0, 3))
    source = Source(arrays)
    found = streamed(source, range(len(arrays)), lambda _: None)
    for number, array in enumerate(arrays):
        little = array.astype(array.dtype.newbyteorder("<"))
        assert little.tobytes() == b"".join(found[number].blocks())

    assert source.reads < 20


def test_a_piece_is_counted_once_the_next_is_asked_for():
    """What was handed out counts when it was used, so that the last call comes at the end."""
    counted: list[int] = []
    pieces = streamed(Source([np.zeros(6 * MIB, np.uint8)]), [0], counted.append)[0].blocks()

    assert (4 * MIB, []) == (len(next(pieces)), counted)
    assert (2 * MIB, [4 * MIB]) == (len(next(pieces)), counted)
    assert [] == list(pieces)
    assert [4 * MIB, 2 * MIB] == counted


def test_a_streamed_tensor_is_an_array_too():
    """Whoever needs it whole gets it whole, of another dtype if asked for."""
    array = np.arange(70_000, dtype=np.int32).reshape(7, 10_000)
    tensor = streamed(Source([array]), [0], lambda _: None)[0]

    assert np.array_equal(array, np.asarray(tensor))
    assert np.array_equal(array.astype(float), np.asarray(tensor, float))


def test_what_the_count_raises_ends_the_reading():
    """An exception of the count comes out where the pieces are asked for."""

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(streamed(Source([np.zeros(3)]), [0], stop)[0].blocks())
