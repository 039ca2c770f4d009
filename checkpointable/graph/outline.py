"""Paths as an indented outline: how reports and differences print what they list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

import attrs

_LINES: Final = 200


class HasPath(Protocol):
    """Something that stands at a path."""

    @property
    def path(self) -> str:
        """Where it stands, from the root."""


_Entry = TypeVar("_Entry", bound=HasPath)


def outline(
    title: str, entries: Sequence[_Entry], describe: Callable[[_Entry], Any]
) -> Iterator[str]:
    """Yield the lines of one list: its title, and the paths as a tree; at most 200 entries.

    What lies below one object stands together, where the first of it comes.

    Args:
        title: what they have in common.
        entries: what is listed; nothing is yielded if there is none.
        describe: returns what follows the last name of an entry's path.
    """
    if not entries:
        return
    yield f"{title}:"
    top = _Branch()
    for entry in entries[:_LINES]:
        # A path that was shortened has no names left that could be told apart.
        names = entry.path.split("/") if " ... " not in entry.path else [entry.path]
        top.at(names).described.append(f"{names[-1]}{describe(entry)}")
    yield from top.lines()
    if len(entries) > _LINES:
        yield f"  ... and {len(entries) - _LINES:,} more"


@attrs.define(eq=False)
class _Branch:
    """What stands at one path, and what lies below it."""

    described: list[str] = attrs.field(factory=list)
    below: dict[str, _Branch] = attrs.field(factory=dict)

    def at(self, names: Sequence[str]) -> _Branch:
        """Return the branch at a path from here."""
        branch = self
        for name in names:
            branch = branch.below.setdefault(name, _Branch())
        return branch

    def lines(self) -> Iterator[str]:
        """Yield the lines of all that lies below, without recursion: paths may be long."""
        open_branches = [iter(self.below.items())]
        while open_branches:
            name, branch = next(open_branches[-1], (None, self))
            if name is None:
                open_branches.pop()
                continue
            indent = "  " * len(open_branches)
            yield from (f"{indent}{line}" for line in branch.described or [f"{name}/"])
            open_branches.append(iter(branch.below.items()))
