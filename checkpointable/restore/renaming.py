"""Names of today and older names: `Trackable.renamed` and `RestoreOptions(rename=)` (R-28, R-29).

Each rule says where the checkpoint has what the program has under another path. It is carried out
as a graft on the stored graph; matching then goes by names, as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from checkpointable.format.records import NodeKind
from checkpointable.names import escape, unescape
from checkpointable.restore.grafts import GraftedGraph, Origin
from checkpointable.trackable.base import Trackable
from checkpointable.trackable.children import Classifier
from checkpointable.trackable.registry import adapter_of

#: A path as its components: local names, escaped.
Path = tuple[str, ...]


@attrs.frozen(slots=True)
class Rule:
    """What stands at a path of the program may stand at another path in the checkpoint.

    Attributes:
        today: the path in the program.
        older: paths in the checkpoint: the first that is there counts.
        is_forced: whether it holds even if the checkpoint has something under today's path too,
            or the program under the older one.
    """

    today: Path
    older: tuple[Path, ...]
    is_forced: bool = False


def rules_of(cls: type[Any]) -> list[Rule]:
    """Return the rules that a class declares, those of its bases included."""
    declared: dict[str, str | tuple[str, ...]] = {}
    for base in reversed(cls.__mro__):
        declared.update(vars(base).get("renamed", {}) if issubclass(base, Trackable) else {})
    rules = []
    for today, older in declared.items():
        paths = (older,) if isinstance(older, str) else older
        rules.append(Rule(components(today), tuple(map(components, paths))))
    return rules


def components(path: str) -> Path:
    """Return the escaped local names of a path."""
    return tuple(path.split("/")) if path else ()


@attrs.define(slots=True, eq=False)
class _Change:
    """What changes at and below one edge."""

    target: int | None = None
    origin: str | None = None
    is_removed: bool = False
    below: dict[str, _Change] = attrs.field(factory=dict)

    def at(self, path: Path) -> _Change:
        """Return the change at a path from here."""
        change = self
        for component in path:
            change = change.below.setdefault(component, _Change())
        return change


class Renaming:
    """Carries out rules on the stored graph.

    Args:
        graph: the stored graph, on which the grafts are made.
        classifier: tells what live objects hold.
    """

    def __init__(self, graph: GraftedGraph, classifier: Classifier) -> None:
        self._graph = graph
        self._classifier = classifier

    def graft(
        self, node: int, rules: Iterable[Rule], live: dict[str, Any], stored_path: str
    ) -> int:
        """Return the node with what the rules move, or the node itself if they move nothing.

        Args:
            node: a stored node.
            rules: the rules, with paths that begin at that node and at its live counterpart.
            live: what the live counterpart holds, by name.
            stored_path: the path of the node.
        """
        moves = [
            (rule, older, target)
            for rule in rules
            for older, target in self._first(node, rule)
            if rule.is_forced or self._applies(node, rule.today, older, live)
        ]
        if not moves:
            return node
        top = _Change()
        for rule, older, target in moves:
            change = top.at(rule.today)
            change.target, change.origin = target, "/".join((stored_path, *older)).lstrip("/")
        for today, path in _left_behind([(rule.today, older) for rule, older, _ in moves]):
            if _is_wrapped(today, path) or not self._is_live(live, path):
                top.at(path).is_removed = True
        return self._apply(node, top)

    def _first(self, node: int, rule: Rule) -> Iterator[tuple[Path, int]]:
        """Yield the first of the older paths that the checkpoint has, and the node there."""
        for older in rule.older:
            target = self.find(node, older)
            if target is not None:
                yield older, target
                return

    def _applies(self, node: int, today: Path, older: Path, live: dict[str, Any]) -> bool:
        """Tell whether a declared rule applies: the file lacks one name, the program the other."""
        is_free = _is_wrapped(today, older) or not self._is_live(live, older)
        return is_free and self.find(node, today) is None

    def find(self, node: int | None, path: Path) -> int | None:
        """Return the stored node at a path; what is inside a plain value is no node."""
        for component in path:
            children = self._graph.children(node) if node is not None else ()
            node = next((child for name, child in children if escape(name) == component), None)
        return node

    def _is_live(self, live: dict[str, Any], path: Path) -> bool:
        """Tell whether the program has something at a path; `None` is nothing."""
        value: Any = None
        for component in path:
            value = next((v for name, v in live.items() if escape(name) == component), None)
            live = self.held_by(value)
        return value is not None

    def held_by(self, value: Any) -> dict[str, Any]:
        """Return what a live value leads to, by name."""
        if isinstance(value, Trackable):
            return dict(self._classifier.children(value))
        if isinstance(value, (list, tuple, dict)) or adapter_of(value) is not None:
            return {str(key): item for key, item in self._classifier.items(value)}
        return {}

    def _apply(self, node: int | None, change: _Change) -> int:
        """Make the graft of a node with all that changes below it."""
        children = dict(self._graph.children(node)) if node is not None else {}
        names = {escape(name): name for name in children}
        origins: dict[str, Origin] = {}
        for component, inner in change.below.items():
            name = names.get(component, unescape(component))
            base = children.get(name) if inner.target is None else inner.target
            if inner.is_removed and inner.target is None:
                base = None
            below = tuple(_origins(inner))
            if base is None and not below:
                children.pop(name, None)
                continue
            if not inner.below and inner.target is None:
                continue
            if base is not None and self._graph.kind(base) is NodeKind.VALUE and inner.below:
                continue  # A plain value, or an array, is matched as a whole.
            child = self._apply(base, inner) if inner.below else base
            if child is not None:
                children[name] = child
                origins[name] = Origin(inner.origin, below)
        return self._graph.graft(node, list(children.items()), origins)


def _is_wrapped(today: Path, older: Path) -> bool:
    """Tell whether an object at the older path now holds what it was itself."""
    return today[: len(older)] == older


def _left_behind(moves: list[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    """Yield what has moved, with the other paths under which it would stand.

    These are its older path, and that path's counterpart where something around it has moved too;
    unless what stands there by now has itself come from elsewhere.
    """
    for today, older in moves:
        for moved_to, around in [((), ()), *moves]:
            path = moved_to + older[len(around) :]
            is_covered = any(
                len(other) > len(moved_to) and path[: len(other)] == other for other, _ in moves
            )
            if older[: len(around)] == around and not is_covered:
                yield today, path


def _origins(change: _Change) -> Iterator[str]:
    """Yield the paths of what was moved to places below an edge."""
    for inner in change.below.values():
        if inner.origin is not None:
            yield inner.origin
        yield from _origins(inner)
