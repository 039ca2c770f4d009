"""What TensorFlow keeps besides variables: state in Python, lookup tables, iterators of data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.mirror import Node, Settings, Tensors, assert_same, tensors

pytestmark = pytest.mark.interop


def text_state(tf: Any, text: str) -> Any:
    """Return an object of TensorFlow's that is saved as text."""

    class Text(tf.train.experimental.PythonState):
        def __init__(self) -> None:
            self.text = text

        def serialize(self) -> bytes:
            return self.text.encode()

        def deserialize(self, data: bytes) -> None:
            self.text = data.decode()

    return Text()


def lookup_table(tf: Any, content: Mapping[bytes, int]) -> Any:
    """Return a table of TensorFlow's that leads from texts to integers."""
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(tf.constant([*content], tf.string), tf.constant([*content.values()], tf.int64))
    return table


def tensors_of_its_own(tf: Any, scale: float) -> Any:
    """Return an object of TensorFlow's that has tensors under names that need escaping."""

    class Custom(tf.Module):
        def __init__(self) -> None:
            self.tensors = {
                name: tf.constant([number * scale])
                for number, name in enumerate(("plain", "with/slash", "with.dot", "..S"))
            }

        def _serialize_to_tensors(self) -> Any:
            return self.tensors

        def _restore_from_tensors(self, restored: Any) -> None:
            self.tensors = restored

    return Custom()


def test_names_of_tensors_cross_over(tf: Any, tmp_path: Path) -> None:
    """What an object calls its tensors is the same in both libraries, both ways."""
    source = tensors_of_its_own(tf, 1.0)
    ours = Tensors({name: np.zeros(1, np.float32) for name in source.tensors})
    target = tensors_of_its_own(tf, 0.0)

    ours_too = ckpt.Checkpoint(custom=ours)
    ours_too.read(tf.train.Checkpoint(custom=source).write(str(tmp_path / "a"))).assert_consumed()
    path = ours_too.write(tmp_path / "b", format="tensorflow")
    tf.train.Checkpoint(custom=target).read(path).assert_consumed()

    expected = {name: tensor.numpy().tolist() for name, tensor in source.tensors.items()}
    assert expected == {name: tensor.tolist() for name, tensor in ours.tensors.items()}
    assert expected == {name: tensor.numpy().tolist() for name, tensor in target.tensors.items()}


def test_python_state_crosses_over(tf: Any, tmp_path: Path) -> None:
    """The bytes that a PythonState of TensorFlow's gave are those that ours takes."""
    theirs = tf.train.Checkpoint(settings=text_state(tf, "né\x00"))
    ours = ckpt.Checkpoint(settings=Settings())

    ours.restore(theirs.save(str(tmp_path / "ckpt"))).assert_consumed()

    assert "né\x00".encode() == ours.settings.data


def test_python_state_comes_back(tf: Any, tmp_path: Path) -> None:
    """TensorFlow's PythonState takes the bytes that ours gave."""
    ours = ckpt.Checkpoint(settings=Settings())
    ours.settings.data = b"text \x00"
    theirs = tf.train.Checkpoint(settings=text_state(tf, ""))

    theirs.read(ours.write(tmp_path / "ckpt", format="tensorflow")).assert_consumed()

    assert "text \x00" == theirs.settings.text


def test_a_lookup_table_is_two_tensors(tf: Any, tmp_path: Path) -> None:
    """Keys and values of a table arrive in an object that has tensors of these names."""
    content = {b"one": 1, b"": 2, b"\xff": 3}
    path = tf.train.Checkpoint(table=lookup_table(tf, content)).save(str(tmp_path / "ckpt"))
    table = Tensors({"table-keys": np.full(3, b"", object), "table-values": np.zeros(3, np.int64)})

    ckpt.Checkpoint(table=table).restore(path).assert_consumed()

    keys, values = table.tensors["table-keys"], table.tensors["table-values"]
    assert content == dict(zip(keys.tolist(), values.tolist(), strict=True))


