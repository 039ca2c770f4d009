"""A Keras 3 model and its optimizer move into a program without Keras, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.mirror import assert_same

pytestmark = pytest.mark.interop


class Dense(ckpt.Trackable):
    """A linear layer; Keras calls the kernel `_kernel`."""

    renamed: ClassVar = {"kernel": "_kernel"}

    def __init__(self, inputs: int, outputs: int) -> None:
        self.kernel = self.add_variable("kernel", (inputs, outputs))
        self.bias = self.add_variable("bias", (outputs,))

    def __call__(self, x: Any) -> Any:
        return x @ self.kernel.value + self.bias.value


class Normalization(ckpt.Trackable):
    """A batch normalization that has been trained."""

    def __init__(self, size: int) -> None:
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            setattr(self, name, self.add_variable(name, (size,)))

    def __call__(self, x: Any) -> Any:
        scale = self.gamma.value / np.sqrt(self.moving_variance.value + 1e-3)
        return (x - self.moving_mean.value) * scale + self.beta.value


class Network(ckpt.Trackable):
    """The model; where Keras keeps its layers is told by `renamed`."""

    renamed: ClassVar = {
        "hidden": "_functional/_operations/1",
        "norm": "_functional/_operations/2",
        "out": "_functional/_operations/3",
    }

    def __init__(self) -> None:
        self.hidden, self.norm, self.out = Dense(4, 8), Normalization(8), Dense(8, 2)

    @property
    def trainable(self) -> list[ckpt.Variable]:
        """The variables, in the order in which Keras has them."""
        hidden, norm, out = self.hidden, self.norm, self.out
        return [hidden.kernel, hidden.bias, norm.gamma, norm.beta, out.kernel, out.bias]

    def __call__(self, x: Any) -> Any:
        return self.out(self.norm(np.maximum(self.hidden(x), 0)))


class Adam(ckpt.Trackable):
    """The optimizer: Keras keeps its moments in lists, in the order of the variables."""

    renamed: ClassVar = {
        "iterations": "_iterations",
        "rate": "_learning_rate",
        "m": "_momentums",
        "v": "_velocities",
    }

    def __init__(self, variables: list[ckpt.Variable]) -> None:
        self.iterations = ckpt.Variable(np.int64(0))
        self.rate = ckpt.Variable(np.float32(0))
        self.m = [ckpt.Variable(np.zeros_like(variable.value)) for variable in variables]
        self.v = [ckpt.Variable(np.zeros_like(variable.value)) for variable in variables]


def keras_program(tf: Any, seed: int) -> Any:
    """Return the checkpoint of a Keras model that was trained for some steps."""
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(seed)
    model = tf.keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(2),
        ]
    )
    optimizer = tf.keras.optimizers.Adam(0.01)
    model.compile(optimizer=optimizer, loss="mse", run_eagerly=True)
    for _ in range(3):
        x = np.random.default_rng(seed).normal(size=(16, 4)).astype(np.float32)
        model.train_on_batch(x, x[:, :2] ** 2)
    return tf.train.Checkpoint(model=model, optimizer=optimizer)


def our_program() -> ckpt.Checkpoint:
    """Return the same program without Keras."""
    model = Network()
    return ckpt.Checkpoint(model=model, optimizer=Adam(model.trainable))


def test_a_model_and_its_optimizer_leave_keras(tf: Any, tmp_path: Path) -> None:
    """All is consumed, every array equals Keras's own, and the model predicts the same."""
    keras, ours = keras_program(tf, 1), our_program()

    ours.restore(keras.save(str(tmp_path / "ckpt"))).assert_consumed()

    for theirs, variable in zip(keras.model.trainable_variables, ours.model.trainable, strict=True):
        assert_same(theirs.numpy(), variable.value, theirs.path)
    adam = keras.optimizer
    for theirs, moments in (
        (adam._momentums, ours.optimizer.m),
        (adam._velocities, ours.optimizer.v),
    ):
        for expected, variable in zip(theirs, moments, strict=True):
            assert_same(expected.numpy(), variable.value, expected.path)
    assert 3 == ours.optimizer.iterations.value
    x = np.random.default_rng(9).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        keras.model(x, training=False).numpy(), ours.model(x), rtol=1e-4, atol=1e-5
    )


