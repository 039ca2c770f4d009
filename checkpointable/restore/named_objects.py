"""The live values that a name-based checkpoint may have: their names, and where they stand.

A Variable goes by its global name; what has none, an array for example, by its path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.graph.walk import Walk, walk
from checkpointable.names import SAVE_COUNTER
from checkpointable.options import RestoreOptions
from checkpointable.restore.books import Roots
from checkpointable.restore.by_name import NamedTarget, stored_name
from checkpointable.restore.entries import Entry
from checkpointable.restore.places import Names, Place, find
from checkpointable.restore.report import has_value
from checkpointable.restore.selection import EVERYTHING, Selection, Trail
from checkpointable.session.session import Session, session_of
from checkpointable.trackable.base import Trackable, Variable
from checkpointable.trackable.children import Kind

#: What a name-based checkpoint never holds: it has tensors under names, and nothing else.
_NEVER_HELD: Final = {
    Kind.PLAIN: "a name-based checkpoint holds no plain values",
    Kind.TRACKABLE: "a name-based checkpoint holds nothing for objects that save themselves",
    Kind.ADAPTED: "a name-based checkpoint holds nothing for objects of foreign types",
}


@attrs.frozen(slots=True, eq=False)
class NamedValue:
    """A live value and the name that it goes by.

    Attributes:
        name: the name.
        path: where it stands, as reports show it.
        live: a Variable, an array or a numpy scalar.
        place: where another value is put, if this one cannot be written to.
    """

    name: str
    path: str
    live: Any
    place: Place | None = None


@attrs.frozen(slots=True, eq=False)
class NamedObjects:
    """What the objects of a program ask of a name-based checkpoint.

    Attributes:
        values: what is restored by name.
        skipped: what has a value and is left as it is.
        left_out: the names of what the options leave out.
        counter: the library's own save counter.
        untracked: what is no part of the object graph.
    """

    values: list[NamedValue]
    skipped: list[Entry]
    left_out: set[str]
    counter: Variable | None
    untracked: list[Entry]

    def add(self, value: NamedValue) -> None:
        """Add a value, unless it can neither be written to nor replaced."""
        is_open = isinstance(value.live, Variable) or is_written_to(value.live)
        if is_open or (value.place is not None and value.place.can_put()):
            self.values.append(value)
        else:
            reason = "nothing else can be put there: make it an attribute, or a Variable"
            self.skipped.append(Entry(value.path, reason=reason))


def named_objects(holder: Any, roots: Roots, options: RestoreOptions) -> NamedObjects:
    """Find what can be restored by name, as it is now."""
    live = walk(*roots)
    found = NamedObjects([], [], set(), _counter(live), _untracked(live))
    included = _included(live, options)
    slots = set() if options.slots else {slot.slot_variable for slot in live.slots}
    namer = _Namer(live, options, holder)
    for number, value in enumerate(live.objects):
        kind = live.kinds[number]
        if value is found.counter or not has_value(value, kind):
            continue
        named = isinstance(value, (Variable, np.ndarray, np.generic))
        if number not in included:
            reason = "slots=False" if number in slots else "only or skip"
            found.skipped.append(Entry(live.paths.shown(number), reason=f"left out by {reason}"))
            if named:
                found.left_out.add(namer.name(number))
        elif isinstance(value, Variable) or (named and not live.is_in_foreign(number)):
            found.add(namer.value(number))
        elif named:
            reason = "a name-based checkpoint holds nothing that its adapter could take back"
            found.skipped.append(Entry(live.paths.shown(number), reason=reason))
        else:
            found.skipped.append(Entry(live.paths.shown(number), reason=_NEVER_HELD[kind]))
    return found


def target_of(
    value: NamedValue,
    given: Callable[[Any], None],
    put: Callable[[NamedValue, Any], bool],
    session: Session | None,
) -> NamedTarget:
    """Return what gives a live value the tensor of its name.

    Args:
        value: the live value.
        given: told of the Variable, array or scalar that has its value now.
        put: puts another value into the place of one that cannot be written to; tells whether
            it was taken.
        session: where the values of Variables of a graph are; by default the default session.
    """
    live = value.live
    like = live.pattern_array() if isinstance(live, Variable) else live
    if isinstance(live, Variable) and live.cell is not None:
        cell = live.cell

        def array() -> npt.NDArray[Any]:
            return session_of(cell, session).array_of(cell)

        def arrived() -> None:
            session_of(cell, session).mark_initialized(cell)
            given(live)

    elif isinstance(live, Variable):
        array = live.storage_array

        def arrived() -> None:
            live.mark_initialized()
            given(live)

    elif value.place is None:
        array, arrived = partial(_itself, live), partial(given, live)
    else:
        array, arrived = _replacing(value, given, put)
    whole = live.save_slice if isinstance(live, Variable) else None
    shape, part = like.shape, None
    if whole is not None:
        shape, part = whole.full_shape, whole.within(like.shape)
    return NamedTarget(value.name, value.path, like.dtype, shape, part, array, arrived)


def _replacing(
    value: NamedValue, given: Callable[[Any], None], put: Callable[[NamedValue, Any], bool]
) -> tuple[Callable[[], npt.NDArray[Any]], Callable[[], None]]:
    """Return what makes a new value, and puts it into the place of one that is not written to."""
    live = value.live
    made: list[npt.NDArray[Any]] = []

    def array() -> npt.NDArray[Any]:
        made[:] = [np.empty(live.shape, live.dtype)]
        return made[0]

    def arrived() -> None:
        new = made.pop()
        if isinstance(live, np.generic):
            new = new[()]
        else:
            new.flags.writeable = False
        if put(value, new):
            given(new)

    return array, arrived


def _itself(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array


class _Namer:
    """Says which names live values go by."""

    def __init__(self, live: Walk, options: RestoreOptions, holder: Any) -> None:
        self._live = live
        self._renames = dict(options.rename)
        self._holder = holder

    def name(self, number: int) -> str:
        """Return the name that the value of a live node goes by."""
        value = self._live.objects[number]
        own = stored_name(value) if isinstance(value, Variable) else None
        if own is not None and not self._renames:
            return own
        path = self._live.paths.full(number)
        return self._renames.get(path, path if own is None else own)

    def value(self, number: int) -> NamedValue:
        """Return the value of a live node, with its name."""
        value = self._live.objects[number]
        place = None
        if not isinstance(value, Variable) and not is_written_to(value):
            place = self._place(number, value)
        return NamedValue(self.name(number), self._live.paths.shown(number), value, place)

    def _place(self, number: int, value: Any) -> Place | None:
        """Return where a value stands; what a Checkpoint adds to its root stands there itself."""
        owner, names = self._live.place_of(number)
        places: list[tuple[Any, Names]] = [(owner, names)]
        if owner is self._live.objects[0]:
            below = (
                (owner, names) if isinstance(owner, Trackable) else (self._holder, (None, *names))
            )
            places = [below, (self._holder, names)]
        for holder, inner in places:
            place, found = find(holder, inner)
            if found is value:
                return place
        return None


def is_written_to(value: Any) -> bool:
    """Tell whether a value is an array that can be written to in place."""
    return isinstance(value, np.ndarray) and value.flags.writeable


def _included(live: Walk, options: RestoreOptions) -> Collection[int]:
    """Return the live nodes that the options include."""
    selection = Selection(options.only, options.skip or ())
    start = selection.start()
    included: dict[int, bool] = {}
    queue: deque[tuple[int, Trail]] = deque([(0, start)])
    while queue:
        number, trail = queue.popleft()
        if number in included and (included[number] or not trail.included):
            continue
        included[number] = trail.included
        for key, child in live.children[number]:
            followed = trail if start is EVERYTHING else selection.follow(trail, str(key))
            if followed is not None:
                queue.append((child, followed))
    for slot in live.slots if options.slots else ():
        if all(included.get(end) for end in slot.ends):
            included[slot.slot_variable] = True
    return {number for number, is_in in included.items() if is_in}


def _counter(live: Walk) -> Variable | None:
    number = dict(live.children[0]).get(SAVE_COUNTER)
    counter = None if number is None else live.objects[number]
    return counter if isinstance(counter, Variable) else None


def _untracked(live: Walk) -> list[Entry]:
    return [Entry(u.path, reason=f"{u.type}: {u.reason}") for u in live.untracked]
