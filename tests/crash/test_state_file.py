"""The state file, crashed everywhere: the latest is found whatever became of it."""

from __future__ import annotations

import pytest

from checkpointable.directory.latest import find_newest
from checkpointable.directory.state_file import (
    CheckpointState,
    read_state,
    record_latest,
    write_state,
)
from checkpointable.options import SaveOptions
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.bundles import BundleDriver
from tests.harness.crash import Model, crashes
from tests.harness.recording import RecordingStorage, Rename, Started, Told

DRIVER = BundleDriver(shards=1, shard_bytes=100)
OLD = CheckpointState("ckpt-1", ("best", "ckpt-1"))
NEW = CheckpointState("ckpt-2", ("best", "ckpt-2"))


def _recording() -> RecordingStorage:
    """Save and record ckpt-2 over ckpt-1."""
    first = MemoryStorage(DiskImage({"/run/x": b""}))
    DRIVER.save(first, "/run/ckpt-1", 1, SaveOptions())
    write_state(first, "/run", OLD)
    storage = RecordingStorage(first.image())
    DRIVER.save(storage, "/run/ckpt-2", 2, SaveOptions())
    storage.log.append(Told(2, "/run/ckpt-2"))
    storage.log.append(Started(3, durable=False))  # A hint is renamed without a sync.
    record_latest(storage, "/run/ckpt-2")
    return storage


@pytest.mark.parametrize("model", Model)
def test_the_latest_is_found_after_every_crash(figures: dict[str, str], model: Model) -> None:
    """The state file is old, new or damaged; the newest checkpoint is found in any case (D-5)."""
    storage = _recording()
    recording = storage.recording()
    told = recording.log.index(Told(2, "/run/ckpt-2"))
    states: set[CheckpointState | None] = set()
    images = 0
    for crash in crashes(recording, model):
        images += 1
        disk = MemoryStorage(crash.image)
        state = read_state(disk, "/run")
        states.add(state)
        found = find_newest(disk, "/run", "checkpoint", sleep=lambda _: None)
        newest = {"/run/ckpt-2"} if crash.after > told else {"/run/ckpt-1", "/run/ckpt-2"}
        assert found.path in newest
        assert (state is None) == (found.problem != "")
        record_latest(disk, "/run/ckpt-2")
        assert read_state(disk, "/run") in (NEW, CheckpointState("ckpt-2", ("ckpt-2",)))
        assert [] == [name for name in disk.list_dir("/run") if name.startswith("checkpoint.")]
    figures[f"crash images, state file, {model.value}"] = f"{images:,}"
    assert {OLD, NEW, None} <= states
    assert {"ckpt-1", "ckpt-2", None} == {s and s.model_checkpoint_path for s in states}


def test_the_state_file_moves_after_the_checkpoint() -> None:
    """What it names is durable before it is renamed into place."""
    log = _recording().log
    renamed = [step.destination for step in log if isinstance(step, Rename)]
    assert ["/run/ckpt-2.index", "/run/checkpoint"] == renamed[-2:]
    assert log.index(Told(2, "/run/ckpt-2")) < len(log) - 1
