"""Measure TensorFlow's format against TensorFlow itself and against our native format.

    python -m pip install -e ".[interop]" && python tests/benchmarks/tensorflow_speed.py

    options: [--directory DIR] [--turns N]

Two goals, printed with what was reached: opening and listing 2,000 variables takes at most ten
times as long as TensorFlow's own C++ reader takes; reading 1 GiB of a checkpoint that TensorFlow
wrote takes at most twice as long as reading it from our native format. TensorFlow's import is
outside of all times. Nothing is synced (`durable=False`), as TensorFlow does not sync either, and
the page cache is warm for everyone.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import checkpointable as ckpt
from tests.benchmarks import timing

MIB = 1 << 20


def tensorflow() -> Any:
    """Return the package tensorflow, on the CPU."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as package

    return package


def measure_listing(tf: Any, directory: Path, turns: int) -> None:
    """Print how long it takes to open a checkpoint of TensorFlow's and list what is in it."""
    random = np.random.default_rng(0)
    variables = [tf.Variable(random.random(16, np.float32)) for _ in range(2_000)]
    path = tf.train.Checkpoint(arrays=variables).write(str(directory / "small"))
    theirs, ours = "tf.train.load_checkpoint, list", "ckpt.list_variables"
    view = "ckpt.CheckpointView"
    assert dict(ckpt.list_variables(path)) == {
        name: tuple(shape) for name, shape in tf.train.list_variables(path)
    }
    tasks = {
        theirs: lambda: tf.train.load_checkpoint(path).get_variable_to_shape_map(),
        ours: lambda: ckpt.list_variables(path),
        view: lambda: ckpt.CheckpointView(path),
    }
    seconds = timing.best(tasks, turns * 5)
    title, size = (
        "Open and list 2,000 variables that TensorFlow wrote",
        Path(path + ".index").stat(),
    )
    print(timing.table(title, seconds, theirs, size.st_size, goal(seconds, ours, theirs, 10)), "\n")


def measure_data(tf: Any, directory: Path, turns: int) -> None:
    """Print how long reading and writing 1 GiB takes, in either format and in TensorFlow."""
    random = np.random.default_rng(0)
    arrays = [random.random(2 * MIB, np.float32) for _ in range(128)]
    size = sum(array.nbytes for array in arrays)
    their_arrays = [tf.Variable(array) for array in arrays]
    theirs = tf.train.Checkpoint(arrays=their_arrays)
    ours = ckpt.Checkpoint(arrays=[ckpt.Variable(array) for array in arrays])
    written = theirs.write(str(directory / "tensorflow"))
    ours.write(directory / "native", durable=False)
    native, foreign, own = "native format", "TensorFlow's format", "TensorFlow itself"

    reading = {
        native: lambda: ours.read(directory / "native").assert_consumed(),
        foreign: lambda: ours.read(written).assert_consumed(),
        own: lambda: theirs.read(written).assert_consumed(),
    }
    seconds = timing.best(reading, turns)
    title = "Read 1 GiB, 128 x 8 MiB"
    print(timing.table(title, seconds, native, size, goal(seconds, foreign, native, 2)), "\n")

    scratch = directory / "scratch"

    def clear() -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()

    clear()
    writing = {
        native: lambda: ours.write(scratch / "ckpt", durable=False),
        foreign: lambda: ours.write(scratch / "ckpt", durable=False, format="tensorflow"),
        own: lambda: theirs.write(str(scratch / "ckpt")),
    }
    seconds = timing.best(writing, turns, clear)
    print(timing.table("Write 1 GiB, 128 x 8 MiB", seconds, native, size), "\n")


def goal(seconds: Mapping[str, float], task: str, base: str, most: float) -> str:
    """Say what was aimed at, and whether it was reached."""
    ratio = seconds[task] / seconds[base]
    reached = "reached" if ratio <= most else "NOT reached"
    return f"goal: {task} at most {most:g} x {base}: {ratio:.2f} x, {reached}"


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--directory", type=Path, help="where to write (default: a temporary one)")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    tf = tensorflow()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        measure_listing(tf, Path(name), arguments.turns)
        measure_data(tf, Path(name), arguments.turns)


if __name__ == "__main__":
    main()
