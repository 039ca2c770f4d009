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
        """Return the trail behind an edge; `None` if the edge is cut.

        Args:
            trail: the trail before it.
            local_name: its name in the program.
            origin: where the checkpoint has what it leads to, if not under that name.
        """
        if trail is EVERYTHING:
            return trail
        path = join(trail.path, local_name)
        stored = join(trail.stored, local_name)
        moved: tuple[str, ...] = ()
        if origin is not None:
            stored, moved = stored if origin.path is None else origin.path, origin.below
        only, paths = self.only or (), (path, stored) if path != stored else (path,)
        if any(covers(self.skip, p) for p in paths):
            return None
        included = trail.included or any(covers(only, p) for p in paths)
        leads_on = any(leads_to(p, only) for p in paths) or any(
            covers(only, p) or leads_to(p, only) for p in moved
        )
        if not included and not leads_on:
            return None
        says_more = any(leads_to(p, self.skip) for p in paths) or any(
            covers(self.skip, p) or leads_to(p, self.skip) for p in moved
        )
        return Trail(path, included, stored) if says_more or not included else EVERYTHING
