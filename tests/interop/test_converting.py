"""Conversions of what the real TensorFlow wrote, into all formats and back to TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import checkpointable as ckpt
from tests.interop.mirror import VALUE, assert_same, assert_same_state, mirror, state
from tests.interop.programs import PROGRAMS

pytestmark = pytest.mark.interop

SOME = ("nested", "old_adam", "keras_subclassed")


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("between", ["native", "safetensors"])
def test_a_conversion_there_and_back_loses_nothing(
    tf: Any, tmp_path: Path, name: str, between: str
) -> None:
    """TensorFlow, another format, TensorFlow's again: a fresh program gets every value."""
    program = PROGRAMS[name](tf, 1)
    source = program.save(str(tmp_path / "source"))

    middle = ckpt.convert(source, tmp_path / "middle", format=between)
    last = ckpt.convert(middle, tmp_path / "last", format="tensorflow")

    again = PROGRAMS[name](tf, 2)
    again.restore(last).assert_consumed()
    assert_same_state(state(tf, program, tmp_path), state(tf, again, tmp_path))
    assert not ckpt.diff(source, middle)
    assert not ckpt.diff(source, last)


@pytest.mark.parametrize("name", SOME)
def test_a_conversion_is_opened_by_the_real_safetensors(tf: Any, tmp_path: Path, name: str) -> None:
    """The package safetensors finds every array of TensorFlow's under the path of its object."""
    source = PROGRAMS[name](tf, 1).save(str(tmp_path / "source"))

    ckpt.convert(source, tmp_path / "model", format="safetensors")

    found = load_file(tmp_path / "model.safetensors")
    values = mirror(tf, source).values
    expected = {key.partition("/.ATTRIBUTES/")[0]: key for key in values if key.endswith(VALUE)}
    assert len(expected) == len(found)
    for path, key in expected.items():
        if "." not in path:  # a name with a dot in it is spelt otherwise
            assert_same(values[key], found[path.replace("/", ".")], path)
