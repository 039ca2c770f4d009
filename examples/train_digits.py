"""Train a small network on handwritten digits; kill it at any moment, run it again, lose nothing.

    python examples/train_digits.py

A checkpoint holds everything that the rest of the run depends on: the weights, the optimizer's
moments and step count, the order of the images and the state of the random generator. A run that
is killed (`kill -9` too) and started again therefore ends with the very weights, bit for bit, of
a run that was never interrupted; the hash in the last line shows it.
"""

import argparse
import hashlib
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
from optimizers import Adam
from sklearn.datasets import load_digits
from tqdm import tqdm

import checkpointable as ckpt


class Dense(ckpt.Trackable):
    """A linear layer."""

    def __init__(self, inputs, outputs, random):
        def he_normal(shape, dtype):
            return random.normal(scale=math.sqrt(2 / inputs), size=shape).astype(dtype)

        self.kernel = self.add_variable("kernel", (inputs, outputs), initializer=he_normal)
        self.bias = self.add_variable("bias", (outputs,))

    def __call__(self, x):
        """Return the output of shape (batch, outputs) for an input of shape (batch, inputs)."""
        return x @ self.kernel.value + self.bias.value


class Network(ckpt.Trackable):
    """Linear layers with ReLU between them. The list of layers is tracked as it is."""

    def __init__(self, sizes, random):
        self.layers = [Dense(inputs, outputs, random) for inputs, outputs in pairwise(sizes)]

    @property
    def variables(self):
        """The variables, in the order of their gradients."""
        return [variable for layer in self.layers for variable in (layer.kernel, layer.bias)]

    def __call__(self, images):
        """Return one score per image and digit."""
        return self._activations(images)[-1]

    def gradients(self, images, labels):
        """Return the gradient of the mean cross entropy for every variable."""
        *inputs, scores = self._activations(images)
        error = softmax(scores)
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        gradients = []
        for layer, x in zip(reversed(self.layers), reversed(inputs), strict=True):
            gradients = [x.T @ error, error.sum(axis=0), *gradients]
            error = (error @ layer.kernel.value.T) * (x > 0)
        return gradients

    def _activations(self, images):
        """Return the input of every layer, then the output of the last one."""
        values = [images]
        for layer in self.layers[:-1]:
            values.append(np.maximum(layer(values[-1]), 0))
        return [*values, self.layers[-1](values[-1])]


class Batches(ckpt.Trackable):
    """Endless batches of noisy images, each epoch in a new order."""

    state_attributes = ("order", "position")

    def __init__(self, images, labels, size, seed):
        self._images, self._labels = images, labels  # data, not state: they come from elsewhere
        self.size = size
        self.generator = np.random.default_rng(seed)  # state: its stream goes on where it was
        self.order = self.generator.permutation(len(images))
        self.position = 0

    def next(self):
        """Return the next images and labels."""
        if self.position + self.size > len(self.order):
            self.order = self.generator.permutation(len(self.order))
            self.position = 0
        chosen = self.order[self.position : self.position + self.size]
        self.position += self.size
        images = self._images[chosen]
        noise = self.generator.normal(scale=0.2, size=images.shape)
        return (images + noise).astype(np.float32), self._labels[chosen]


def softmax(scores):
    """Turn scores into probabilities."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sha256(variables):
    """Return one hash over every bit of the variables."""
    return hashlib.sha256(b"".join(v.value.tobytes() for v in variables)).hexdigest()


def train(directory, steps, save_every):
    """Train up to a step count, from the newest checkpoint in the directory if there is one."""
    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    testing = np.arange(len(images)) % 5 == 0

    model = Network([64, 48, 10], np.random.default_rng(0))
    optimizer = Adam()
    batches = Batches(images[~testing], labels[~testing], size=32, seed=1)
    checkpoint = ckpt.Checkpoint(model=model, optimizer=optimizer, batches=batches)

    newest = ckpt.latest_checkpoint(directory)
    if newest is not None:
        checkpoint.restore(newest).assert_consumed()
        print(f"resumed at step {optimizer.step} from {newest}")
    complete = optimizer.step >= steps
    if complete:
        print(f"already complete: {steps} steps were asked for")

    remaining = range(optimizer.step, steps)
    for _ in tqdm(remaining, initial=optimizer.step, total=steps, unit="step", disable=complete):
        optimizer.apply(model.variables, model.gradients(*batches.next()))
        if optimizer.step % save_every == 0 or optimizer.step == steps:
            checkpoint.save(directory / "digits")

    accuracy = np.mean(model(images[testing]).argmax(axis=1) == labels[testing])
    print(f"accuracy {accuracy:.4f} on {np.sum(testing)} images never trained on")
    print(f"step {optimizer.step}, sha256 of the weights {sha256(model.variables)}")


def main():
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("digits-checkpoints"))
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--save-every", type=int, default=1_500, help="steps between two saves")
    arguments = parser.parse_args()
    train(arguments.directory, arguments.steps, arguments.save_every)


if __name__ == "__main__":
    main()
