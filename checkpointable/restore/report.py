"""What a restore did and did not do, as data first and as a readable tree second (R-22)."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.format.paths import paths_of
from checkpointable.format.records import Attribute, Slot
from checkpointable.graph.outline import outline
from checkpointable.graph.walk import Walk, walk
from checkpointable.names import SAVE_COUNTER, Paths, join, value_path
from checkpointable.restore.books import Books, Waits
from checkpointable.restore.entries import ABSENT, Entry, suggest, with_hint
from checkpointable.restore.fit import array_dtype_name
from checkpointable.restore.giving import own_names
from checkpointable.restore.grafts import moved_to
from checkpointable.restore.places import OWN_TENSORS, Names, is_given_after
from checkpointable.restore.plan import Issue
from checkpointable.restore.selection import EVERYTHING, Trail
from checkpointable.restore.stored import CONTAINERS
from checkpointable.trackable.base import Variable, peek_tracking
from checkpointable.trackable.children import Kind
from checkpointable.trackable.registry import own_tensors
from checkpointable.trackable.slots import SlotTrackable

#: The categories of a report, in the order in which it prints them.
CATEGORIES: Final = (
    "restored", "pending", "missing", "unused", "mismatched", "split", "cast", "skipped",
    "untracked",
)  # fmt: skip

_SHOWN: Final = 10
#: How many ways to one container are looked at.
_WAYS: Final = 16
_SLOTS_LEFT_OUT: Final = "left out by slots=False"


@attrs.frozen
class Report:
    """What a restore matched and what it did not.

    Attributes:
        source: the checkpoint.
        restored: live values that have theirs.
        pending: stored values that wait for an object.
        missing: live values that the checkpoint has none for.
        unused: stored values that no object can take any more.
        mismatched: values that do not fit.
        split: stored objects that were given to several live ones.
        cast: values that were converted.
        skipped: what the options left out.
        untracked: attributes that are not part of the object graph.
        unverified: why what was read could not be verified; "" where it was.
    """

    source: str
    restored: Sequence[Entry] = ()
    pending: Sequence[Entry] = ()
    missing: Sequence[Entry] = ()
    unused: Sequence[Entry] = ()
    mismatched: Sequence[Entry] = ()
    split: Sequence[Entry] = ()
    cast: Sequence[Entry] = ()
    skipped: Sequence[Entry] = ()
    untracked: Sequence[Entry] = ()
    unverified: str = ""

    @classmethod
    def of_assigned(cls, books: Books, done: Iterable[int]) -> Report:
        """Return the report of a restore that failed: what it had assigned by then."""
        paths = books.paths
        restored = [Entry(paths.shown(number)) for number in dict.fromkeys(done)]
        return cls(books.source.path, restored=restored)

    @classmethod
    def of_mismatched(cls, books: Books, issues: Iterable[Issue]) -> Report:
        """Return the report of values that do not fit."""
        return cls(books.source.path, mismatched=_misfits(books, issues))

    def why_not_existing_matched(self) -> str:
        """Return why not every live value has its stored one; empty if all have."""
        return self._complain(
            ("missing", "{} of the program found no value in {}"),
            ("mismatched", "{} did not fit what {} holds"),
        )

    def why_not_consumed(self) -> str:
        """Return why the checkpoint and the program do not match in full; empty if they do."""
        return self._complain(
            ("missing", "{} of the program found no value in {}"),
            ("mismatched", "{} did not fit what {} holds"),
            ("pending", "{} in {} {wait} for an object that does not exist yet"),
            ("unused", "{} in {} found no object"),
            ("split", "{} of {} {were} given to more than one object"),
        )

    def _complain(self, *categories: tuple[str, str]) -> str:
        parts = []
        for category, phrase in categories:
            entries: Sequence[Entry] = getattr(self, category)
            if entries:
                is_one = len(entries) == 1
                count = f"{len(entries):,} {'value' if is_one else 'values'}"
                verbs = (
                    {"wait": "waits", "were": "was"} if is_one else {"wait": "wait", "were": "were"}
                )
                lines = [f"  {with_hint(entry)}" for entry in entries[:_SHOWN]]
                if len(entries) > _SHOWN:
                    lines.append(f"  ... and {len(entries) - _SHOWN:,} more")
                parts.append("\n".join([phrase.format(count, self.source, **verbs) + ":", *lines]))
        if not parts:
            return ""
        advice = "See status.report() for all, or status.expect_partial() if this is intended."
        return "\n".join([*parts, advice])

    def __str__(self) -> str:
        counts = ", ".join(
            f"{len(getattr(self, category)):,} {category}"
            for category in CATEGORIES
            if getattr(self, category)
        )
        lines = [f"{self.source}: {counts or 'nothing to restore'}"]
        if self.unverified:
            lines.append(f"not verified: {self.unverified}")
        for category in CATEGORIES:
            lines.extend(outline(category, getattr(self, category), _without_path))
        return "\n".join(lines)


def build_report(books: Books, waits: Iterable[Waits] | None = None) -> Report:
    """Compare the live objects, as they are now, with what a restore has matched.

    Args:
        books: what was matched.
        waits: what waits; by default what waits now.
    """
    root, attached = books.roots()
    live = walk(root, attached)
    selected = dict(_selected(books, live))
    restored, missing = _live_values(books, live, selected)
    skipped = _issues(books, books.skipped)
    skipped.extend(_left_out(books, live, selected, {entry.path for entry in skipped}))
    skipped.extend(_slots_left_out(books, {entry.path for entry in skipped}))
    pending, unused = _stored_values(books, books.pending(waits))
    unused.extend(_issues(books, books.unused))
    return Report(
        source=books.source.path,
        restored=restored,
        pending=pending,
        missing=suggest(missing, [*unused, *pending]),
        unused=suggest(unused, missing),
        mismatched=_misfits(books, books.mismatched),
        split=_issues(books, books.split),
        cast=_issues(books, books.cast),
        skipped=skipped,
        untracked=[Entry(u.path, reason=f"{u.type}: {u.reason}") for u in live.untracked],
        unverified=books.source.unverified,
    )


def _live_values(
    books: Books, live: Walk, selected: Mapping[int, list[Any]]
) -> tuple[list[Entry], list[Entry]]:
    """Return the live values that were matched and those that were not."""
    matched: list[Entry] = []
    missing: list[Entry] = []
    for number, owners in selected.items():
        value = live.objects[number]
        holds_value = has_value(value, live.kinds[number])
        is_object = live.kinds[number] is Kind.TRACKABLE
        places: list[tuple[Any, Names]] = [(value, ())] if is_object else owners
        if live.kinds[number] is Kind.ADAPTED:
            places = [(owner, (*names, OWN_TENSORS)) for owner, names in owners]
        if any(books.is_exempt(*place) for place in places):
            continue
        if not holds_value and (is_object or not any(books.has_edge(*place) for place in places)):
            continue
        dtype, shape = _dtype_and_shape(value)
        path = live.paths.shown(number)
        if any(_is_matched(books, *place) for place in places):
            matched.append(Entry(path, dtype, shape))
        else:
            reasons = (books.why_lacking(*place) for place in places)
            default = "the checkpoint was gone when it came" if books.is_gone else ABSENT
            reason = next(filter(None, reasons), default)
            missing.append(Entry(path, dtype, shape, reason))
    return matched, missing


def _left_out(
    books: Books, live: Walk, selected: Container[int], listed: Container[str]
) -> Iterator[Entry]:
    """Yield the live values that the options leave out and that are not listed already."""
    slots = {slot.slot_variable for slot in live.slots} if not books.options.slots else ()
    for number, value in enumerate(live.objects):
        path = live.paths.shown(number) if number not in selected else ""
        if not path or not has_value(value, live.kinds[number]) or path == SAVE_COUNTER:
            continue
        parts = path.split("/")
        if not any("/".join(parts[:n]) in listed for n in range(1, len(parts) + 1)):
            reason = _SLOTS_LEFT_OUT if number in slots else "left out by only or skip"
            yield Entry(path, *_dtype_and_shape(value), reason)


def _slots_left_out(books: Books, listed: Container[str]) -> Iterator[Entry]:
    """Yield the stored slot variables that `slots=False` leaves out."""
    if books.options.slots or not books.graph.slot_variables():
        return
    found = {node: (paths, path) for node, paths, path in _reachable(books)}
    for slot in books.graph.slot_variables():
        if slot.slot_variable not in found and all(end in found for end in slot.ends):
            (paths, variable), (_, optimizer) = (found[end] for end in slot.ends)
            path = paths.shown(paths.add_slot(variable, optimizer, slot.slot_name))
            for attribute in (
                books.graph.attributes(slot.slot_variable) if path not in listed else ()
            ):
                yield _stored_entry(books, attribute, path, _SLOTS_LEFT_OUT)


def _selected(books: Books, live: Walk) -> Iterator[tuple[int, list[Any]]]:
    """Yield the live nodes that the options include, with the places of arrays and plain values.

    A place is the nearest object and the names from it on, through plain containers.
    """
    included: dict[int, bool] = {}
    edges: list[tuple[int, str, int]] = []
    queue: deque[tuple[int, Trail]] = deque([(0, books.selection.start())])
    while queue:
        number, trail = queue.popleft()
        if number in included and (included[number] or not trail.included):
            continue
        is_new = number not in included
        included[number] = trail.included
        for key, child in live.children[number]:
            origin = books.origins.get(join(trail.path, str(key))) if books.origins else None
            followed = books.selection.follow(trail, str(key), origin)
            if followed is None or (number == 0 and key == SAVE_COUNTER):
                continue
            if is_new and live.kinds[child] is not Kind.TRACKABLE:
                edges.append((number, str(key), child))
            queue.append((child, followed))
    for slot in live.slots if books.options.slots else ():
        if all(included.get(end) for end in slot.ends):
            included[slot.slot_variable] = True
    places = _places(books, live, edges)
    yield from ((number, places.get(number, [])) for number, is_in in included.items() if is_in)


def _places(
    books: Books, live: Walk, edges: list[tuple[int, str, int]]
) -> dict[int, list[tuple[Any, Names]]]:
    """Return the places of all values that are not objects, by all ways that lead to them."""
    holder, root = books.holder(), live.objects[0]
    first = (root, ()) if live.kinds[0] is Kind.TRACKABLE else (holder, (None,))
    places: dict[int, list[tuple[Any, Names]]] = {0: [first]}
    if holder is not root:
        places[0].append((holder, ()))
    for _ in range(2):  # twice, for the edges that lead back
        for number, name, child in edges:
            is_object = number != 0 and live.kinds[number] is Kind.TRACKABLE
            above = [(live.objects[number], ())] if is_object else places.get(number, [])
            known = places.setdefault(child, [])
            for owner, names in above[:_WAYS]:
                place = (owner, (*names, name))
                if not any(owner is o and place[1] == n for o, n in known):
                    known.append(place)
    return places


def _is_matched(books: Books, owner: Any, names: Names) -> bool:
    """Tell whether this restore, or a later one, has given a value there."""
    if not names:
        tracking = peek_tracking(owner)
        later = tracking is not None and tracking.restored > books.order
        return later or books.giver(owner) is not None
    return is_given_after(books.order, owner, names) or books.has_edge(owner, names)


def has_value(value: Any, kind: Kind) -> bool:
    """Tell whether a live node holds a value that a checkpoint should have."""
    if kind is Kind.TRACKABLE:
        return bool(own_names(value))
    if kind is Kind.ADAPTED:
        return bool(own_tensors(value))
    if kind is Kind.PLAIN:
        return value is not None and not (isinstance(value, CONTAINERS) and not value)
    return kind in (Kind.ARRAY, Kind.SCALAR)


def _dtype_and_shape(value: Any) -> tuple[str | None, tuple[int, ...] | None]:
    array = value.pattern_array() if isinstance(value, Variable) else value
    if isinstance(array, (np.ndarray, np.generic)):
        return array_dtype_name(np.asarray(array)), array.shape
    return None, None


def _stored_values(books: Books, outstanding: set[int]) -> tuple[list[Entry], list[Entry]]:
    """Return the stored values that wait, and those that no object can take."""
    pending: list[Entry] = []
    unused: list[Entry] = []
    slots = {slot.slot_variable: slot for slot in books.slots.all}
    elsewhere = {issue.node for issue in books.mismatched}
    for node, paths, path in _reachable(books):
        if node in books.unclear:
            unused.extend(_unclear(books, node, paths.shown(path)))
        for attribute in books.graph.attributes(node):
            is_open = attribute.value not in books.consumed and node not in elsewhere
            if is_open and not books.is_empty(attribute.value):
                waits = attribute.value in outstanding
                reason = "waits for its object" if waits else _why_unused(books, slots.get(node))
                entry = _stored_entry(books, attribute, paths.shown(path), reason)
                (pending if waits else unused).append(entry)
    if books.start == 0 and books.selection.start() is EVERYTHING:
        unused.extend(_out_of_reach(books))
    return pending, unused


def _unclear(books: Books, node: int, path: str) -> Iterator[Entry]:
    """Yield what cannot be interpreted at a node, unless a live object is said to lack it."""
    if not any(books.why_lacking(live, ()) for live in books.bound_to(node)):
        for unclear in books.unclear[node]:
            yield Entry(path, reason=f"{unclear.what}: {unclear.reason}")


def _out_of_reach(books: Books) -> Iterator[Entry]:
    """Yield what cannot be interpreted at nodes that no path leads to."""
    if books.unclear:
        _, numbers = paths_of(books.graph.stored)
        for node in books.unclear.keys() - numbers.keys():
            yield from _unclear(books, node, f"(node {node})")


def _reachable(books: Books) -> Iterator[tuple[int, Paths, int]]:
    """Yield the stored nodes that the options include, with their paths."""
    graph, paths, start = books.graph, Paths(), books.start
    moved = moved_to(books.origins)
    included: dict[int, tuple[bool, int]] = {}
    queue: deque[tuple[int, int, Trail]] = deque([(start, 0, books.selection.start())])
    while queue:
        node, path, trail = queue.popleft()
        if node in included and (included[node][0] or not trail.included):
            continue
        included[node] = (trail.included, included.get(node, (False, path))[1])
        for name, child in graph.children(node):
            today = moved.get(join(trail.stored, name)) if moved else None
            followed = books.selection.follow_stored(trail, name, today)
            if followed is None or (node == start == 0 and name == SAVE_COUNTER):
                continue
            if child not in included or not included[child][0]:
                queue.append((child, paths.add(path, name), followed))
    for slot in books.slots.all:
        ends = [included.get(end, (False, 0)) for end in slot.ends]
        if slot.slot_variable not in included and all(is_in for is_in, _ in ends):
            (_, variable), (_, optimizer) = ends
            number = paths.add_slot(variable, optimizer, slot.slot_name)
            included[slot.slot_variable] = (True, number)
    yield from ((node, paths, path) for node, (is_in, path) in included.items() if is_in)


def _why_unused(books: Books, slot: Slot | None) -> str:
    """Return why no object can take a stored value, which may be that of a slot variable."""
    optimizers = books.bound_to(slot.optimizer) if slot is not None else ()
    if optimizers and not any(isinstance(live, SlotTrackable) for live in optimizers):
        return "the object that kept this slot variable is no SlotTrackable in the program"
    return "no object took it"


def _stored_entry(books: Books, attribute: Attribute, path: str, reason: str) -> Entry:
    tensors = books.source.tensors
    path = value_path("" if path == "(root)" else path, attribute.name) or path
    if not books.source.is_plain(attribute.value):
        info = tensors[attribute.value]
        return Entry(path, info.dtype, info.shape, reason)
    return Entry(path, reason=reason)


def _issues(books: Books, issues: Iterable[Issue]) -> list[Entry]:
    return [Entry(books.paths.shown(i.path), reason=i.reason) for i in issues]


def _misfits(books: Books, issues: Iterable[Issue]) -> list[Entry]:
    """Return the entries of values that do not fit, with what is stored."""
    entries = []
    for issue in issues:
        value = books.values.get(issue.node) if issue.node >= 0 else None
        info = value.info if value is not None else None
        dtype, shape = (info.dtype, info.shape) if info is not None else (None, None)
        entries.append(Entry(books.paths.shown(issue.path), dtype, shape, issue.reason))
    return entries


def _without_path(entry: Entry) -> str:
    return str(attrs.evolve(entry, path=""))
