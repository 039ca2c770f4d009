"""The commit protocol, crashed everywhere, with checksummed bytes in place of real checkpoints."""

from __future__ import annotations

import pytest

from tests.harness.crash import Model, TooManyImagesError, crashes
from tests.harness.driving import RawDriver
from tests.harness.enumeration import caught, enumerate_crashes
from tests.harness.mutants import storage_mutants
from tests.harness.recording import RecordingStorage
from tests.harness.workloads import deaths, workloads

#: Enough for each mutant to do harm: in one, a writer dies just after the commit point.
FOR_MUTANTS = workloads(kills=(13,))


def test_no_crash_breaks_a_promise(figures: dict[str, str]) -> None:
    """A power cut at any moment of any workload with 2 shards keeps every promise."""
    result = enumerate_crashes(workloads(), RawDriver(shards=2))
    figures["crash images, protocol alone, 2 shards"] = str(result)
    assert result.bad == []


@pytest.mark.parametrize("shards", [0, 1])
def test_no_crash_breaks_a_promise_with_other_shards(figures: dict[str, str], shards: int) -> None:
    """The same holds with no shard and with one."""
    result = enumerate_crashes(workloads(kills=()), RawDriver(shards))
    figures[f"crash images, protocol alone, {shards} shards"] = str(result)
    assert result.bad == []


@pytest.mark.campaign
@pytest.mark.parametrize(("shards", "models"), [(3, [*Model]), (4, [*Model]), (8, [Model.ORDERED])])
def test_campaign_of_many_shards(figures: dict[str, str], shards: int, models: list[Model]) -> None:
    """The same holds with more shards (beyond 4, the weak model has images beyond the bound)."""
    result = enumerate_crashes(workloads(kills=()), RawDriver(shards), models)
    figures[f"crash images, protocol alone, {shards} shards"] = str(result)
    assert result.bad == []


@pytest.mark.campaign
@pytest.mark.parametrize("shards", [0, 1, 2, 3])
@pytest.mark.parametrize("kill", range(1, 26))
def test_campaign_of_deaths(figures: dict[str, str], kill: int, shards: int) -> None:
    """The same holds wherever a first writer dies before the second one begins."""
    result = enumerate_crashes(deaths(kill), RawDriver(shards))
    before = int(
        figures.get("crash images, protocol alone, campaign of deaths", "0").replace(",", "")
    )
    figures["crash images, protocol alone, campaign of deaths"] = f"{before + result.images:,}"
    assert result.bad == []


def test_an_unbroken_protocol_is_not_caught() -> None:
    """The harness finds nothing where nothing is broken: without this, no mutant proves a thing."""
    assert caught(FOR_MUTANTS, RawDriver()) is None


@pytest.mark.parametrize("name", storage_mutants())
def test_each_mutant_is_caught(figures: dict[str, str], name: str) -> None:
    """Each sync that is left out and each step that is swapped is noticed."""
    found = caught(FOR_MUTANTS, RawDriver(), storage_mutants()[name])
    _count(figures, is_caught=found is not None)
    assert found is not None


def test_a_shard_name_used_again_is_caught(figures: dict[str, str]) -> None:
    """A token that does not follow from the content, so that shards collide, is noticed."""
    found = caught(FOR_MUTANTS, RawDriver(token=lambda _: "0" * 16))
    _count(figures, is_caught=found is not None)
    assert found is not None


def test_the_bound_is_reported() -> None:
    """A workload with more images than the bound raises; it is never silently cut."""
    storage = RecordingStorage()
    for number in range(5):
        storage.create(f"/ckpt-{number}.index.0123456789abcdef.tmp")
    with pytest.raises(TooManyImagesError, match="more than 10 images"):
        list(crashes(storage.recording(), Model.WEAK, bound=10))


def _count(figures: dict[str, str], *, is_caught: bool) -> None:
    caught_before, _, all_before = figures.get("mutants caught", "0 of 0").partition(" of ")
    figures["mutants caught"] = f"{int(caught_before) + is_caught} of {int(all_before) + 1}"