def test_one_layer_is_taken_by_its_place(tf: Any, tmp_path: Path) -> None:
    """`at` takes one layer out of a Keras model."""
    keras = keras_program(tf, 1)
    path = keras.save(str(tmp_path / "ckpt"))
    layer = Dense(8, 2)

    ckpt.Checkpoint(layer).restore(path, at="model/_functional/_operations/3").assert_consumed()

    assert_same(keras.model.layers[-1].kernel.numpy(), layer.kernel.value)


def test_every_path_of_a_weight_leads_to_it(tf: Any, tmp_path: Path) -> None:
    """A weight that Keras stores under its optimizer is read under the model's name too."""
    keras = keras_program(tf, 1)
    path = keras.save(str(tmp_path / "ckpt"))

    with ckpt.load_checkpoint(path) as reader:
        keys = reader.keys()
        for name in ("optimizer/_trainable_variables/0", "model/_functional/_operations/1/_kernel"):
            assert_same(keras.model.layers[0].kernel.numpy(), reader.get_tensor(name), name)
    assert "model/_functional/_operations/1/_kernel/.ATTRIBUTES/VARIABLE_VALUE" not in keys


def test_keras_goes_on_where_ours_stopped(tf: Any, tmp_path: Path) -> None:
    """Out of Keras, through our own format, and back: Keras trains on as if nothing had been."""
    keras, ours = keras_program(tf, 1), our_program()
    ours.restore(keras.save(str(tmp_path / "ckpt")))
    again = our_program()
    again.restore(ours.save(tmp_path / "native")).assert_consumed()
    paths = ckpt.Checkpoint(KerasNames(again))
    fresh = keras_program(tf, 2)

    path = paths.write(tmp_path / "back", format="tensorflow")
    fresh.read(path).expect_partial().assert_existing_objects_matched()

    x = np.random.default_rng(9).normal(size=(16, 4)).astype(np.float32)
    for model in (keras.model, fresh.model):
        model.train_on_batch(x, x[:, :2])
    for expected, found in zip(keras.model.weights, fresh.model.weights, strict=True):
        assert_same(expected.numpy(), found.numpy(), expected.path)
    for expected, found in zip(keras.optimizer.variables, fresh.optimizer.variables, strict=True):
        assert_same(expected.numpy(), found.numpy(), expected.path)


class KerasNames(ckpt.Trackable):
    """The same objects under the names that Keras has for them."""

    def __init__(self, program: ckpt.Checkpoint) -> None:
        net, adam = program.model, program.optimizer
        operations: dict[str, Any] = {
            "1": {"_kernel": net.hidden.kernel, "bias": net.hidden.bias},
            "2": net.norm,
            "3": {"_kernel": net.out.kernel, "bias": net.out.bias},
        }
        self.model = {"_functional": {"_operations": operations}}
        self.optimizer = {
            "_iterations": adam.iterations,
            "_learning_rate": adam.rate,
            "_momentums": adam.m,
            "_velocities": adam.v,
            "_trainable_variables": net.trainable,
        }
        self.optimizer["_variables"] = [
            adam.iterations,
            adam.rate,
            *(moment for pair in zip(adam.m, adam.v, strict=True) for moment in pair),
        ]


def test_weights_files_of_keras_are_none_of_ours(tf: Any, tmp_path: Path) -> None:
    """What `model.save_weights` writes is HDF5: it is refused, and named."""
    keras_program(tf, 1).model.save_weights(str(tmp_path / "model.weights.h5"))

    with pytest.raises(ckpt.CheckpointError):
        ckpt.load(tmp_path / "model.weights.h5")


def test_a_saved_model_is_read(tf: Any, tmp_path: Path) -> None:
    """The directory of a SavedModel stands for the checkpoint in it, with all variables."""
    model = keras_program(tf, 1).model
    model.export(str(tmp_path / "exported"), verbose=False)
    weights = [ckpt.Variable(np.zeros(w.shape, w.dtype)) for w in model.variables]

    status = ckpt.Checkpoint(variables=weights).restore(tmp_path / "exported")

    status.expect_partial().assert_existing_objects_matched()
    for theirs, variable in zip(model.variables, weights, strict=True):
        assert_same(theirs.numpy(), variable.value, theirs.path)
