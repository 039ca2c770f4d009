"""Runs workloads through every crash, and mutants against the harness."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from checkpointable.storage.base import Storage
from tests.harness.crash import Model, crashes
from tests.harness.driving import Driver
from tests.harness.recording import Failed
from tests.harness.watcher import breaches
from tests.harness.workloads import Workload, faults, no_watch, record


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
        storage, safe = record(workload, driver)
        bad += [f"{workload.name}: {mark}" for mark in storage.log if isinstance(mark, Failed)]
        for model in models:
            for crash in crashes(storage.recording(), model):
                images += 1
                found = faults(storage, safe, driver, crash)
                if found:
                    bad.append(f"{workload.name}, {model.value}, after {crash.after}: {found}")
    return Result(images, bad)


def caught(
    workloads: Iterable[Workload],
    driver: Driver,
    mutant: Callable[[Storage], Storage] = lambda storage: storage,
) -> str | None:
    """Return what first gives a mutant away; `None` if nothing does."""
    for workload in workloads:
        with no_watch():
            found = _caught(workload, driver, mutant)
        if found is not None:
            return f"{workload.name}: {found}"
    return None


def _caught(workload: Workload, driver: Driver, mutant: Callable[[Storage], Storage]) -> str | None:
    storage, safe = record(workload, driver, mutant)
    failed = [f"save {mark.value} failed" for mark in storage.log if isinstance(mark, Failed)]
    for found in failed + breaches(storage.log):
        return found
    for crash in crashes(storage.recording(), Model.WEAK):
        for found in faults(storage, safe, driver, crash):
            return found
    return None
