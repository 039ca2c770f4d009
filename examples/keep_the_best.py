"""Keep the last three checkpoints, the best one, and one per minute; be killed, and go on.

    python examples/keep_the_best.py

A network learns handwritten digits. After each epoch its accuracy on images that it never trains
on is measured, and a checkpoint is saved. The manager deletes the others; the table at the end
says why each one is still there. Kill a run at any moment and start it again: it goes on with the
same weights and the same decisions. Ask it to go (`kill PID`, as a cluster does that wants its
machine back) and it saves once more and exits with 143.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from optimizers import Adam
from sklearn.datasets import load_digits
from tqdm import tqdm
from train_digits import Batches, Network, sha256

import checkpointable as ckpt

STEPS = 45  # in an epoch


def train(directory, epochs, minutes, clock):
    """Train for so many epochs in all, from the newest checkpoint in the directory if any."""
    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    validation = np.arange(len(images)) % 5 == 0

    model = Network([64, 48, 10], np.random.default_rng(0))
    optimizer = Adam()
    batches = Batches(images[~validation], labels[~validation], size=32, seed=1)
    checkpoint = ckpt.Checkpoint(model=model, optimizer=optimizer, batches=batches, epoch=0)
    manager = ckpt.CheckpointManager(
        checkpoint,
        directory,
        max_to_keep=3,
        keep_best=1,
        metric="accuracy",
        keep_checkpoint_every_n_hours=minutes / 60,
        checkpoint_name="digits",
        clock=clock,
    )

    with manager, manager.save_on_signal():
        newest = manager.restore_or_initialize()
        if newest is not None:
            print(f"resumed at epoch {checkpoint.epoch} from {newest}")
        remaining = range(checkpoint.epoch, epochs)
        for _ in tqdm(remaining, initial=checkpoint.epoch, total=epochs, unit="epoch"):
            for _ in range(STEPS):
                optimizer.apply(model.variables, model.gradients(*batches.next()))
            checkpoint.epoch += 1
            accuracy = np.mean(model(images[validation]).argmax(axis=1) == labels[validation])
            manager.save(metrics={"accuracy": accuracy})

        print(manager.plan())
        print(f"epoch {checkpoint.epoch}, sha256 of the weights {sha256(model.variables)}")


def pretended(directory, seconds):
    """Return a clock by which each epoch takes so long: two runs then have the same times."""

    def clock():
        epochs = [int(path.stem.rpartition("-")[2]) for path in directory.glob("digits-*.index")]
        return seconds * max(epochs, default=0)

    return clock


def main():
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("best-checkpoints"))
    parser.add_argument("--epochs", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=1.0, help="keep one in so many for good")
    parser.add_argument("--pretend", type=float, help="seconds that an epoch is to take")
    given = parser.parse_args()
    clock = time.time if given.pretend is None else pretended(given.directory, given.pretend)
    train(given.directory, given.epochs, given.minutes, clock)


if __name__ == "__main__":
    main()
