"""Stored values that wait for objects, kept where the objects will come in (R-9 to R-13)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import attrs

from checkpointable.errors import CheckpointError
from checkpointable.restore.books import Books
from checkpointable.restore.places import (
    Names,
    Place,
    find,
    first_of,
    is_container,
    item_of,
    overrides_children,
)
from checkpointable.restore.plan import Wait
from checkpointable.restore.selection import Trail
from checkpointable.trackable import waiting
from checkpointable.trackable.children import ABSENT, Classifier

_CONTAINERS: Final = (list, tuple, dict)


class Restoring(Protocol):
    """What can give a live value what a stored node holds."""

    books: Books
    #: Whether newer restores have taken over all that waited.
    is_forgotten: bool

    def arrive(self, place: Place, live: Any, node: int, path: int, trail: Trail) -> None:
        """Match what has come to a place where a stored node waits."""

    def give_way(self, newest: Restoring) -> None:
        """Let a newer restore come first, which now waits at places where this one does."""

    def note_waiting(self, position: Position, *, waits: bool) -> None:
        """Note that a stored node begins to wait, or waits no longer."""

    def pending_path(self, position: Position) -> str | None:
        """Return the path of what waits, if it has no object yet and that is to be said."""


@attrs.define(slots=True, eq=False)
class Position:
    """A stored node that waits, of one restore (`order`: the how-manieth it was).

    Attributes:
        newer: what the newest restore lets wait at the same place: it will most likely give all
            values, so this one keeps no file open for them.
    """

    restoration: Restoring
    order: int
    node: int
    path: int
    trail: Trail
    newer: Position | None = None

    @property
    def is_superseded(self) -> bool:
        """Whether a newer restore waits at the same place."""
        return self.newer is not None


class WaitingValues:
    """What waits at one object, by the names that lead from it to where the value will stand."""

    def __init__(self) -> None:
        #: By the names of the container (none: the object itself), then by the last name.
        self._waiting: dict[Names, dict[str | None, list[Position]]] = {}
        #: Those of the object itself under which something may come without an assignment.
        self._silent: dict[str | None, None] = {}
        #: Whether a look is under way; and the first names of what has come since it began.
        self._is_looking = False
        self._come: dict[str | None, None] = {}

    def add(self, owner: Any, names: Names, position: Position) -> list[Position]:
        """Let a stored node wait, and return all that waits in this place."""
        parent, last = names[:-1], names[-1]
        group = self._waiting.setdefault(parent, {})
        if last not in group and group and _number(last) < _number(next(reversed(group))):
            group[last] = []
            self._waiting[parent] = group = dict(sorted(group.items(), key=lambda i: _number(i[0])))
        positions = group.setdefault(last, [])
        for older in positions:
            if older.order < position.order:
                older.newer = position
        positions.append(position)
        position.restoration.note_waiting(position, waits=True)
        self._note_silent(owner, names)
        self._put(owner)
        return positions

    def pending(self) -> Iterator[str]:
        """Yield the paths of the values that wait here."""
        for group in self._waiting.values():
            for positions in group.values():
                for position in positions:
                    path = position.restoration.pending_path(position)
                    if path is not None:
                        yield path

    def assigned(self, owner: Any, name: str) -> None:
        """Look at what has come with the assignment of an attribute."""
        if self._is_looking:
            self._come[name] = None
        else:
            self._look(owner, self._below(name))

    def settle(self, owner: Any) -> None:
        """Look at what has come into containers, or is shown by an overridden method."""
        come: list[Names] = [(name,) for name in self._filled(owner)] if self._silent else []
        for parent in self._waiting:
            come += self._candidates(owner, parent) if parent else ()
        self._look(owner, come)

    def _below(self, first: str | None) -> list[Names]:
        """Return the names that wait under a first name."""
        below: list[Names] = [(first,)] if first in self._waiting.get((), ()) else []
        for parent, group in self._waiting.items():
            if parent and parent[0] == first:
                below += [(*parent, last) for last in group]
        return below

    def _filled(self, owner: Any) -> Iterator[str | None]:
        """Yield the names of the object itself under which there may be something now."""
        if overrides_children(owner):
            shown = Classifier().children(owner)
            yield from (name for name, _ in shown if name in self._silent)
        else:
            yield from (name for name in self._silent if _has_items(first_of(owner, name)))

    def _candidates(self, owner: Any, parent: Names) -> Iterator[Names]:
        """Yield the names in one container under which there may be something now."""
        group = self._waiting[parent]
        container = first_of(owner, parent[0])
        for name in parent[1:]:
            container = item_of(container, name)
        if not _has_items(container):
            return
        if isinstance(container, dict) and len(container) < len(group):
            yield from ((*parent, str(key)) for key in container if str(key) in group)
            return
        for last in group:
            if isinstance(container, list) and _number(last) >= len(container):
                return  # the positions are in ascending order
            item = item_of(container, last)
            if item is not ABSENT and item is not None:
                yield (*parent, last)

    def _look(self, owner: Any, come: list[Names]) -> None:
        """Give what waits under these names to what stands there, if it is a child.

        What is given may let more come: that is looked at in its turn.
        """
        if self._is_looking or not come:
            return
        errors: list[Exception] = []
        self._is_looking = True
        try:
            while come:
                for names in sorted(come, key=len):
                    self._look_at(owner, names, errors)
                come = [names for first in self._come for names in self._below(first)]
                self._come.clear()
        finally:
            self._come.clear()
            self._is_looking = False
            self._put(owner)
        if errors:
            try:
                raise errors[0]
            finally:
                errors.clear()  # else the error would keep this frame, and itself, alive

    def _look_at(self, owner: Any, names: Names, errors: list[Exception]) -> None:
        if names[-1] not in self._waiting.get(names[:-1], ()):
            return  # It has come meanwhile.
        is_child = names[0] is None or Classifier().is_child(owner, names[0])
        place, live = find(owner, names) if is_child else (None, None)
        if place is not None:
            self._arrive(owner, names, place, live, errors)
        else:
            self._note_silent(owner, names)

    def _arrive(
        self, owner: Any, names: Names, place: Place, live: Any, errors: list[Exception]
    ) -> None:
        """Give what waits there to what has come, the newest restore first (R-11)."""
        positions = self._take(names)
        for turn, position in enumerate(positions):
            # Until its turn has come it waits: another restore must not take it for done.
            position.restoration.note_waiting(position, waits=False)
            try:
                position.restoration.arrive(
                    place, live, position.node, position.path, position.trail
                )
            except CheckpointError as error:
                errors.append(error)  # raised by the caller once all have had their turn
            except BaseException:
                for missed in positions[turn:]:
                    self.add(owner, names, missed)
                raise
            _, live = find(owner, names)

    def _note_silent(self, owner: Any, names: Names) -> None:
        """Note whether something may come there without an assignment."""
        if len(names) > 1:  # It may.
            return
        if overrides_children(owner) or is_container(first_of(owner, names[0])):
            self._silent[names[0]] = None
        else:
            self._silent.pop(names[0], None)

    def _put(self, owner: Any) -> None:
        """Wait at the object as long as there is something that waits."""
        if self._waiting:
            waiting.put(owner, self, polled=bool(self._silent) or any(self._waiting))
        else:
            waiting.drop(owner)

    def _take(self, names: Names) -> list[Position]:
        group = self._waiting.get(names[:-1], {})
        positions = group.pop(names[-1], [])
        if len(names) == 1:
            self._silent.pop(names[0], None)
        if not group:
            self._waiting.pop(names[:-1], None)
        return sorted(positions, key=lambda p: -p.order)


def wait(restoration: Restoring, order: int, waits: Iterable[Wait]) -> None:
    """Let stored nodes wait at objects; older restores that wait there too give way."""
    places: list[list[Position]] = []
    older: dict[int, Restoring] = {}
    for what in waits:
        values = waiting.get(what.owner)
        if not isinstance(values, WaitingValues):
            values = WaitingValues()
        position = Position(restoration, order, what.node, what.path, what.trail)
        places.append(values.add(what.owner, what.names, position))
        older.update((id(p.restoration), p.restoration) for p in places[-1] if p.order < order)
    for other in older.values():
        other.give_way(restoration)
    for positions in places if older else ():
        positions[:] = [p for p in positions if not p.restoration.is_forgotten]


def pending_paths(objects: Iterable[Any]) -> list[str]:
    """Return the paths of values that wait at some objects and that nobody said may be left."""
    found: dict[str, None] = {}
    for owner in objects if waiting.anything() else ():
        values = waiting.get(owner)
        if isinstance(values, WaitingValues):
            found.update(dict.fromkeys(values.pending()))
    return list(found)


def announce(edges: Iterable[tuple[Any, Names]]) -> None:
    """Let older restores know of values that a newer one has just put where they wait."""
    if waiting.anything():
        for owner, names in edges:
            if names[0] is not None:
                waiting.assigned(owner, names[0])


def _has_items(value: Any) -> bool:
    return is_container(value) and (not isinstance(value, _CONTAINERS) or len(value) > 0)


def _number(name: str | None) -> int:
    return int(name) if name is not None and name.isdecimal() else 0
