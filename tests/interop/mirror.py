"""Objects of ours that mirror a checkpoint of TensorFlow's, as TensorFlow itself reads it.

Nothing here uses a reader of ours: the graph is parsed by TensorFlow's own protocol buffers, and
the values come from `tf.train.load_checkpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import checkpointable as ckpt

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "VARIABLE_VALUE"
COUNTER_KEY = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"


class Node(ckpt.SlotTrackable):
    """An object with children, and slot variables for some."""


class Settings(ckpt.PythonState):
    """An object that is saved as bytes."""

    def __init__(self) -> None:
        self.data = b""

    def serialize(self) -> bytes:
        return self.data

    def deserialize(self, data: bytes) -> None:
        self.data = data


class Tensors(ckpt.Trackable):
    """An object that has tensors of its own."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self.tensors = tensors

    def serialize_to_tensors(self) -> Mapping[str, Any]:
        return self.tensors

    def restore_from_tensors(self, tensors: Mapping[str, Any]) -> None:
        self.tensors = dict(tensors)


@attrs.define
class Mirror:
    """Our objects for the nodes of a graph, and what TensorFlow says that each holds.

    Attributes:
        checkpoint: all of them.
        objects: by the number of the node; slot variables are none of them.
        slots: optimizer, variable, name and node of each slot variable.
        keys: of each node its keys by the names of its values.
        values: all tensors by key.
    """

    checkpoint: ckpt.Checkpoint
    objects: dict[int, Any]
    slots: list[tuple[int, int, str, int]]
    keys: dict[int, dict[str, str]]
    values: dict[str, Any]

    def check(self) -> int:
        """Compare all values with TensorFlow's, and return how many there were."""
        live = {n: values_of(found) for n, found in self.objects.items()}
        for optimizer, variable, name, node in self.slots:
            slot = self.objects[optimizer].get_slot(self.objects[variable], name)
            assert slot is not None, (optimizer, name)
            live[node] = values_of(slot)
        compared = 0
        for node, keys in self.keys.items():
            for name, key in keys.items():
                if node in live and name in live[node]:
                    assert_same(self.values[key], live[node][name], key)
                    compared += 1
        return compared


def mirror(tf: Any, prefix: str) -> Mirror:
    """Return fresh objects that mirror what stands in a checkpoint."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2 as protos

    values = tensors(tf, prefix)
    graph = protos.TrackableObjectGraph.FromString(values[GRAPH_KEY].item())
    keys = {
        n: {_unescaped(a.name): a.checkpoint_key for a in node.attributes}
        for n, node in enumerate(graph.nodes)
    }
    slots = [
        (n, slot.original_variable_node_id, slot.slot_name, slot.slot_variable_node_id)
        for n, node in enumerate(graph.nodes)
        for slot in node.slot_variables
    ]
    hidden = {node for *_, node in slots}
    objects = {n: _object(keys[n], values) for n in keys if n not in hidden}
    counter = next(
        (c.node_id for c in graph.nodes[0].children if c.local_name == "save_counter"), 0
    )
    for n, node in enumerate(graph.nodes):
        for child in node.children:
            if n or child.node_id != counter:  # ours has a save counter of its own
                objects[n].track(child.local_name, objects[child.node_id])
    if counter:
        del objects[counter]
    return Mirror(ckpt.Checkpoint(objects[0]), objects, slots, keys, values)


def tensors(tf: Any, prefix: str) -> dict[str, Any]:
    """Return all tensors of a checkpoint as TensorFlow's own reader gives them."""
    reader = tf.train.load_checkpoint(prefix)
    return {key: as_array(reader.get_tensor(key)) for key in reader.get_variable_to_shape_map()}


def state(tf: Any, checkpoint: Any, directory: Path) -> dict[str, Any]:
    """Return the values of all that TensorFlow would save of its own objects, by key."""
    values = tensors(tf, checkpoint.write(str(directory / "state")))
    return {key: array for key, array in values.items() if key not in (GRAPH_KEY, COUNTER_KEY)}


def as_array(value: Any) -> Any:
    """Return what TensorFlow gives as an array: a scalar string is bytes there."""
    if isinstance(value, np.ndarray):
        return value
    array = np.empty((), object if isinstance(value, bytes) else None or np.asarray(value).dtype)
    array[()] = value
    return array


def values_of(found: Any) -> dict[str, Any]:
    """Return the values that one of our objects has of its own."""
    if isinstance(found, ckpt.Variable):
        return {VALUE: found.value}
    if isinstance(found, np.ndarray):
        return {VALUE: found}
    if isinstance(found, Settings):
        return {"py_state": as_array(found.data)}
    return dict(found.tensors) if isinstance(found, Tensors) else {}


def assert_same(expected: Any, actual: Any, name: str = "") -> None:
    """Fail unless two arrays are equal in dtype, shape and every bit."""
    assert (expected.dtype, expected.shape) == (actual.dtype, actual.shape), name
    if expected.dtype == object:
        assert expected.tolist() == actual.tolist(), name
    else:
        assert expected.tobytes() == actual.tobytes(), name


def assert_same_state(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    """Fail unless two states have equal arrays under the same keys."""
    assert sorted(expected) == sorted(actual)
    for key, array in expected.items():
        assert_same(array, actual[key], key)


def _object(keys: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """Return an object of ours, without values, for a node that has such values."""
    empty = {name: _empty_like(values[key]) for name, key in keys.items() if key in values}
    if VALUE in empty:  # a Variable holds no texts, an array does
        return empty[VALUE] if empty[VALUE].dtype == object else ckpt.Variable(empty[VALUE])
    if "py_state" in empty:
        return Settings()
    return Tensors(empty) if empty else Node()


def _empty_like(array: Any) -> Any:
    if array.dtype == object:
        return np.full(array.shape, b"", object)
    return np.zeros(array.shape, array.dtype)


def _unescaped(name: str) -> str:
    """Return the name of a value, which the graph holds escaped once."""
    return "/".join(part.replace("..", ".") for part in name.split(".S"))
