"""Runs workloads through every crash, and mutants against the harness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from checkpointable.storage.base import Storage
from tests.harness.checks import Examiner, faults, visible_prefixes
from tests.harness.crash import Model, crashes
from tests.harness.driving import Driver
from tests.harness.recording import Failed, RecordingStorage
from tests.harness.watcher import breaches
from tests.harness.workloads import Workload, no_watch


@attrs.frozen
class Result:
    """What the enumeration of some workloads found.

    Attributes:
        images: how many disk images were checked.
        bad: for the images that break a promise, the workload, the moment and the promises.
    """

    images: int
    bad: list[str]

    def __str__(self) -> str:
        return f"{self.images:,} ({len(self.bad)} bad)"


def enumerate_crashes(
    workloads: Iterable[Workload], driver: Driver, models: Iterable[Model] = Model
) -> Result:
    """Check every aftermath of every crash of the workloads."""
    images = 0
    bad: list[str] = []
    for workload in workloads:
        examiner = Examiner(driver)
        storage, safe = _record(workload, driver)
        bad += [f"{workload.name}: {failure}" for failure in _failures(storage)]
        for model in models:
            for crash in crashes(storage.recording(), model):
                images += 1
                found = faults(examiner.look(crash.image), storage.log[: crash.after], safe)
                if found:
                    bad.append(f"{workload.name}, {model.value}, after {crash.after}: {found}")
    return Result(images, bad)


def caught(
    workloads: Sequence[Workload],
    driver: Driver,
    mutant: Callable[[Storage], Storage] = lambda storage: storage,
) -> str | None:
    """Return what first gives a mutant away, the order watcher or a crash; `None`: nothing."""
    with no_watch():
        recordings = [(w, *_record(w, driver, mutant)) for w in workloads]
    for workload, storage, _ in recordings:
        for found in _failures(storage) + breaches(storage.log):
            return f"{workload.name}: {found}"
    for workload, storage, safe in recordings:
        examiner = Examiner(driver)
        for crash in crashes(storage.recording(), Model.WEAK):
            for found in faults(examiner.look(crash.image), storage.log[: crash.after], safe):
                return f"{workload.name}, after {crash.after}: {found}"
    return None


def _record(
    workload: Workload,
    driver: Driver,
    wrap: Callable[[Storage], Storage] = lambda storage: storage,
) -> tuple[RecordingStorage, dict[int, str]]:
    """Run a workload; return its recording and which values were safe before, and where."""
    first, storage = workload.record(driver, wrap)
    prefixes = visible_prefixes(first)
    return storage, {driver.load(first, prefix): prefix for prefix in prefixes}


def _failures(storage: RecordingStorage) -> list[str]:
    """Return the saves that failed, though nothing was wrong with the storage."""
    return [f"save {mark.value} failed" for mark in storage.log if isinstance(mark, Failed)]
