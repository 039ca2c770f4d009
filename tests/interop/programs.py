"""Programs of TensorFlow users whose state is checkpointed, each built anew from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

Program = Callable[[Any, int], Any]
"""Takes the package tensorflow and a seed, and returns a `tf.train.Checkpoint`."""

DTYPES = (
    *("bool", "int4", "int8", "int16", "int32", "int64", "uint4", "uint8", "uint16", "uint32"),
    *("uint64", "float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("complex64", "complex128"),
)


def nested(tf: Any, seed: int) -> Any:
    """Lists, dicts and tuples in each other, an object under three names, cycles, odd names."""
    draw = _variables(tf, seed)
    root, child = tf.Module(), tf.Module()
    shared = draw(3)
    root.child, child.parent, child.me = child, root, child
    root.items = [draw(2, 2), {"a": draw(), "b": [draw(1), shared]}, (draw(2), (draw(), shared))]
    root.named = {"with/slash": draw(2), "with.dot": draw(3), "ünï code": draw(1), "": draw()}
    child.shared, child.empty, child.nothing = shared, [], {}
    return tf.train.Checkpoint(model=root, also=child, shared=shared, step=draw(dtype="int64"))


def rooted(tf: Any, seed: int) -> Any:
    """A root of its own, with further things beside it."""
    draw = _variables(tf, seed)
    root = tf.Module()
    root.w, root.layers = draw(2, 3), [draw(2), draw(3)]
    return tf.train.Checkpoint(root, extra=draw(1), again=root)


def modules(tf: Any, seed: int) -> Any:
    """Modules of modules, as Sonnet writes them."""
    draw = _variables(tf, seed)

    class Linear(tf.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__(name="linear")
            self.w, self.b = draw(inputs, outputs), draw(outputs)

    class Perceptron(tf.Module):
        def __init__(self, *sizes: int) -> None:
            super().__init__()
            self.layers = [Linear(a, b) for a, b in itertools.pairwise(sizes)]

    return tf.train.Checkpoint(net=Perceptron(4, 8, 2), step=draw(dtype="int64"))


def every_dtype(tf: Any, seed: int) -> Any:
    """A vector, a scalar and an empty tensor of each dtype that a variable may have."""
    random = np.random.default_rng(seed)
    children = {}
    for dtype in map(tf.as_dtype, DTYPES):
        bits = random.integers(0, 2 if dtype == tf.bool else 8, 6).astype(np.uint8)
        children[dtype.name] = tf.Variable(bits.astype(dtype.as_numpy_dtype))
        children[dtype.name + "_scalar"] = tf.Variable(bits.astype(dtype.as_numpy_dtype)[0])
        children[dtype.name + "_empty"] = tf.Variable(np.zeros((2, 0, 3), dtype.as_numpy_dtype))
    for name, texts in {
        "strings": ["", f"é{seed}", "x" * 300],
        "scalar": "a\x00",
        "none": [],
    }.items():
        encoded = np.vectorize(str.encode, otypes=[object])(np.array(texts, object))
        children[f"string_{name}"] = tf.Variable(tf.constant(encoded, tf.string))
    return tf.train.Checkpoint(**children)


def old_adam(tf: Any, seed: int) -> Any:
    """Adam and Momentum of `tf.compat.v1` after two steps, with their slot variables."""
    draw = _variables(tf, seed)
    w, b, table = draw(3, 2), draw(2), draw(5, 4)
    train = tf.compat.v1.train
    adam, momentum = train.AdamOptimizer(0.1), train.MomentumOptimizer(0.1, 0.9)
    for _ in range(2):
        adam.minimize(lambda: tf.reduce_sum(w * w) + tf.reduce_sum(b**3), var_list=[w, b])
        momentum.minimize(lambda: tf.reduce_sum(table**2) + tf.reduce_sum(w), var_list=[table, w])
    return tf.train.Checkpoint(net={"w": w, "b": b}, table=table, adam=adam, momentum=momentum)


def keras_sequential(tf: Any, seed: int) -> Any:
    """A Sequential model with weights, statistics and random numbers, after training by Adam."""
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(2),
        ]
    )
    return _trained(tf, model, tf.keras.optimizers.Adam(0.01), seed)


def keras_functional(tf: Any, seed: int) -> Any:
    """A functional model with a layer used twice and a recurrent one, after training by AdamW."""
    layers = tf.keras.layers
    inputs = layers.Input((4,))
    shared = layers.Dense(4, name="shared")
    hidden = layers.Add()([shared(inputs), shared(shared(inputs))])
    steps = layers.Reshape((2, 2))(hidden)
    outputs = layers.Concatenate()(
        [layers.SimpleRNN(3, unroll=True)(steps), layers.LayerNormalization()(hidden)]
    )
    model = tf.keras.Model(inputs, layers.Dense(2, name="out")(outputs))
    return _trained(tf, model, tf.keras.optimizers.AdamW(0.01), seed)


def keras_subclassed(tf: Any, seed: int) -> Any:
    """A subclassed model with layers in lists and dicts, after training by SGD with momentum."""
    layers = tf.keras.layers

    class Branches(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.stem = layers.Dense(4)
            self.blocks = [layers.Dense(4, activation="relu") for _ in range(2)]
            self.heads = {"a": layers.Dense(1), "b": layers.Dense(1)}
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x: Any) -> Any:
            x = self.stem(x)
            for block in self.blocks:
                x = block(x)
            return tf.concat([self.heads["a"](x), self.heads["b"](x)], 1) * self.scale

    optimizer = tf.keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    return _trained(tf, Branches(), optimizer, seed)


def many(tf: Any, seed: int) -> Any:
    """Two thousand variables."""
    random = np.random.default_rng(seed)
    root = tf.Module()
    root.layers = [
        {"w": tf.Variable(random.random((2, 3), np.float32)), "b": tf.Variable(random.random(3))}
        for _ in range(1_000)
    ]
    return tf.train.Checkpoint(model=root)


PROGRAMS: dict[str, Program] = {
    program.__name__: program
    for program in (
        nested,
        rooted,
        modules,
        every_dtype,
        old_adam,
        keras_sequential,
        keras_functional,
        keras_subclassed,
        many,
    )
}


def _variables(tf: Any, seed: int) -> Any:
    """Return a function that makes variables of a shape with random values."""
    random = np.random.default_rng(seed)

    def draw(*shape: int, dtype: str = "float32") -> Any:
        return tf.Variable((random.normal(size=shape) * 100).astype(dtype))

    return draw


def _trained(tf: Any, model: Any, optimizer: Any, seed: int) -> Any:
    """Return the checkpoint of a model that was trained for three steps."""
    random = np.random.default_rng(seed)
    tf.keras.utils.set_random_seed(seed)
    model.compile(optimizer=optimizer, loss="mse", run_eagerly=True)
    for _ in range(3):
        x = random.normal(size=(16, 4)).astype(np.float32)
        model.train_on_batch(x, x[:, :2] ** 2)
    return tf.train.Checkpoint(model=model, optimizer=optimizer, step=tf.Variable(seed))
