"""Readers beside a writer: they never lock, and always see one whole save."""

from __future__ import annotations

import itertools
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.directory.latest import latest_checkpoint
from checkpointable.directory.state_file import record_latest
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.harness.bundles import BundleDriver
from tests.harness.processes import end_of, kill, start
from tests.harness.workloads import FORMATS

DRIVER = BundleDriver(shards=3, shard_bytes=3000)


def _overwrite_for_ever(prefix: str) -> None:
    """Overwrite a checkpoint by ever newer ones, the format a different one most of the time."""
    formats = [*FORMATS.values(), FORMATS["tensorflow"]]
    for value in itertools.count(1):
        fields = formats[value % len(formats)]
        DRIVER.save(LOCAL, prefix, value, SaveOptions(durable=False, **fields))


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


def _model(value: int) -> ckpt.Checkpoint:
    """Return objects of several kinds, large and small, that all hold one value."""
    return ckpt.Checkpoint(
        step=value,
        weights=[ckpt.Variable(np.full(shape, value)) for shape in ((), (7,), (30, 100))],
        state={"table": np.full(3_000, value), "plain": [value] * 5, "name": str(value)},
    )


def _values(model: ckpt.Checkpoint) -> set[int]:
    """Return every value that the objects hold."""
    arrays = [*(weight.value for weight in model.weights), model.state["table"]]
    found = {int(value) for array in arrays for value in np.unique(array)}
    return found | {model.step, int(model.state["name"]), *model.state["plain"]}


def _manage_for_ever(directory: Path) -> None:
    manager = ckpt.CheckpointManager(
        _model(0), directory, max_to_keep=2, save_options=SaveOptions(durable=False)
    )
    for value in itertools.count(1):
        manager.checkpoint.step = value
        for weight in manager.checkpoint.weights:
            weight.value[...] = value
        manager.checkpoint.state["table"][:] = value
        manager.checkpoint.state["plain"][:] = [value] * 5
        manager.checkpoint.state["name"] = str(value)
        assert manager.save() == f"{directory}/ckpt-{value}"


def _read_until(end: float, directory: Path, results: Path) -> bool:
    """Restore the latest again and again; write down which saves were seen, and how many missed."""
    warnings.simplefilter("error")
    model = _model(-1)
    seen: list[int] = []
    missed, last = 0, 0
    while time.monotonic() < end or not seen:
        path = ckpt.latest_checkpoint(directory)
        assert path is not None
        number = int(path.rpartition("-")[2])
        assert number >= last
        last = number
        try:
            model.restore(path).assert_consumed()
        except ckpt.CheckpointNotFoundError:
            missed += 1  # It was the latest when it was looked for, and two saves have come since.
            continue
        assert {number} == _values(model)
        seen.append(number)
    results.write_text(f"{len(seen)} {missed} {seen[-1]}")
    return True


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.campaign)])
def test_four_readers_beside_a_manager(
    tmp_path: Path, figures: dict[str, str], seconds: float
) -> None:
    """Four readers of the latest see whole checkpoints only, and never an older one than before."""
    directory = tmp_path / "run"
    directory.mkdir()
    writer = start(lambda: _manage_for_ever(directory))
    try:
        while ckpt.latest_checkpoint(directory) is None:
            time.sleep(0.001)
        end = time.monotonic() + seconds
        files = [tmp_path / f"reader {number}" for number in range(4)]
        readers = [start(lambda file=file: _read_until(end, directory, file)) for file in files]
        assert [0, 0, 0, 0] == [end_of(reader) for reader in readers]
    finally:
        kill(writer)
        end_of(writer)
    counts = [[int(count) for count in file.read_text().split()] for file in files]
    reads, missed = sum(count[0] for count in counts), sum(count[1] for count in counts)
    figures["reads of four readers beside a manager"] = (
        f"{reads:,} of {max(count[2] for count in counts):,} saves, {missed:,} gone meanwhile"
    )
    assert all(count[0] > 0 for count in counts)
