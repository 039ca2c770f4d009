"""What this library wrote in the formats of others is read for ever, and exactly.

To write the files again: `python -m tests.golden.test_other_formats DIRECTORY`. They are only ever
added to.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt

FILES = Path(__file__).parent / "other_formats"
FORMATS = ["tensorflow", "safetensors"]
METADATA = {"run": 7, "note": "größe"}


class State(ckpt.PythonState):
    """Some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return self.data

    def deserialize(self, data: bytes) -> None:
        self.data = data


def program(*, filled: bool) -> ckpt.Checkpoint:
    """Return a program with one of everything that both formats hold, or an empty one."""
    w = ckpt.Variable(np.arange(6, dtype=np.float32).reshape(2, 3) * filled, name="layer/w")
    optimizer = ckpt.SlotTrackable()
    slot = optimizer.add_slot(w, "momentum")
    if filled:
        slot.assign(np.full((2, 3), 0.5))
    given: dict[str, Any] = {
        "layers": [w, {"again": w, "bias": np.arange(4) * filled}],
        "pair": (np.float64(1.5 * filled), np.zeros((2, 0))),
        "optimizer": optimizer,
        "state": State(b"\0state" * filled),
        "flag": filled,
        "count": 3 * filled,
        "rate": 0.1 * filled,
        "text": "größe" * filled,
        "plain": [1, (2, None), {"a": {3}}, 2**70, b"\xff"] if filled else [],
        "nothing": None,
        "a.b": np.array([True, False]) & filled,
    }
    checkpoint = ckpt.Checkpoint()
    for name, value in given.items():
        checkpoint.track(name, value)
    return checkpoint


def write_files(directory: Path) -> None:
    """Write the files."""
    for name in FORMATS:
        program(filled=True).write(directory / name, format=name, metadata=METADATA)


@pytest.mark.parametrize("name", FORMATS)
def test_every_byte_is_right(name: str) -> None:
    """The files verify, and their metadata are read."""
    assert [] == ckpt.verify(FILES / name)
    with ckpt.load_checkpoint(FILES / name) as reader:
        assert METADATA == dict(reader.metadata)


@pytest.mark.parametrize("name", FORMATS)
def test_everything_comes_back(name: str) -> None:
    """An empty program becomes the one that was saved, and nothing is left over."""
    live = program(filled=False)
    ckpt.Checkpoint(live).read(FILES / name).assert_consumed()

    assert not ckpt.diff(ckpt.Checkpoint(program(filled=True)), ckpt.Checkpoint(live))
    assert not ckpt.diff(FILES / name, ckpt.Checkpoint(program(filled=True)))


def test_the_files_are_written_again(tmp_path: Path) -> None:
    """TensorFlow's files have the same bytes today; the other holds the version of the library."""
    write_files(tmp_path)
    old = {path.name: path.read_bytes() for path in FILES.iterdir()}
    new = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert sorted(old) == sorted(new)
    for name in [name for name in old if name.startswith("tensorflow")]:
        assert old[name] == new[name]


if __name__ == "__main__":
    write_files(Path(sys.argv[1]))
