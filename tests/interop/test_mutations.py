"""Whatever is done to a foreign file: it is read as it was, or refused with a CheckpointError."""

from __future__ import annotations

import collections
import resource
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.mutations import Sample, mutate, samples

BATCHES = 60
IN_A_BATCH = 4_000
SECONDS = 5.0  # that one input may take; they take milliseconds


@attrs.define
class Campaign:
    """Many changed samples, and what became of them."""

    directory: Path
    outcomes: collections.Counter[str] = attrs.field(factory=collections.Counter)
    slowest: float = 0.0

    def run(self, seed: int, count: int) -> None:
        """Try so many changes, and count what happens."""
        scratch, place = self.directory / "scratch", self.directory / "place"
        scratch.mkdir()
        found = samples(scratch)
        for sample in found:
            assert "" == self._try(sample, place)[0], sample.name
        expected = {sample.name: self._try(sample, place)[1] for sample in found}
        for number in range(count):
            random = Random(f"{seed} {number}")
            sample, changed, is_covered = mutate(random, found)
            start = time.perf_counter()
            try:
                error, content = self._try(changed, place)
            except Exception as escaped:
                raise AssertionError(f"seed {seed}, input {number}: {sample.name}") from escaped
            self.slowest = max(self.slowest, time.perf_counter() - start)
            is_as_it_was = not error and content == expected[sample.name]
            where = f"seed {seed}, input {number}: {sample.name} was read as something else"
            assert error or is_as_it_was or not is_covered, where
            self.outcomes[error or ("as it was" if is_as_it_was else "other content")] += 1

    def _try(self, sample: Sample, place: Path) -> tuple[str, Any]:
        """Open, list, read, restore and verify; return the name of the error, and the content."""
        place.mkdir(exist_ok=True)
        try:
            path = sample.put(place)
            assert isinstance(ckpt.verify(path), list)
            return "", read_all(path)
        except ckpt.CheckpointError as error:
            return type(error).__name__, None
        finally:
            for file in place.iterdir():
                file.unlink()


def read_all(path: Path) -> Any:
    """Return the content of a checkpoint as bytes by key, read in every way there is."""
    with warnings.catch_warnings(action="ignore", category=ckpt.CheckpointWarning):
        ckpt.load(path)
        status = ckpt.Checkpoint().read(path).expect_partial()
        str(status.report())
        del status
    with ckpt.load_checkpoint(path) as reader:
        if reader.graph is not None:
            ckpt.CheckpointView(path).descendants()
        return {
            key: (array.dtype.str, array.shape, _bytes(array))
            for key in reader.keys()  # noqa: SIM118 - no mapping
            for array in (reader.get_tensor(key),)
        }


def _bytes(array: np.ndarray[Any, Any]) -> Any:
    return array.tolist() if array.dtype == object else array.tobytes()


@pytest.fixture(scope="module")
def total() -> Campaign:
    """What all batches came to."""
    return Campaign(Path())


def test_changed_files_are_read_as_they_were_or_refused(tmp_path: Path) -> None:
    """Some hundred changes, the same ones each time."""
    campaign = Campaign(tmp_path)

    campaign.run(0, 300)

    assert 300 == campaign.outcomes.total()
    assert campaign.slowest < SECONDS


@pytest.mark.campaign
@pytest.mark.parametrize("batch", range(BATCHES))
def test_campaign_of_changed_files(
    figures: dict[str, str], tmp_path: Path, total: Campaign, batch: int
) -> None:
    """Nothing but a CheckpointError escapes, in little time and memory, from 240,000 inputs."""
    campaign, before = Campaign(tmp_path), _peak()

    campaign.run(time.time_ns() + batch, IN_A_BATCH)

    total.outcomes += campaign.outcomes
    total.slowest = max(total.slowest, campaign.slowest)
    counts = ", ".join(f"{count:,} {what}" for what, count in total.outcomes.most_common())
    figures["changed foreign files"] = (
        f"{total.outcomes.total():,}: {counts}; slowest {total.slowest * 1e3:.0f} ms, memory"
        f" {_peak():.0f} MiB at most"
    )
    assert campaign.slowest < SECONDS
    assert _peak() - before < 256


def _peak() -> float:
    """Return the most memory that this process ever had, in MiB (on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
