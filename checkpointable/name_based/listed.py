"""Checkpoints as a saver lists them: how it tells them apart, and how a state file names them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import attrs

from checkpointable.bundle import files
from checkpointable.directory.state_file import CheckpointState, inside
from checkpointable.retention.policies import Saved


@attrs.frozen
class Place:
    """Where the bookkeeping of a save is done.

    Attributes:
        directory: where the state file is.
        state_file: what it is called.
        side_files: return the files that go with the checkpoint of a prefix.
        relative: whether the state file names checkpoints of other directories relatively too.
    """

    directory: str
    state_file: str
    side_files: Callable[[str], Sequence[str]]
    relative: bool


@attrs.frozen
class Listed(Saved):
    """A checkpoint in the list of a saver. Its prefix is absolute, as it was when it was saved.

    Attributes:
        path: what `save` returned.
    """

    path: str = attrs.field(kw_only=True)

    @property
    def where(self) -> str:
        """The prefix by which the storage finds it, also after the working directory changed."""
        given = files.without_pattern(self.path)
        # Not always the absolute one: a storage may have no working directory.
        with suppress(OSError):  # It may be gone.
            if key_of(given) == self.prefix:
                return given
        return self.prefix


def listed(path: str, time: float) -> Listed:
    """Return a checkpoint that was saved under a path, which is taken from here and now."""
    return Listed(key_of(path), time, path=path)


def with_newest(saved: Iterable[Listed], newest: Listed) -> tuple[Listed, ...]:
    """Return a sequence with one more at its end, which takes the place of its older self."""
    return (*(one for one in saved if one.prefix != newest.prefix), newest)


def key_of(path: str) -> str:
    """Return what tells checkpoints apart, however their paths are spelled."""
    return posixpath.abspath(files.without_pattern(path))


def name_of(path: str) -> str:
    """Return the directory and name of a checkpoint, without its number."""
    return files.split_number(key_of(path))[0]


def own_entries(
    state: CheckpointState | None, place: Place, name: str
) -> list[tuple[str, float | None]]:
    """Return the paths and times of what a state file lists under a name, in its own directory.

    What it lists of other directories is not taken for a checkpoint of the same name in this one.
    """
    here = posixpath.abspath(place.directory)
    found = []
    for entry, time in () if state is None else state.entries:
        is_here = posixpath.dirname(key_of(posixpath.join(here, entry))) == here
        path = inside(place.directory, entry)
        if is_here and name_of(path) == name:
            found.append((path, time))
    return found


def entry_of(one: Listed, place: Place) -> str:
    """Return how the state file names a checkpoint: relative to its directory if it is there."""
    directory, base = posixpath.split(one.prefix)
    here = posixpath.abspath(place.directory)
    if directory == here:
        return base
    return posixpath.relpath(one.prefix, here) if place.relative else one.prefix
