"""The real package reads what is written here, and what it writes is read here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors import deserialize
from safetensors.numpy import load, save

import checkpointable as ckpt
from checkpointable.format.dtypes import numpy_dtype
from checkpointable.graph.named import named_snapshot
from checkpointable.interop.safetensors.dtypes import THEIRS
from tests.interop.safetensors.files import opened, snapshot_of, written

#: What the real package has a numpy dtype for.
NUMPY = [name for name in THEIRS if "float8" not in name and name != "bfloat16"]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = texts.filter(lambda name: name != "__metadata__")
arrays = st.sampled_from(NUMPY).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)


def same(expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether the arrays have equal dtypes, shapes and bytes under the same names."""
    return expected.keys() == found.keys() and all(
        (e.dtype, e.shape, e.tobytes())
        == (found[name].dtype, found[name].shape, found[name].tobytes())
        for name, e in expected.items()
    )


@given(st.dictionaries(names, arrays, max_size=8), st.dictionaries(texts, texts, max_size=3))
def test_the_real_package_loads_what_is_written(
    values: dict[str, NDArray[Any]], metadata: dict[str, str]
) -> None:
    """Any arrays under any names are the same in the eyes of safetensors."""
    data = written(named_snapshot(values, metadata))
    source = opened(data)

    assert same(values, load(data))
    assert same(values, {name: source.read(n) for name, (n,) in source.names.items()})
    assert (metadata, []) == (source.metadata, source.verify())


@given(st.dictionaries(names, arrays, max_size=8), st.dictionaries(texts, texts, max_size=3))
def test_what_the_real_package_saves_is_read(
    values: dict[str, NDArray[Any]], metadata: dict[str, str]
) -> None:
    """Any file of safetensors is read exactly: names, dtypes, shapes, bytes and metadata."""
    # The package writes no JSON where both are empty.
    source = opened(save(values, metadata or None))

    assert source.keys is not None
    assert same(values, {name: source.read(number) for name, number in source.keys.items()})
    assert (metadata, ["ST-10"]) == (source.metadata, [f.rule for f in source.verify()])


@given(st.lists(arrays, max_size=6), st.integers(0, 200_000))
def test_the_real_package_loads_a_graph(values: list[NDArray[Any]], size: int) -> None:
    """Arrays of objects, small and large, are loaded under their dotted names."""
    values = [*values, np.arange(size, dtype=np.int16)]
    checkpoint = ckpt.Checkpoint(values=[*values], plain={"a": 1}, state="x" * 5000)
    found = load(written(snapshot_of(checkpoint)))

    assert ["plain"] != [*found]
    del found["state"]
    assert same({f"values.{i}": value for i, value in enumerate(values)}, found)


def test_every_dtype_is_known_there() -> None:
    """The package takes each dtype that is written, also those that numpy does not have."""
    values = {name: np.zeros(3, numpy_dtype(name)) for name in THEIRS}
    found = {name: given["dtype"] for name, given in deserialize(written(named_snapshot(values)))}

    assert THEIRS == found
