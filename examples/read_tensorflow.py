"""Go on with a model that was trained with TensorFlow, on a machine without TensorFlow.

    python examples/read_tensorflow.py

`make_tensorflow_checkpoint.py` trained a Keras 3 model, and saved it and its optimizer with
`tf.train.Checkpoint`. Here the model is the network of `train_digits.py`, in numpy, which knows
nothing of Keras: what has another name in the checkpoint is told to the restore. All values find
their objects, or `assert_consumed()` says which do not; then the training goes on.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from train_digits import Network

import checkpointable as ckpt

# Path in the program -> path in the checkpoint. Keras numbers its layers from the input on, which
# is number 0, and keeps the kernel of a layer as `_kernel`.
KERAS = {
    "model/layers/0": "model/_functional/_operations/1",
    "model/layers/0/kernel": "model/_functional/_operations/1/_kernel",
    "model/layers/1": "model/_functional/_operations/2",
    "model/layers/1/kernel": "model/_functional/_operations/2/_kernel",
}


class Adam(ckpt.Trackable):
    """Adam as Keras has it: the moments are lists, in the order of the variables."""

    renamed = {  # the same can be told by a class, once and for all
        "steps": "_iterations",
        "learning_rate": "_learning_rate",
        "means": "_momentums",
        "squares": "_velocities",
    }

    def __init__(self, variables):
        self.steps = ckpt.Variable(np.int64(0))
        self.learning_rate = ckpt.Variable(np.float32(1e-3))
        self.means = [ckpt.Variable(np.zeros_like(v.value)) for v in variables]
        self.squares = [ckpt.Variable(np.zeros_like(v.value)) for v in variables]

    def apply(self, variables, gradients):
        """Change the variables by one step against their gradients."""
        self.steps.assign_add(1)
        step = int(self.steps.value)
        rate = self.learning_rate.value * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for variable, gradient, mean, square in zip(
            variables, gradients, self.means, self.squares, strict=True
        ):
            mean.assign_add(0.1 * (gradient - mean.value))
            square.assign_add(0.001 * (gradient**2 - square.value))
            variable.assign_sub(rate * mean.value / (np.sqrt(square.value) + 1e-7))


def main():
    """Restore, predict, and train on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(__file__).parent / "data" / "digits_from_keras"
    parser.add_argument("--checkpoint", type=Path, default=data / "ckpt")
    path = parser.parse_args().checkpoint

    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    unseen = np.arange(len(images)) % 5 == 0
    random = np.random.default_rng(0)

    model = Network([64, 24, 10], random)
    optimizer = Adam(model.variables)
    program = ckpt.Checkpoint(model=model, optimizer=optimizer, accuracy=0.0)

    def accuracy():
        return np.mean(model(images[unseen]).argmax(axis=1) == labels[unseen])

    status = program.read(path, rename=KERAS)
    status.assert_consumed()  # every stored value has its object, and every object its value
    print(status.report())
    print(f"after {optimizer.steps.value} steps: {program.accuracy:.4f} of the unseen images right")
    print(f"the same in numpy: {accuracy():.4f}")

    for _ in range(10):
        for batch in np.array_split(random.permutation(np.flatnonzero(~unseen)), 45):
            optimizer.apply(model.variables, model.gradients(images[batch], labels[batch]))
    print(f"after ten more epochs, without TensorFlow: {accuracy():.4f}")


if __name__ == "__main__":
    main()
