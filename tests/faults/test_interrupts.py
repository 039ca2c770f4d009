"""Ctrl-C at every moment of a save."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from types import FrameType

import pytest

import checkpointable
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.harness.bundles import BundleDriver

PACKAGE = str(Path(checkpointable.__file__).parent)
DRIVER = BundleDriver(shards=2, shard_bytes=500)

#: How often a save opens a file or directory.
MOST_LOST = 20


class _Interrupt:
    """Raises KeyboardInterrupt at the n-th moment at which a signal may come; counts them.

    The interpreter lets signals in when a function begins, and after a call of built-in code.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.moments = 0

    def __enter__(self) -> None:
        sys.setprofile(self._moment)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _moment(self, frame: FrameType, event: str, _: object) -> None:
        is_ours = frame.f_code.co_filename.startswith(PACKAGE)
        if is_ours and event in {"call", "c_return"}:
            self.moments += 1
            if self.moments == self.at:
                raise KeyboardInterrupt


def _save_interrupted(prefix: str, value: int, options: SaveOptions, at: int) -> bool:
    """Save, interrupted at a moment; tell whether the save went on for so long."""
    interrupt = _Interrupt(at)
    try:
        with interrupt:
            DRIVER.save(LOCAL, prefix, value, options)
    except KeyboardInterrupt:
        return True
    return interrupt.moments >= at


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("single_file", [False, True])
@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.campaign)])
def test_interrupted_at_any_moment(
    tmp_path: Path, figures: dict[str, str], single_file: bool, step: int
) -> None:
    """An interrupt at any moment leaves old or new and no lock; the next save cleans up.

    (By default every 37th moment is tried, in the campaign each.)
    """
    prefix = str(tmp_path / "ckpt")
    options = SaveOptions(single_file=single_file, durable=False)
    DRIVER.save(LOCAL, prefix, 0, options)
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
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
        assert len(os.listdir("/proc/self/fd")) - descriptors <= MOST_LOST
    before = int(figures.get("interrupts", "0").replace(",", ""))
    figures["interrupts"] = f"{before + at // step:,}"
