"""Every checkpoint that TensorFlow wrote for us is read exactly."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from checkpointable.format.dtypes import UNSIZED, numpy_dtype
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.tensorflow.source import open_bundle
from checkpointable.storage.local import LocalStorage
from tests.interop.tensorflow.samples import READ_AS, V2, Sample, description, sample, values


@pytest.fixture(params=V2, ids=str)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Sample, CheckpointSource]]:
    """Open each sample in turn."""
    source = open_bundle(LocalStorage(), request.param.path)
    yield request.param, source
    source.close()


def keys_of(source: CheckpointSource) -> dict[str, int]:
    """Return the numbers of the tensors by the keys of the files."""
    return dict(source.keys or {})


def test_keys(pair: tuple[Sample, CheckpointSource]) -> None:
    """The keys are those that TensorFlow lists, in order; slices are not among them."""
    found, source = pair
    keys, expected = sorted(keys_of(source)), found.expected

    if "sampled" in expected:
        joined = "\n".join(keys).encode()
        assert expected["count"] == len(keys)
        assert expected["names_sha256"] == hashlib.sha256(joined).hexdigest()
        assert set(found.tensors) <= set(keys)
    else:
        assert sorted(found.tensors) == keys
    assert list(range(len(source.tensors))) == list(keys_of(source).values())


def test_tensors(pair: tuple[Sample, CheckpointSource]) -> None:
    """Each tensor has the dtype, the shape, the bytes and the values that TensorFlow wrote."""
    found, source = pair
    for key, expected in found.tensors.items():
        array = source.read(keys_of(source)[key])
        info = source.tensors[keys_of(source)[key]]
        dtype = expected["dtype"]

        facts = {name: expected[name] for name in ("shape", "nbytes", "sha256")}
        assert (key, facts) == (key, description(array))
        assert READ_AS.get(dtype, dtype) in (info.dtype, "string")
        assert array.dtype == numpy_dtype(info.dtype)
        if "values" in expected:
            assert expected["values"] == values(array)
        if "strings_b64" in expected:
            assert expected["strings_b64"] == values(array)


def test_tensors_into_arrays(pair: tuple[Sample, CheckpointSource]) -> None:
    """All tensors at once are read into live arrays of either byte order; which is reported."""
    found, source = pair
    sized = [i for i, info in enumerate(source.tensors) if info.dtype not in UNSIZED]
    names = {number: key for key, number in keys_of(source).items()}
    infos = [source.tensors[i] for i in sized]
    for order in "=>":
        targets = [np.empty(i.shape, numpy_dtype(i.dtype).newbyteorder(order)) for i in infos]
        done: list[int] = []
        source.read_into(sized, targets, done)

        assert [p for p, t in enumerate(targets) if t.size] == sorted(done)
        for number, target in zip(sized, targets, strict=True):
            if names[number] in found.tensors:
                expected = found.tensors[names[number]]["sha256"]
                assert (
                    expected == description(target.astype(target.dtype.newbyteorder("=")))["sha256"]
                )


def indexes(shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield indexes that cut across whatever slices there are."""
    yield (...,)
    parts = [[slice(1, None), slice(None, None, -2), 0 if n else slice(None)] for n in shape]
    yield from ((*index, ...) for index in itertools.islice(itertools.product(*parts), 30))


def test_slices(pair: tuple[Sample, CheckpointSource]) -> None:
    """A part of a tensor is that part of the whole."""
    _, source = pair
    for number, info in list(enumerate(source.tensors))[:200]:
        whole = source.read(number)
        for index in indexes(info.shape):
            part = source.read_slice(number, index)
            assert description(whole[index]) == description(part)


def test_every_byte_is_right(pair: tuple[Sample, CheckpointSource]) -> None:
    """No sample has anything wrong with it."""
    _, source = pair

    assert [] == source.verify()
    assert source.unchanged()


def test_stored_slices() -> None:
    """What TensorFlow saved in slices is read slice by slice, whole and across their edges."""
    found = sample("partitioned/part")
    source = open_bundle(LocalStorage(), found.path)
    for key, slices in found.expected["slices"].items():
        whole = source.read(keys_of(source)[key])
        for extents in slices:
            index = tuple(slice(start, start + length) for start, length in extents)
            part = source.read_slice(keys_of(source)[key], index)
            assert whole[index].tolist() == part.tolist()


def test_the_state_of_a_python_object() -> None:
    """T-12: what the graph calls the state of a Python object is bytes, not a tensor of strings."""
    source = open_bundle(LocalStorage(), sample("object_based_special/ckpt-1").path)
    number = keys_of(source)["py/.ATTRIBUTES/py_state"]

    assert "bytes" == source.tensors[number].dtype
    assert b"\0\xffpython state" == source.value(number) == source.read(number)[()]
