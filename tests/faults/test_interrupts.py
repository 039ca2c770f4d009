"""Ctrl-C at every moment of a save, by a manager too."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.harness.bundles import BundleDriver
from tests.harness.interrupts import Interrupt
from tests.harness.workloads import FORMATS

DRIVER = BundleDriver(shards=2, shard_bytes=500)

#: How often a save opens a file or directory.
MOST_LOST = 20


def _save_interrupted(prefix: str, value: int, options: SaveOptions, at: int) -> bool:
    """Save, interrupted at a moment; tell whether the save went on for so long."""
    interrupt = Interrupt(at)
    try:
        with interrupt:
            DRIVER.save(LOCAL, prefix, value, options)
    except KeyboardInterrupt:
        return True
    return interrupt.has_come


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.campaign)])
def test_interrupted_at_any_moment(
    tmp_path: Path, figures: dict[str, str], name: str, step: int
) -> None:
    """An interrupt at any moment leaves old or new and no lock; the next save cleans up.

    (By default every 37th moment is tried, in the campaign each.)
    """
    prefix = str(tmp_path / "ckpt")
    options = SaveOptions(**FORMATS[name], durable=False)
    DRIVER.save(LOCAL, prefix, 0, options)
    gc.collect()
    descriptors = _descriptors()
    held, at = 0, 1
    while _save_interrupted(prefix, at, options, at):
        found = DRIVER.load(LOCAL, prefix)
        assert found in {held, at}
        held = found
        at += step
    DRIVER.save(LOCAL, prefix, at, options)
    assert list(tmp_path.glob("*.tmp")) == []
    assert DRIVER.load(LOCAL, prefix) == at
    gc.collect()
    if descriptors:  # Nothing can help between the opening of a file and the note of its number.
        assert _descriptors() - descriptors <= MOST_LOST
    _note(figures, at // step)


def _manage(directory: Path) -> tuple[ckpt.CheckpointManager, ckpt.Checkpoint]:
    checkpoint = ckpt.Checkpoint(left=np.zeros(9), right=np.zeros(9))
    options = ckpt.SaveOptions(durable=False)
    return ckpt.CheckpointManager(checkpoint, directory, 1, save_options=options), checkpoint


def _managed_save_interrupted(
    manager: ckpt.CheckpointManager, checkpoint: ckpt.Checkpoint, value: int, at: int
) -> bool:
    """Save, interrupted at a moment; tell whether the save went on for so long."""
    checkpoint.left[:] = checkpoint.right[:] = value
    interrupt = Interrupt(at)
    try:
        with interrupt:
            manager.save(pin=value == 1)
    except KeyboardInterrupt:
        return True
    return interrupt.has_come


def _held(path: str) -> float:
    """Return the value of a checkpoint whose every byte is right."""
    assert [] == ckpt.verify(path)
    tree = ckpt.load(path)
    (value,) = {*tree["left"].tolist(), *tree["right"].tolist()}
    return float(value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::checkpointable.CheckpointWarning")
@pytest.mark.parametrize(
    ("first", "step"),
    [(1, 97), *(pytest.param(first, 32, marks=pytest.mark.campaign) for first in range(1, 33))],
)
def test_a_manager_interrupted_at_any_moment(
    tmp_path: Path, figures: dict[str, str], first: int, step: int
) -> None:
    """An interrupt at any moment of save and deletion loses nothing, and the manager goes on.

    (By default every 97th moment is tried, in the campaign each.)
    """
    manager, checkpoint = _manage(tmp_path)
    _managed_save_interrupted(manager, checkpoint, 1, at=10**9)
    gc.collect()
    descriptors = _descriptors()
    held, at, value = 1.0, first, 2
    while _managed_save_interrupted(manager, checkpoint, value, at):
        newest = manager.latest_checkpoint
        assert newest is not None
        assert _held(newest) in {held, value}
        held = float(value + 1)
        checkpoint.left[:] = checkpoint.right[:] = held
        newest = manager.save()  # Without an interrupt it deletes all that is surplus.
        assert [1.0, held] == [_held(path) for path in manager.checkpoints]  # 1 is pinned
        assert newest == ckpt.latest_checkpoint(tmp_path)
        with pytest.raises(ckpt.DirectoryInUseError):
            _manage(tmp_path)
        at, value = at + step, value + 2
    assert 2 == len(list(tmp_path.glob("*.index")))
    assert [] == list(tmp_path.glob("*.tmp"))
    manager.close()
    _manage(tmp_path)[0].close()
    gc.collect()
    if descriptors:
        assert _descriptors() - descriptors <= MOST_LOST
    _note(figures, at // step)


def _descriptors() -> int:
    """Return how many files are open; 0 if that cannot be known."""
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


def _note(figures: dict[str, str], interrupts: int) -> None:
    before = int(figures.get("interrupts", "0").replace(",", ""))
    figures["interrupts"] = f"{before + interrupts:,}"
