"""Train a small Keras model on handwritten digits and checkpoint it, for `read_tensorflow.py`.

    python -m pip install tensorflow-cpu scikit-learn
    python examples/make_tensorflow_checkpoint.py

Nothing in here uses `checkpointable`, and nothing else in these examples needs TensorFlow: what
this script wrote is kept in `examples/data/`.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits


def main():
    """Read the command line, train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(__file__).parent / "data" / "digits_from_keras"
    parser.add_argument("--directory", type=Path, default=data)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()

    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    unseen = np.arange(len(images)) % 5 == 0

    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((64,)),
            tf.keras.layers.Dense(24, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )
    optimizer = tf.keras.optimizers.Adam(1e-3)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    model.fit(images[~unseen], labels[~unseen], epochs=arguments.epochs, verbose=0)

    right = model.predict(images[unseen], verbose=0).argmax(axis=1) == labels[unseen]
    accuracy = tf.Variable(np.mean(right), name="accuracy")
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, accuracy=accuracy)
    path = checkpoint.write(str(arguments.directory / "ckpt"))
    print(f"{path}: accuracy {accuracy.numpy():.4f}")


if __name__ == "__main__":
    main()
