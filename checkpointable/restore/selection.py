"""Which edges a restore follows: `at`, `only` and `skip` (R-14 to R-16)."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

import attrs

from checkpointable.errors import IncompatibleCheckpointError
from checkpointable.format.records import ObjectGraph
from checkpointable.names import covers, escape, join, leads_to


@attrs.frozen(slots=True)
class Trail:
    """The way to an object, as long as it can still decide what is left out.

    Attributes:
        path: the path from where the restore starts.
        included: whether the object's own values are part of the restore.
    """

    path: str
    included: bool


#: Everything from here on is restored: no option says anything about what follows.
EVERYTHING: Final = Trail("", True)


@attrs.frozen
class Selection:
    """The paths that `only` and `skip` name."""

    only: tuple[str, ...] | None
    skip: tuple[str, ...]

    def start(self) -> Trail:
        """Return the trail at the object where the restore starts."""
        if self.only is None and not self.skip:
            return EVERYTHING
        return Trail("", self.only is None or "" in self.only)

    def follow(self, trail: Trail, local_name: str) -> Trail | None:
        """Return the trail behind an edge; `None` if the edge is cut."""
        if trail is EVERYTHING:
            return trail
        path = join(trail.path, local_name)
        if covers(self.skip, path):
            return None
        included = trail.included or covers(self.only or (), path)
        if not included and not leads_to(path, self.only or ()):
            return None
        if included and not leads_to(path, self.skip):
            return EVERYTHING
        return Trail(path, included)


def find_start(graph: ObjectGraph, at: str | None, source: str) -> int:
    """Return the node at a path of the stored graph.

    Raises:
        IncompatibleCheckpointError: there is none.
    """
    node, path = 0, ""
    for component in at.split("/") if at else ():
        children = {escape(name): child for name, child in graph.children(node)}
        if component not in children:
            near = get_close_matches(component, children, n=3) or sorted(children)[:10]
            raise IncompatibleCheckpointError(
                f"{source}: at={at!r} names no stored object: {path or 'the root'} has no child"
                f" {component!r}. It has {', '.join(near) or 'no children'}. Correct the path."
            )
        node, path = children[component], f"{path}/{component}" if path else component
    return node
