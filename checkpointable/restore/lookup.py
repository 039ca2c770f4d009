"""Find stored nodes by their paths, and say what is there instead if they are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from checkpointable.errors import IncompatibleCheckpointError
from checkpointable.format.records import NodeKind, ObjectGraph
from checkpointable.names import covers, escape, leads_to
from checkpointable.restore.grafts import GraftedGraph, Origin
from checkpointable.restore.selection import Selection


def find_node(graph: GraftedGraph | ObjectGraph, start: int, path: str) -> tuple[int | None, str]:
    """Return the node at a path, or `None`, and how much of the path leads somewhere."""
    node, found = start, ""
    for component in path.split("/") if path else ():
        children = {escape(name): child for name, child in graph.children(node)}
        if component not in children:
            return None, found
        node, found = children[component], f"{found}/{component}" if found else component
    return node, found


def require_node(graph: GraftedGraph, start: int, path: str, option: str, source: str) -> int:
    """Return the node at a path that an option names.

    Args:
        graph: the stored graph.
        start: the node where the path begins.
        path: the path.
        option: how the caller spelled it, such as `at='model/encoder'`.
        source: the checkpoint.

    Raises:
        IncompatibleCheckpointError: there is none.
    """
    node, found = find_node(graph, start, path)
    if node is not None:
        return node
    parent, _ = find_node(graph, start, found)
    children = [escape(name) for name, _ in graph.children(start if parent is None else parent)]
    component = path[len(found) :].strip("/").split("/")[0]
    is_dotted = "." in component.replace("..", "")
    remedy = "Join names with '/', not with dots." if is_dotted else "Correct the path."
    near = get_close_matches(component, children, n=3) or sorted(children)[:10]
    raise IncompatibleCheckpointError(
        f"{source}: {option} names no stored object: {found or 'the root'} has no child"
        f" {component!r}. It has {', '.join(near) or 'no children'}. {remedy}"
    )


def unknown_paths(
    selection: Selection,
    graph: GraftedGraph,
    start: int,
    live: Callable[[str], bool],
    moved: Mapping[str, Origin],
) -> list[str]:
    """Return the paths in `only` and `skip` that name nothing: most likely they are misspelt.

    Args:
        selection: the options.
        graph: the stored graph.
        start: the node where the restore starts.
        live: tells whether a path leads to something in the program.
        moved: where the checkpoint has what the program has at these paths.
    """

    def is_stored(path: str) -> bool:
        if leads_to(path, moved):
            return True
        around = max((today for today in moved if covers([today], path)), key=len, default=None)
        origin = moved[around].path if around is not None else None
        if around is not None and (path == around or origin is None):
            return True
        return is_found(path) or (around is not None and is_found(f"{origin}{path[len(around) :]}"))

    def is_found(path: str) -> bool:
        node, found = find_node(graph, start, path)
        end = find_node(graph, start, found)[0]
        # What stands inside a plain value is not looked at.
        return node is not None or (end is not None and graph.kind(end) is NodeKind.VALUE)

    only = [path for path in selection.only or () if not is_stored(path)]
    skip = [path for path in selection.skip if not is_stored(path) and not live(path)]
    return [f"only={path!r}" for path in only] + [f"skip={path!r}" for path in skip]
