"""Readers beside a writer: they never lock, and always see one whole save."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from checkpointable.directory.latest import latest_checkpoint
from checkpointable.directory.state_file import record_latest
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.harness.bundles import BundleDriver
from tests.harness.processes import end_of, kill, start

DRIVER = BundleDriver(shards=3, shard_bytes=3000)


def _overwrite_for_ever(prefix: str) -> None:
    for value in itertools.count(1):
        single_file = value % 5 == 0
        DRIVER.save(LOCAL, prefix, value, SaveOptions(durable=False, single_file=single_file))


def _save_and_remove_for_ever(directory: Path) -> None:
    for value in itertools.count(1):
        prefix = str(directory / "ckpt")
        record_latest(
            LOCAL, DRIVER.save(LOCAL, prefix, value, SaveOptions(durable=False), numbered=True)
        )
        for path in directory.glob(f"ckpt-{value - 2}.*"):
            path.unlink()


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60, marks=pytest.mark.campaign)])
def test_readers_of_a_prefix_that_is_overwritten(
    tmp_path: Path, figures: dict[str, str], seconds: float
) -> None:
    """A reader sees one whole save, and never an older one than before."""
    prefix = str(tmp_path / "ckpt")
    DRIVER.save(LOCAL, prefix, 0, SaveOptions())
    writer = start(lambda: _overwrite_for_ever(prefix))
    seen = [0]
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen.append(DRIVER.load(LOCAL, prefix))
    finally:
        kill(writer)
        end_of(writer)
    assert seen == sorted(seen)
    figures["reads beside a writer"] = f"{len(seen):,} of {seen[-1]:,} saves"


def test_the_latest_beside_a_writer_that_removes(tmp_path: Path) -> None:
    """`latest_checkpoint` always finds one, and never warns, where checkpoints come and go."""
    record_latest(LOCAL, DRIVER.save(LOCAL, str(tmp_path / "ckpt-1"), 0, SaveOptions()))
    writer = start(lambda: _save_and_remove_for_ever(tmp_path))
    seen = [1]
    try:
        for _ in range(200):
            found = latest_checkpoint(tmp_path)
            assert found is not None
            seen.append(int(found.rpartition("-")[2]))
    finally:
        kill(writer)
        end_of(writer)
    assert seen == sorted(seen)
