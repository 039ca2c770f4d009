"""What every test has: the order watcher, and the figures printed at the end of a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.harness.recording import RecordingStorage
from tests.harness.watcher import breaches

_FIGURES = pytest.StashKey[dict[str, str]]()


# The default run draws the same examples for everyone; a campaign draws new ones each time.
settings.register_profile("default run", derandomize=True)
settings.register_profile("campaign", print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Begin without figures, and choose how examples are drawn."""
    config.stash[_FIGURES] = {}
    in_campaign = config.getoption("markexpr", "") == "campaign"
    settings.load_profile("campaign" if in_campaign else "default run")


def pytest_collection_finish() -> None:
    """Let no garbage collection look at thousands of collected tests again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """Hold what a test measured; all figures are printed at the end of the run."""
    return request.config.stash[_FIGURES]


@pytest.fixture(autouse=True)
def _order_watcher() -> Iterator[None]:
    """Check every recording that a test makes against the order rules (I-17)."""
    RecordingStorage.made.clear()
    yield
    found = [breach for storage in RecordingStorage.made for breach in breaches(storage.log)]
    RecordingStorage.made.clear()
    assert found == []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures."""
    if not config.stash[_FIGURES]:
        return
    terminalreporter.section("figures")
    for name, figure in sorted(config.stash[_FIGURES].items()):
        terminalreporter.write_line(f"{name}: {figure}")
