"""Two optimizers whose state finds its way back: SGD with momentum, and Adam.

What an optimizer keeps for a variable is a slot variable: it is saved with the pair of the two,
and comes back to that pair, whichever of them is created first and whatever they are called.

    python examples/optimizers.py
"""

import math
import tempfile

import numpy as np

import checkpointable as ckpt


class Momentum(ckpt.SlotTrackable):
    """Stochastic gradient descent with momentum."""

    def __init__(self, learning_rate=0.1, momentum=0.9):
        self.learning_rate, self.momentum = learning_rate, momentum

    def apply(self, variables, gradients):
        """Change the variables by one step against their gradients."""
        for variable, gradient in zip(variables, gradients, strict=True):
            velocity = self.add_slot(variable, "momentum")  # created, or restored, or as it was
            velocity.assign(self.momentum * velocity.value + gradient)
            variable.assign_sub(self.learning_rate * velocity.value)


class Adam(ckpt.SlotTrackable):
    """Adam: its step count is state of its own, the two moments are slots."""

    state_attributes = ("step",)  # a plain number is state only where its class says so

    def __init__(self, learning_rate=1e-3, beta1=0.9, beta2=0.999):
        self.learning_rate, self.beta1, self.beta2 = learning_rate, beta1, beta2
        self.step = 0

    def apply(self, variables, gradients):
        """Change the variables by one step against their gradients."""
        self.step += 1
        rate = (
            self.learning_rate * math.sqrt(1 - self.beta2**self.step) / (1 - self.beta1**self.step)
        )
        for variable, gradient in zip(variables, gradients, strict=True):
            mean, square = self.add_slot(variable, "m"), self.add_slot(variable, "v")
            mean.assign(self.beta1 * mean.value + (1 - self.beta1) * gradient)
            square.assign(self.beta2 * square.value + (1 - self.beta2) * gradient**2)
            variable.assign_sub(rate * mean.value / (np.sqrt(square.value) + 1e-7))


def descend(checkpoint, steps):
    """Go some steps down a narrow valley; return where that leads."""
    for _ in range(steps):
        x = checkpoint.x.value
        checkpoint.optimizer.apply([checkpoint.x], [np.array([1.0, 20.0]) * x])
    return checkpoint.x.numpy()


def program(optimizer):
    """Return a program at its start: a point, and an optimizer that moves it."""
    return ckpt.Checkpoint(x=ckpt.Variable([3.0, 1.0]), optimizer=optimizer)


def main():
    """Compare a run with one that was interrupted half-way, for both optimizers."""
    for optimizer in (Momentum, Adam):
        with tempfile.TemporaryDirectory() as directory:
            expected = descend(program(optimizer(0.01)), 200)

            first = program(optimizer(0.01))
            descend(first, 100)
            path = first.save(f"{directory}/half-way")

            second = program(optimizer(0.01))
            second.restore(path).assert_consumed()
            for key, _ in ckpt.list_variables(path):
                if ".OPTIMIZER_SLOT" in key:
                    print(key)
            assert np.array_equal(expected, descend(second, 100))
        print(f"{optimizer.__name__}: interrupted and resumed, bit for bit the same")


if __name__ == "__main__":
    main()
