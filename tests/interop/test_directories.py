"""Directories of checkpoints: managers and state files of one are understood by the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.mirror import Node

pytestmark = pytest.mark.interop


def test_tensorflows_manager_is_followed(tf: Any, tmp_path: Path) -> None:
    """The newest checkpoint of a `tf.train.CheckpointManager` is found by its state file."""
    theirs = tf.train.Checkpoint(w=tf.Variable(0.0))
    manager = tf.train.CheckpointManager(theirs, str(tmp_path), max_to_keep=2)
    for value in range(3):
        theirs.w.assign(value)
        manager.save()
    ours = ckpt.Checkpoint(w=ckpt.Variable(np.float32(9)))

    ours.restore(tmp_path).assert_consumed()

    assert 2 == ours.w.value
    assert manager.latest_checkpoint == ckpt.latest_checkpoint(tmp_path)
    state = ckpt.get_checkpoint_state(tmp_path)
    assert state is not None
    assert manager.checkpoints == list(state.all_model_checkpoint_paths)


def test_our_manager_is_followed(tf: Any, tmp_path: Path) -> None:
    """TensorFlow finds and restores what our manager saved, and its deletions are complete."""
    ours = ckpt.Checkpoint(w=ckpt.Variable(np.float32(0)))
    options = ckpt.SaveOptions(format="tensorflow")
    with ckpt.CheckpointManager(ours, tmp_path, 2, save_options=options) as manager:
        for value in range(3):
            ours.w.assign(value)
            manager.save()
    theirs = tf.train.Checkpoint(w=tf.Variable(9.0))

    theirs.restore(tf.train.latest_checkpoint(str(tmp_path))).assert_consumed()

    assert 2 == theirs.w.numpy()
    assert 3 == theirs.save_counter.numpy()
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert [str(tmp_path / f"ckpt-{n}") for n in (2, 3)] == list(state.all_model_checkpoint_paths)
    assert [] == sorted(path.name for path in tmp_path.glob("ckpt-1*"))


def test_our_manager_goes_on_where_tensorflows_stopped(tf: Any, tmp_path: Path) -> None:
    """A manager of ours restores the newest of TensorFlow's and counts on from its number."""
    theirs = tf.train.Checkpoint(w=tf.Variable(5.0))
    tf.train.CheckpointManager(theirs, str(tmp_path), max_to_keep=3).save()
    ours = ckpt.Checkpoint(w=ckpt.Variable(np.float32(0)))
    options = ckpt.SaveOptions(format="tensorflow")

    with ckpt.CheckpointManager(ours, tmp_path, 3, save_options=options) as manager:
        restored = manager.restore_or_initialize()
        saved = manager.save()

    assert (str(tmp_path / "ckpt-1"), str(tmp_path / "ckpt-2")) == (restored, saved)
    assert 5 == ours.w.value
    assert saved == tf.train.latest_checkpoint(str(tmp_path))


def test_tensorflow_restores_again_after_an_overwrite(tf: Any, tmp_path: Path) -> None:
    """A checkpoint that was replaced, by either of the two, holds what was written last."""
    ours, theirs = ckpt.Checkpoint(w=ckpt.Variable(np.float32(1))), tf.train.Checkpoint()
    theirs.w = tf.Variable(0.0)
    path = str(tmp_path / "ckpt")
    for value in (1, 2, 3):
        ours.w.assign(value)
        ours.write(path, format="tensorflow")
        theirs.read(path).assert_consumed()
        assert value == theirs.w.numpy()
    theirs.w.assign(4.0)
    theirs.write(path)

    ours.read(path).assert_consumed()

    assert 4 == ours.w.value
    assert [] == ckpt.verify(path)


def test_a_saver_of_one_object_is_read(tf: Any, tmp_path: Path) -> None:
    """What `CheckpointableSaver` writes, TensorFlow restores."""
    root = Node()
    root.w = ckpt.Variable(np.float32([1, 2]))
    options = ckpt.SaveOptions(format="tensorflow")
    path = ckpt.CheckpointableSaver(root).save(tmp_path / "ckpt", 4, options=options)
    module = tf.Module()
    module.w = tf.Variable([0.0, 0.0])

    tf.train.Checkpoint(module).read(path).assert_consumed()

    assert [1, 2] == module.w.numpy().tolist()
    assert str(tmp_path / "ckpt-4") == path
