"""Checkpoints of every format, each written over each other, crashed everywhere."""

from __future__ import annotations

import pytest

from checkpointable.bundle import existing
from tests.harness.bundles import BundleDriver
from tests.harness.driving import RawDriver
from tests.harness.enumeration import caught, enumerate_crashes
from tests.harness.mutants import WithoutSync, form_mutants
from tests.harness.workloads import Workload, format_workloads

WORKLOADS = format_workloads()
#: With real files: what differs by format, and not only by form.
REAL = [w for w in WORKLOADS if w.name in {"tensorflow: overwrite", "safetensors over tensorflow"}]


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_no_crash_breaks_a_promise(figures: dict[str, str], shards: int) -> None:
    """A power cut while one format replaces itself or another leaves the old one or the new."""
    result = enumerate_crashes(WORKLOADS, RawDriver(shards))
    figures[f"crash images, formats, protocol alone, {shards} shards"] = str(result)
    assert result.bad == []


def test_no_crash_breaks_a_promise_with_real_files(figures: dict[str, str]) -> None:
    """The same holds with the real writers and readers."""
    result = enumerate_crashes(REAL, BundleDriver(shards=1, shard_bytes=500))
    figures["crash images, formats, real checkpoints, 1 shard"] = str(result)
    assert result.bad == []


@pytest.mark.campaign
@pytest.mark.parametrize("shards", [0, 1, 2])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_campaign_with_real_files(figures: dict[str, str], workload: Workload, shards: int) -> None:
    """The same holds for every pair of formats."""
    result = enumerate_crashes([workload], BundleDriver(shards))
    before = int(figures.get("crash images, formats, real checkpoints", "0").replace(",", ""))
    figures["crash images, formats, real checkpoints"] = f"{before + result.images:,}"
    assert result.bad == []


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("kill", range(1, 26))
def test_campaign_of_deaths(figures: dict[str, str], kill: int, shards: int, part: int) -> None:
    """The same holds wherever a first writer dies before the second one begins."""
    workloads = format_workloads(kills=(kill,))[len(WORKLOADS) :]
    result = enumerate_crashes(workloads[part::3], RawDriver(shards))
    before = int(figures.get("crash images, formats, deaths", "0").replace(",", ""))
    figures["crash images, formats, deaths"] = f"{before + result.images:,}"
    assert result.bad == []


def test_an_unbroken_protocol_is_not_caught() -> None:
    """The harness finds nothing where nothing is broken: without this, no mutant proves a thing."""
    assert caught(WORKLOADS, RawDriver(shards=1)) is None


@pytest.mark.parametrize("name", form_mutants())
def test_each_mutant_is_caught(figures: dict[str, str], name: str) -> None:
    """Each sync that is left out and each step that is swapped is noticed."""
    found = caught(WORKLOADS, RawDriver(), form_mutants()[name])
    _count(figures, is_caught=found is not None)
    assert found is not None


def test_a_number_of_shards_used_again_is_caught(
    figures: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards without token that take the names of those they replace are noticed."""
    monkeypatch.setattr(existing, "free_count", lambda storage, prefix, least: least)
    overwrite = [w for w in WORKLOADS if w.name == "tensorflow: overwrite"]
    found = caught(overwrite, RawDriver())
    _count(figures, is_caught=found is not None)
    assert found is not None


def test_leftovers_removed_before_the_sync_are_caught(figures: dict[str, str]) -> None:
    """Where a writer died at its commit point, what it replaced may not go before a sync."""
    killed = [w for w in format_workloads(kills=range(10, 15)) if "tensorflow: killed" in w.name]
    role = WithoutSync.ROLES[5]
    found = caught(killed, RawDriver(shards=1), lambda inner: WithoutSync(inner, role))
    _count(figures, is_caught=found is not None)
    assert found is not None


def _count(figures: dict[str, str], *, is_caught: bool) -> None:
    before, _, of = figures.get("mutants caught, formats", "0 of 0").partition(" of ")
    figures["mutants caught, formats"] = f"{int(before) + is_caught} of {int(of) + 1}"