def test_an_iterator_is_never_guessed(tf: Any, tmp_path: Path) -> None:
    """The state of an iterator means nothing outside TensorFlow: that is said, and can be left out.

    Its bytes can be read by their key.
    """
    iterator = iter(tf.data.Dataset.range(10))
    next(iterator)
    checkpoint = tf.train.Checkpoint(data=iterator, w=tf.Variable(2.0))
    path = checkpoint.save(str(tmp_path / "ckpt"))
    ours = ckpt.Checkpoint(data=Node(), w=ckpt.Variable(np.float32(0)))

    with pytest.raises(ckpt.UnmatchedError, match="data"):
        ours.restore(path).assert_consumed()
    ours.restore(path, skip="data").assert_consumed()

    assert 2 == ours.w.value
    with ckpt.load_checkpoint(path) as reader:
        states = reader.get_tensor("data/.ATTRIBUTES/ITERATOR_STATE")
    assert (object, (3,)) == (states.dtype, states.shape)
    assert all(b"tensorflow::" in state for state in states)


def test_a_variable_without_elements_in_many_shards(tf: Any, tmp_path: Path) -> None:
    """TensorFlow's policy of small shards drops what has no elements: ours says that it is missing.

    Everything else comes back, however it was sliced.
    """
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=200)
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    big = np.random.default_rng(0).normal(size=(7, 11, 3)).astype(np.float32)
    checkpoint = tf.train.Checkpoint(big=tf.Variable(big), none=tf.Variable(np.zeros((0, 3))))
    path = checkpoint.save(str(tmp_path / "ckpt"), options)
    ours = ckpt.Checkpoint(big=ckpt.Variable(np.zeros_like(big)))

    ours.restore(path, skip="none").assert_consumed()

    assert_same(big, ours.big.value)
    assert [] == ckpt.verify(path)
    both = ckpt.Checkpoint(big=ours.big, none=ckpt.Variable(np.zeros((0, 3))))
    with pytest.raises(ckpt.UnmatchedError, match="none"):
        both.restore(path).assert_existing_objects_matched()


def test_plain_values_of_ours_are_variables_of_theirs(tf: Any, tmp_path: Path) -> None:
    """A plain int, float, bool or str restores into a variable of TensorFlow's."""
    ours = ckpt.Checkpoint(step=7, rate=0.5, done=True, name="né")
    theirs = tf.train.Checkpoint(
        step=tf.Variable(0, dtype=tf.int64),
        rate=tf.Variable(0.0, dtype=tf.float64),
        done=tf.Variable(False),
        name=tf.Variable(""),
    )

    theirs.read(ours.write(tmp_path / "ckpt", format="tensorflow")).assert_consumed()

    values = [theirs.step, theirs.rate, theirs.done, theirs.name]
    assert [7, 0.5, True, "né".encode()] == [value.numpy() for value in values]


def test_variables_of_theirs_are_plain_values_of_ours(tf: Any, tmp_path: Path) -> None:
    """A scalar variable of TensorFlow's restores into a plain int, float, bool or str."""
    theirs = tf.train.Checkpoint(
        step=tf.Variable(7, dtype=tf.int64),
        rate=tf.Variable(0.5, dtype=tf.float64),
        done=tf.Variable(True),
        name=tf.Variable("né"),
    )
    ours = ckpt.Checkpoint(step=0, rate=0.0, done=False, name="")

    ours.restore(theirs.save(str(tmp_path / "ckpt"))).assert_consumed()

    assert [7, 0.5, True, "né"] == [ours.step, ours.rate, ours.done, ours.name]


def test_what_only_ours_can_hold_comes_back_to_ours(tf: Any, tmp_path: Path) -> None:
    """Dates, sets and big numbers survive TensorFlow's format, which TensorFlow reads past."""
    values = {"set": {1, 2}, "big": 1 << 90, "none": None, "complex": 1j, "list": [1, "a", b"b"]}
    ours = ckpt.Checkpoint(w=ckpt.Variable([1.0, 2.0]), **values)
    path = ours.write(tmp_path / "ckpt", format="tensorflow", metadata={"run": 7})
    theirs = tf.train.Checkpoint(w=tf.Variable([0.0, 0.0], dtype=tf.float64))

    theirs.read(path).expect_partial().assert_existing_objects_matched()

    again = ckpt.Checkpoint(w=ckpt.Variable([0.0, 0.0]), **dict.fromkeys(values))
    again.restore(path).assert_consumed()
    assert values == {name: getattr(again, name) for name in values}
    assert [1.0, 2.0] == theirs.w.numpy().tolist() == again.w.value.tolist()
    with ckpt.load_checkpoint(path) as reader:
        assert {"run": 7} == reader.metadata
    assert "w/.ATTRIBUTES/VARIABLE_VALUE" in tensors(tf, path)
