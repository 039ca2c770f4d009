"""Whatever TensorFlow's users checkpoint restores into objects of ours, and comes back again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.mirror import (
    GRAPH_KEY,
    Mirror,
    assert_same,
    assert_same_state,
    mirror,
    state,
    tensors,
)  # fmt: skip
from tests.interop.programs import PROGRAMS

pytestmark = pytest.mark.interop


@attrs.frozen
class Saved:
    """A checkpoint that TensorFlow wrote."""

    tf: Any
    name: str
    path: str
    state: Mapping[str, Any]

    def program(self, seed: int) -> Any:
        """Return the program again, with other values."""
        return PROGRAMS[self.name](self.tf, seed)

    def mirror(self) -> Mirror:
        """Return fresh objects of ours for it."""
        return mirror(self.tf, self.path)


@pytest.fixture(scope="module", params=PROGRAMS)
def saved(request: pytest.FixtureRequest, tf: Any, tmp_path_factory: Any) -> Saved:
    """The checkpoint of each program."""
    directory = tmp_path_factory.mktemp(request.param)
    program = PROGRAMS[request.param](tf, 1)
    path = program.save(str(directory / "ckpt"))
    return Saved(tf, request.param, path, state(tf, program, directory))


def test_every_tensor_is_read_as_tensorflow_reads_it(saved: Saved) -> None:
    """Keys, shapes, dtypes and values of all tensors are those of TensorFlow's own reader."""
    expected = tensors(saved.tf, saved.path)
    with ckpt.load_checkpoint(saved.path) as reader:
        assert sorted(expected) == reader.keys()
        for key, array in expected.items():
            assert_same(array, reader.get_tensor(key), key)
            assert_same(array, np.asarray(reader[key][...]), key)


def test_objects_are_listed_as_tensorflow_lists_them(saved: Saved) -> None:
    """`list_variables` gives what `tf.train.list_variables` gives."""
    expected = [(key, tuple(shape)) for key, shape in saved.tf.train.list_variables(saved.path)]

    assert expected == ckpt.list_variables(saved.path)


def test_tensorflows_files_are_whole(saved: Saved) -> None:
    """Every checksum that TensorFlow wrote is right."""
    assert [] == ckpt.verify(saved.path)


def test_objects_of_ours_are_restored(saved: Saved) -> None:
    """Every value of TensorFlow's finds its object, and every object its value."""
    ours = saved.mirror()

    ours.checkpoint.restore(saved.path).assert_consumed()

    assert len(ours.values) - 2 == ours.check()  # all but the graph and the save counter
    assert 1 == ours.checkpoint.save_counter


def test_tensorflow_restores_what_ours_writes(saved: Saved, tmp_path: Path) -> None:
    """From TensorFlow to us and back, into a fresh program: nothing is missing, nothing changed."""
    ours = saved.mirror()
    ours.checkpoint.restore(saved.path)
    path = ours.checkpoint.write(tmp_path / "ours", format="tensorflow")
    again = saved.program(2)

    again.restore(path).assert_consumed()

    assert_same_state(saved.state, state(saved.tf, again, tmp_path))


def test_what_ours_writes_is_read_by_both(saved: Saved, tmp_path: Path) -> None:
    """TensorFlow's reader finds the same values, under keys that lead to the same objects."""
    ours = saved.mirror()
    ours.checkpoint.restore(saved.path)
    path = ours.checkpoint.write(tmp_path / "ours", format="tensorflow")

    theirs = mirror(saved.tf, path)
    theirs.checkpoint.restore(path).assert_consumed()
    theirs.check()
    with ckpt.load_checkpoint(path) as reader:
        for key, array in tensors(saved.tf, path).items():
            assert_same(array, reader.get_tensor(key), key)
    assert [] == ckpt.verify(path)
    assert GRAPH_KEY in theirs.values
