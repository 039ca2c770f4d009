"""Which edges a restore follows: `at`, `only` and `skip` (R-14 to R-16)."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Final

import attrs

from checkpointable.errors import IncompatibleCheckpointError
from checkpointable.format.records import NodeKind, ObjectGraph
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


def unknown_paths(
    selection: Selection, graph: ObjectGraph, start: int, live: Callable[[str], bool]
) -> list[str]:
    """Return the paths in `only` and `skip` that name nothing: most likely they are misspelt.

    Args:
        selection: the options.
        graph: the stored graph.
        start: the node where the restore starts.
        live: tells whether a path leads to something in the program.
    """

    def is_stored(path: str) -> bool:
        node, found = _find(graph, start, path)
        end = _find(graph, start, found)[0]
        # What stands inside a plain value is not looked at.
        return node is not None or (end is not None and graph.kind(end) is NodeKind.VALUE)

    only = [path for path in selection.only or () if not is_stored(path)]
    skip = [path for path in selection.skip if not is_stored(path) and not live(path)]
    return [f"only={path!r}" for path in only] + [f"skip={path!r}" for path in skip]


def find_start(graph: ObjectGraph, at: str | None, source: str) -> int:
    """Return the node at a path of the stored graph.

    Raises:
        IncompatibleCheckpointError: there is none.
    """
    node, path = _find(graph, 0, at or "")
    if node is not None:
        return node
    parent, _ = _find(graph, 0, path)
    children = [escape(name) for name, _ in graph.children(parent or 0)]
    component = (at or "")[len(path) :].strip("/").split("/")[0]
    near = get_close_matches(component, children, n=3) or sorted(children)[:10]
    raise IncompatibleCheckpointError(
        f"{source}: at={at!r} names no stored object: {path or 'the root'} has no child"
        f" {component!r}. It has {', '.join(near) or 'no children'}. Correct the path."
    )


def _find(graph: ObjectGraph, start: int, path: str) -> tuple[int | None, str]:
    """Return the node at a path, or `None`, and how much of the path leads somewhere."""
    node, found = start, ""
    for component in path.split("/") if path else ():
        children = {escape(name): child for name, child in graph.children(node)}
        if component not in children:
            return None, found
        node, found = children[component], f"{found}/{component}" if found else component
    return node, found
