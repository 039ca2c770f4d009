"""What a state file says of one name among several."""

from __future__ import annotations

import math

import attrs
import pytest

from checkpointable.directory.state_file import CheckpointState
from checkpointable.manager.listing import listed_of, with_own
from checkpointable.retention.policies import Saved

STATE = CheckpointState(
    "ckpt-5",
    ("./ckpt-3", "best", "/moved/ckpt-5", "sub/ckpt-7", "ckpt-007", "ckpt-1-2", "best-3"),
    (1.0, 2.0, 3.0, 4.0, 5.0, math.nan, 6.0),
    0.5,
)


def never(entry: str) -> float:
    """Refuse to give a time."""
    raise AssertionError(entry)


def test_entries_of_a_name_are_found_by_their_last_part() -> None:
    """Relative or absolute; not in directories below, not with padded numbers."""
    assert [3, 5] == listed_of(STATE, "ckpt").numbers
    assert [2] == listed_of(STATE, "ckpt-1").numbers
    assert None is listed_of(STATE, "ckpt").last_preserved  # It may be that of another name.
    alone = attrs.evolve(
        STATE, all_model_checkpoint_paths=("ckpt-3",), all_model_checkpoint_timestamps=(1.0,)
    )
    assert 0.5 == listed_of(alone, "ckpt").last_preserved


def test_nothing_is_listed_where_there_is_no_state_file() -> None:
    """Without a state file there are no numbers and no time."""
    assert () == listed_of(None, "ckpt").numbers
    assert None is listed_of(None, "ckpt").last_preserved


@pytest.mark.parametrize("times", [(), (1.0,)])
def test_numbers_are_listed_without_times(times: tuple[float, ...]) -> None:
    """Times of another length do not matter; a time that is not finite says nothing."""
    state = CheckpointState("ckpt-2", ("ckpt-1", "ckpt-2"), times, math.inf)
    assert [1, 2] == listed_of(state, "ckpt").numbers
    assert None is listed_of(state, "ckpt").last_preserved


def test_a_name_replaces_its_own_entries_alone() -> None:
    """Others stay as they stand, first, with the time that is theirs; each has its own time."""
    own = [Saved("run/ckpt-8", 8.0), Saved("run/ckpt-6", 9.0)]
    state = with_own(STATE, "ckpt", own, 7.0, {"ckpt-1-2": 5.5}.__getitem__)
    assert "ckpt-6" == state.model_checkpoint_path
    paths = ("best", "sub/ckpt-7", "ckpt-007", "ckpt-1-2", "best-3", "ckpt-8", "ckpt-6")
    assert paths == state.all_model_checkpoint_paths
    assert (2.0, 4.0, 5.0, 5.5, 6.0, 8.0, 9.0) == state.all_model_checkpoint_timestamps
    assert 0.5 == state.last_preserved_timestamp


def test_the_first_entry_of_all() -> None:
    """Where there was no state file, it says what this name has."""
    state = with_own(None, "ckpt", [Saved("run/ckpt-1", 1.0)], 0.0, never)
    assert CheckpointState("ckpt-1", ("ckpt-1",), (1.0,), 0.0) == state
