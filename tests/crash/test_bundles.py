"""Real checkpoints, written by the real writer, crashed everywhere and read by the real reader."""

from __future__ import annotations

import pytest

from tests.harness.bundles import BundleDriver
from tests.harness.enumeration import caught, enumerate_crashes
from tests.harness.mutants import storage_mutants
from tests.harness.workloads import deaths, workloads

FOR_MUTANTS = workloads(kills=(13,))


def test_no_crash_breaks_a_promise(figures: dict[str, str]) -> None:
    """A power cut at any moment of any workload with 2 shards keeps every promise."""
    result = enumerate_crashes(workloads(kills=()), BundleDriver(shards=2))
    figures["crash images, real checkpoints, 2 shards"] = str(result)
    assert result.bad == []


@pytest.mark.parametrize("shards", [0, 1])
def test_no_crash_breaks_a_promise_with_other_shards(figures: dict[str, str], shards: int) -> None:
    """The same holds with no shard and with one."""
    result = enumerate_crashes(workloads(kills=()), BundleDriver(shards))
    figures[f"crash images, real checkpoints, {shards} shards"] = str(result)
    assert result.bad == []


@pytest.mark.campaign
@pytest.mark.parametrize("shards", [3])
def test_campaign_of_many_shards(figures: dict[str, str], shards: int) -> None:
    """The same holds with more shards."""
    result = enumerate_crashes(workloads(kills=()), BundleDriver(shards))
    figures[f"crash images, real checkpoints, {shards} shards"] = str(result)
    assert result.bad == []


@pytest.mark.campaign
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("kill", range(1, 26))
def test_campaign_of_deaths(figures: dict[str, str], kill: int, shards: int) -> None:
    """The same holds wherever a first writer dies before the second one begins."""
    result = enumerate_crashes(deaths(kill), BundleDriver(shards))
    before = int(
        figures.get("crash images, real checkpoints, campaign of deaths", "0").replace(",", "")
    )
    figures["crash images, real checkpoints, campaign of deaths"] = f"{before + result.images:,}"
    assert result.bad == []


@pytest.mark.parametrize("name", storage_mutants())
def test_each_mutant_is_caught(figures: dict[str, str], name: str) -> None:
    """Each sync that is left out and each step that is swapped is noticed."""
    found = caught(FOR_MUTANTS, BundleDriver(), storage_mutants()[name])
    before, _, of = figures.get("mutants caught, real checkpoints", "0 of 0").partition(" of ")
    figures["mutants caught, real checkpoints"] = f"{int(before) + bool(found)} of {int(of) + 1}"
    assert found is not None
