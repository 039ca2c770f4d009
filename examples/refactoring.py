"""Old checkpoints go on loading after classes and attributes were renamed, moved and split.

Three generations of one program. The checkpoint of the first loads into the third, by what the
classes of the third declare about their past, and by nothing else.

    python examples/refactoring.py
"""

import tempfile

import numpy as np

import checkpointable as ckpt


class FirstGeneration:
    """The program as it was when the checkpoint was written."""

    class Linear(ckpt.Trackable):
        """A layer with its weights under short names."""

        def __init__(self, inputs, outputs):
            self.w = ckpt.Variable(np.ones((inputs, outputs)))
            self.b = ckpt.Variable(np.zeros(outputs))

    class Net(ckpt.Trackable):
        """Two layers as attributes, and a plain number."""

        state_attributes = ("images",)

        def __init__(self):
            self.hidden = FirstGeneration.Linear(4, 8)
            self.out = FirstGeneration.Linear(8, 2)
            self.images = 0


# Today's program. Classes have other names and stand in other places, which needs no declaration:
# a checkpoint holds no classes, only the names that lead from object to object.


class Dense(ckpt.Trackable):
    """Once `Linear`. Its variables have been renamed."""

    renamed = {"kernel": "w", "bias": "b"}

    def __init__(self, inputs, outputs):
        self.kernel = ckpt.Variable(np.zeros((inputs, outputs)))
        self.bias = ckpt.Variable(np.zeros(outputs))


class Encoder(ckpt.Trackable):
    """New: what were attributes of the network is a list of layers in an object of its own."""

    def __init__(self):
        self.layers = [Dense(4, 8)]


class Classifier(ckpt.Trackable):
    """Once `Net`."""

    state_attributes = ("images_seen",)
    renamed = {
        "encoder/layers/0": "hidden",  # moved into another object, and into a list
        "head": ("output", "out"),  # renamed twice: newer names first
        "images_seen": "images",  # a plain value
    }

    def __init__(self):
        self.encoder = Encoder()
        self.head = Dense(8, 2)
        self.images_seen = 0


def main():
    """Save with the first generation, load with today's."""
    with tempfile.TemporaryDirectory() as directory:
        net = FirstGeneration.Net()
        net.hidden.w.assign(np.arange(32.0).reshape(4, 8))
        net.images = 60_000
        old = ckpt.Checkpoint(model=net).save(f"{directory}/old")

        classifier = Classifier()
        ckpt.Checkpoint(model=classifier).restore(old).assert_consumed()
        assert classifier.encoder.layers[0].kernel.value.sum() == 496
        assert classifier.images_seen == 60_000
        print("the first generation's checkpoint is read in full")

        # What is saved from now on has the names of today, and is read as it is.
        new = ckpt.Checkpoint(model=classifier).save(f"{directory}/new")
        again = Classifier()
        ckpt.Checkpoint(model=again).restore(new).assert_consumed()
        print(ckpt.diff(old, new))

        # One part of a checkpoint into a bare object: one line.
        head = Dense(8, 2)
        ckpt.Checkpoint(head).restore(new, at="model/head").assert_consumed()

        # Names that are nobody's past are bridged for one restore.
        other = ckpt.Checkpoint(front=Dense(4, 8))
        other.restore(old, rename={"front": "model/hidden"}, only="front").assert_consumed()
        assert other.front.kernel.value.sum() == 496
        print("so are its parts, into other programs")


if __name__ == "__main__":
    main()
