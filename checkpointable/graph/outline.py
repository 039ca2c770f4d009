"""Paths as an indented outline: how reports and differences print what they list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

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
    """Yield the lines of one list: its title, and the paths as a tree; at most 200 of them.

    Args:
        title: what they have in common.
        entries: what is listed; nothing is yielded if there is none.
        describe: returns what follows the last name of an entry's path.
    """
    if not entries:
        return
    yield f"{title}:"
    above: list[str] = []
    for entry in entries[:_LINES]:
        # A path that was shortened has no names left that could be told apart.
        *parents, last = entry.path.split("/") if " ... " not in entry.path else [entry.path]
        common = next(
            (i for i, (a, b) in enumerate(zip(above, parents, strict=False)) if a != b),
            min(len(above), len(parents)),
        )
        for depth in range(common, len(parents)):
            yield f"{'  ' * (depth + 1)}{parents[depth]}/"
        above = parents
        yield f"{'  ' * (len(parents) + 1)}{last}{describe(entry)}"
    if len(entries) > _LINES:
        yield f"  ... and {len(entries) - _LINES:,} more"
