"""Random object graphs: what one library writes, the other restores, whatever it looks like."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import checkpointable as ckpt
from tests.interop.graphs import Drawn, graphs, ours, theirs, values
from tests.interop.mirror import assert_same

Check = Callable[[Any, Drawn, Path], None]


def from_tensorflow(tf: Any, drawn: Drawn, directory: Path) -> None:
    """TensorFlow writes, we restore."""
    (checkpoint, theirs_nodes), (live, ours_nodes) = theirs(tf, drawn, 1), ours(drawn, 2)
    path = checkpoint.save(str(directory / "ckpt"))

    live.restore(path).assert_consumed()

    _compare(values(drawn, theirs_nodes), values(drawn, ours_nodes))
    assert [] == ckpt.verify(path)


def to_tensorflow(tf: Any, drawn: Drawn, directory: Path) -> None:
    """We write, TensorFlow restores."""
    (live, ours_nodes), (checkpoint, theirs_nodes) = ours(drawn, 1), theirs(tf, drawn, 2)
    path = live.save(directory / "ckpt", format="tensorflow")

    checkpoint.restore(path).assert_consumed()

    _compare(values(drawn, ours_nodes), values(drawn, theirs_nodes))
    assert 1 == checkpoint.save_counter.numpy()


def there_and_back(tf: Any, drawn: Drawn, directory: Path) -> None:
    """We write, TensorFlow restores and writes, we restore; nothing differs."""
    (live, nodes), (checkpoint, _), (again, back) = (
        ours(drawn, 1), theirs(tf, drawn, 2), ours(drawn, 3),
    )  # fmt: skip
    first = live.save(directory / "first", format="tensorflow")
    checkpoint.restore(first)

    second = checkpoint.save(str(directory / "second"))
    again.restore(second).assert_consumed()

    _compare(values(drawn, nodes), values(drawn, back))
    assert not ckpt.diff(first, again)


def _compare(expected: list[Any], found: list[Any]) -> None:
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


CHECKS = pytest.mark.parametrize("check", [from_tensorflow, to_tensorflow, there_and_back])


def _run(tf: Any, check: Check, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=[*HealthCheck])
    @given(graphs())
    def each(drawn: Drawn) -> None:
        with tempfile.TemporaryDirectory() as directory:
            check(tf, drawn, Path(directory))

    each()


@pytest.mark.interop
@CHECKS
def test_random_graphs_cross_over(tf: Any, check: Check) -> None:
    """A few dozen graphs."""
    _run(tf, check, 40)


@pytest.mark.campaign
@pytest.mark.parametrize("batch", range(10))
@CHECKS
def test_campaign_of_random_graphs(tf: Any, check: Check, batch: int) -> None:
    """Two thousand graphs."""
    del batch
    _run(tf, check, 200)
