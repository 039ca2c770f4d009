"""Measure saving and restoring against the raw operations, and print the ratios.

    python tests/benchmarks/save_speed.py [--directory DIR] [--turns N]

Nothing is synced (`durable=False`), because pickle and `os.write` do not sync either. The page
cache is warm for everyone: every file is new, is written in the same directory, and is removed
outside the measured time, so no task pays for what another left behind.
"""

import argparse
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))

import checkpointable as ckpt
from tests.benchmarks import timing

Array = npt.NDArray[np.float32]
MIB = 1 << 20


class Bag(ckpt.Trackable):
    """Nothing but variables."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.variables = [ckpt.Variable(array) for array in arrays]


def write_raw(path: Path, arrays: Sequence[Array]) -> None:
    """Write the arrays one after the other with nothing around them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    for array in arrays:
        rest = memoryview(array).cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    os.close(descriptor)


def read_raw(path: Path, arrays: Sequence[Array]) -> None:
    """Read such a file back into the arrays."""
    with open(path, "rb", buffering=0) as file:
        for array in arrays:
            rest = memoryview(array).cast("B")
            while rest:
                rest = rest[file.readinto(rest) :]


def write_pickle(path: Path, arrays: Sequence[Array]) -> None:
    """Pickle the arrays by name, as people do."""
    with open(path, "wb") as file:
        pickle.dump({f"v{i}": array for i, array in enumerate(arrays)}, file, protocol=5)


def read_pickle(path: Path, arrays: Sequence[Array]) -> None:
    """Unpickle the arrays and copy them into those that exist."""
    with open(path, "rb") as file:
        stored = pickle.load(file)
    for array, value in zip(arrays, stored.values(), strict=True):
        array[...] = value


@attrs.frozen
class Raw:
    """A plain way of saving arrays to compare with."""

    name: str
    write: Callable[[Path, Sequence[Array]], None]
    read: Callable[[Path, Sequence[Array]], None]


def measure(title: str, arrays: Sequence[Array], raw: Raw, directory: Path, turns: int) -> None:
    """Print how saving and restoring compare with a plain way of doing it."""
    size = sum(array.nbytes for array in arrays)
    bag = Bag(arrays)
    checkpoint = ckpt.Checkpoint(bag=bag)
    values = [variable.value for variable in bag.variables]
    scratch = directory / "scratch"

    def save() -> object:
        return checkpoint.write(scratch / "ckpt", durable=False)

    def clear() -> None:
        shutil.rmtree(scratch)
        scratch.mkdir()

    scratch.mkdir()
    memory = timing.peak_growth(save)  # first, while no freed memory lies about to be used again
    clear()
    saving = {raw.name: lambda: raw.write(scratch / "raw", values), "Checkpoint.write": save}
    seconds = timing.best(saving, turns, clear)
    print(timing.table(f"Save {title}", seconds, raw.name, size, note(memory)))

    raw.write(scratch / "raw", values)
    save()
    memory = timing.peak_growth(lambda: checkpoint.read(scratch / "ckpt").assert_consumed())
    restoring = {
        raw.name: lambda: raw.read(scratch / "raw", values),
        "Checkpoint.read": lambda: checkpoint.read(scratch / "ckpt"),
        "Checkpoint.read, assert_consumed": lambda: checkpoint.read(
            scratch / "ckpt"
        ).assert_consumed(),
    }
    seconds = timing.best(restoring, turns)
    print(timing.table(f"Restore {title}", seconds, raw.name, size, note(memory)), "\n")
    shutil.rmtree(scratch)


def note(memory: int | None) -> str:
    """Say how much memory was used beyond the arrays themselves."""
    return "" if memory is None else f"memory beyond the arrays: {max(memory, 0) / MIB:.0f} MiB"


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--directory", type=Path, help="where to write (default: a temporary one)")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    small = list(random.random((20_000, 64), np.float32))
    large = [random.random(2 * MIB, np.float32) for _ in range(128)]
    pickled = Raw("pickle", write_pickle, read_pickle)
    unframed = Raw("os.write, readinto", write_raw, read_raw)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        place, turns = Path(name), arguments.turns
        measure("20,000 x 64 float32", small, pickled, place, turns)
        measure("128 x 8 MiB", large, unframed, place, turns)


if __name__ == "__main__":
    main()
