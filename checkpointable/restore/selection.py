"""Which edges a restore follows: `only` and `skip` (R-14, R-16)."""

from __future__ import annotations

from typing import Final

import attrs

from checkpointable.names import covers, join, leads_to
from checkpointable.restore.grafts import Origin


@attrs.frozen(slots=True)
class Trail:
    """The way to an object, as long as it can still decide what is left out.

    Attributes:
        path: the path from where the restore starts, in the program.
        included: whether the object's own values are part of the restore.
        stored: the path in the checkpoint.
    """

    path: str
    included: bool
    stored: str


#: Everything from here on is restored: no option says anything about what follows.
EVERYTHING: Final = Trail("", True, "")


@attrs.frozen
class Selection:
    """The paths that `only` and `skip` name, in the program or in the checkpoint."""

    only: tuple[str, ...] | None
    skip: tuple[str, ...]

    def start(self) -> Trail:
        """Return the trail at the object where the restore starts."""
        if self.only is None and not self.skip:
            return EVERYTHING
        return Trail("", self.only is None or "" in self.only, "")

    def follow(self, trail: Trail, local_name: str, origin: Origin | None = None) -> Trail | None:
        """Return the trail behind an edge of the program; `None` if the edge is cut.

        Args:
            trail: the trail before it.
            local_name: its name in the program.
            origin: where the checkpoint has what it leads to, if not under that name.
        """
        if trail is EVERYTHING:
            return trail
        here = join(trail.path, local_name)
        there, below = _elsewhere(join(trail.stored, local_name), origin)
        return self._behind(here, there, below, trail.included)

    def follow_stored(self, trail: Trail, local_name: str, today: Origin | None) -> Trail | None:
        """Return the trail behind an edge of the checkpoint; `None` if the edge is cut.

        Args:
            trail: the trail before it.
            local_name: its name in the checkpoint.
            today: where the program has what it leads to, if not under that name.
        """
        if trail is EVERYTHING:
            return trail
        here = join(trail.stored, local_name)
        there, below = _elsewhere(join(trail.path, local_name), today)
        return self._behind(there, here, below, trail.included)

    def _behind(
        self, path: str, stored: str, moved: tuple[str, ...], included: bool
    ) -> Trail | None:
        """Return the trail at a place; what lies behind it may have moved from or to others."""
        only, skip = self.only or (), self.skip
        paths = (path,) if path == stored else (path, stored)
        if any(covers(skip, p) for p in paths):
            return None
        included = included or any(covers(only, p) for p in paths)
        if not included and not _says_more(only, paths, moved):
            return None
        is_open = not included or _says_more(skip, paths, moved)
        return Trail(path, included, stored) if is_open else EVERYTHING


def _elsewhere(path: str, moved: Origin | None) -> tuple[str, tuple[str, ...]]:
    """Return the path on the other side, and the paths there of what lies behind an edge."""
    if moved is None:
        return path, ()
    return (path if moved.path is None else moved.path), moved.below


def _says_more(prefixes: tuple[str, ...], paths: tuple[str, ...], moved: tuple[str, ...]) -> bool:
    """Tell whether some of the prefixes lie behind a place."""
    return any(leads_to(path, prefixes) for path in paths) or any(
        covers(prefixes, path) or leads_to(path, prefixes) for path in moved
    )
