"""The removal of checkpoints, crashed everywhere: each is whole or gone, and gone for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from checkpointable.directory.removal import remove_checkpoints
from checkpointable.storage.base import Storage
from tests.harness.bundles import BundleDriver
from tests.harness.driving import Driver
from tests.harness.enumeration import caught, enumerate_crashes
from tests.harness.mutants import ShardsRemovedBeforeTheCommitFile, WithoutAnySync, WithoutSync
from tests.harness.recording import RecordingStorage, Removed, Removing
from tests.harness.workloads import Workload, prepare_hidden, save_value


def _prepare(driver: Driver, storage: RecordingStorage) -> None:
    """Save three checkpoints: numbers 2 to 4, for a stranger takes 1."""
    for value in (1, 2, 3):
        save_value(driver, storage, storage, value, numbered=True)


def _prepare_hidden(driver: Driver, storage: RecordingStorage) -> None:
    """Leave a one-file checkpoint that an index hides, as a writer that dies does."""
    save_value(driver, storage, storage, 1, prefix="/run/ckpt-7", single_file=True)
    older = storage.memory.image().files["/run/ckpt-7"]
    save_value(driver, storage, storage, 2, prefix="/run/ckpt-7")
    file = storage.create("/run/ckpt-7")
    file.write([older])
    file.close()


def _prepare_formats(driver: Driver, storage: RecordingStorage) -> None:
    """Save one in TensorFlow's format, whose shards no token tells apart, and a safetensors one."""
    for value, name in enumerate(("tensorflow", "safetensors"), 1):
        save_value(driver, storage, storage, value, numbered=True, format=name)


def _removed(*prefixes: str) -> Callable[[Driver, RecordingStorage, Storage], None]:
    def run(driver: Driver, storage: RecordingStorage, through: Storage) -> None:
        storage.log.extend(map(Removing, prefixes))
        remove_checkpoints(through, prefixes)
        storage.log.extend(map(Removed, prefixes))

    return run


def _removed_and_saved(driver: Driver, storage: RecordingStorage, through: Storage) -> None:
    _removed("/run/ckpt-2")(driver, storage, through)
    save_value(driver, storage, through, 14, numbered=True)


WORKLOADS = [
    Workload("delete one", _prepare, _removed("/run/ckpt-2")),
    Workload("delete the newest", _prepare, _removed("/run/ckpt-4")),
    Workload("delete two", _prepare, _removed("/run/ckpt-2", "/run/ckpt-3")),
    Workload("delete one that hides another", _prepare_hidden, _removed("/run/ckpt-7")),
    Workload("delete one and save", _prepare, _removed_and_saved),
    Workload("delete TensorFlow's", _prepare_formats, _removed("/run/ckpt-2")),
    Workload("delete a safetensors one", _prepare_formats, _removed("/run/ckpt-3")),
    Workload("delete one that hides two", prepare_hidden, _removed("/run/ckpt")),
]
MUTANTS: Mapping[str, Callable[[Storage], Storage]] = {
    "without the sync": lambda inner: WithoutSync(inner, "the removal of the other form"),
    "without any sync": WithoutAnySync,
    "shards first": ShardsRemovedBeforeTheCommitFile,
}


def test_no_crash_breaks_a_promise(figures: dict[str, str]) -> None:
    """A power cut at any moment of a removal leaves each checkpoint whole or gone (D-1, D-3)."""
    result = enumerate_crashes(WORKLOADS, BundleDriver(shards=2, shard_bytes=500))
    figures["crash images, removal, 2 shards"] = str(result)
    assert result.bad == []


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_caught(name: str) -> None:
    """A removal without its sync, or in another order, is noticed; the unbroken one is above."""
    assert caught(WORKLOADS, BundleDriver(shard_bytes=500), MUTANTS[name]) is not None
