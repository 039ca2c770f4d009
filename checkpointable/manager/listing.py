"""What the state file says of one name among several that share a directory."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Sequence

import attrs

from checkpointable.bundle import files
from checkpointable.directory.state_file import CheckpointState
from checkpointable.retention.policies import Saved


@attrs.frozen
class Listed:
    """What a state file lists of one name.

    Attributes:
        numbers: of its checkpoints, in the order of saving.
        last_preserved: the time that the file has for this name; `None` where it lists other
            names too, because then it may be theirs.
    """

    numbers: Sequence[int]
    last_preserved: float | None


def listed_of(state: CheckpointState | None, name: str) -> Listed:
    """Return what a state file lists of the numbered checkpoints of a name."""
    if state is None:
        return Listed((), None)
    entries = _entries(state)
    found = dict.fromkeys(_number(entry, name) for entry, _ in entries)
    numbers = [number for number in found if number is not None]
    last = state.last_preserved_timestamp
    is_own = len(numbers) == len(entries) and last is not None and math.isfinite(last)
    return Listed(numbers, last if is_own else None)


def with_own(
    state: CheckpointState | None,
    name: str,
    own: Sequence[Saved],
    last_preserved: float,
    time_of: Callable[[str], float],
) -> CheckpointState:
    """Return what a state file is to say once these are all checkpoints of a name.

    What it lists of other names stays, and stands first; where it does, its `last_preserved` is
    theirs, and stays too.

    Args:
        state: what it says.
        name: the name without number.
        own: its checkpoints, the oldest first, at least one; the last is the latest of all.
        last_preserved: the time of the last one of this name that is kept for good.
        time_of: gives the time of an entry of another name that has none.
    """
    others = [e for e in _entries(state) if _number(e[0], name) is None] if state else []
    paths = [entry for entry, _ in others] + [posixpath.basename(s.prefix) for s in own]
    times = [time_of(e) if time is None else time for e, time in others] + [s.time for s in own]
    if state is not None and others:
        return CheckpointState(
            paths[-1], tuple(paths), tuple(times), state.last_preserved_timestamp
        )
    return CheckpointState(paths[-1], tuple(paths), tuple(times), last_preserved)


def _entries(state: CheckpointState) -> list[tuple[str, float | None]]:
    """Return what a state file lists; a time that is not finite says nothing."""
    return [(p, t if t is not None and math.isfinite(t) else None) for p, t in state.entries]


def _number(entry: str, name: str) -> int | None:
    """Return the number of an entry that is called so; of an absolute path the end counts."""
    path = posixpath.normpath(entry)
    if not path.startswith("/") and "/" in path:
        return None
    base = posixpath.basename(path)
    found, number = files.split_number(base)
    return number if found == name and base == f"{name}-{number}" else None
