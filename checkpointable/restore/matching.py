"""Match live objects with the stored graph, edge by edge, breadth-first (R-1 to R-12).

Nothing live is changed here: what is found is a `Plan`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from checkpointable.errors import IncompatibleCheckpointError
from checkpointable.names import SAVE_COUNTER, join
from checkpointable.restore.books import Books
from checkpointable.restore.fit import Misfit, describe_live, describe_stored
from checkpointable.restore.foreign import ForeignMatching, mark_due
from checkpointable.restore.giving import Giving, Item
from checkpointable.restore.places import Names, Place
from checkpointable.restore.plan import Issue, Plan, Wait
from checkpointable.restore.renaming import Renaming, Rule, rules_of
from checkpointable.restore.selection import EVERYTHING, Trail
from checkpointable.restore.slots import SlotMatching
from checkpointable.restore.stored import CONTAINERS, Literal, Stored
from checkpointable.trackable.base import Variable
from checkpointable.trackable.children import Classifier, Kind


class Matcher:
    """One run of matching, from one live value on to all that it leads to."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._graph = books.graph
        self._values = books.values
        self._giving = Giving(books)
        self._slots = SlotMatching(books, self._giving)
        self._foreign = ForeignMatching(books, self._giving)
        self._root, attached = books.roots()
        self._attached = dict(attached)
        if books.start != 0:
            self._attached.pop(SAVE_COUNTER, None)
        self._classifier = Classifier()
        self._queue: deque[Item] = deque()
        self._renaming = Renaming(books.graph, self._classifier)
        #: What classes say about older names.
        self._rules: dict[type[Any], list[Rule]] = {}
        #: (live, node) pairs met in this run -> whether their own values were included.
        self._met: dict[tuple[int, int], bool] = {}
        #: The containers among them stay alive, so that no identity is used twice.
        self._alive: list[Any] = []

    def run(
        self, live: Any, node: int, path: int, trail: Trail, place: Place | None = None
    ) -> Plan:
        """Match a live value and a stored node, and everything behind them.

        Args:
            live: the root, or what has just been assigned where the node waited.
            node: the stored node.
            path: the number of its path.
            trail: the way to it.
            place: where the live value was assigned; `None` for the root.
        """
        self._foreign.match_above(place, live, path)
        if place is None:
            node = self._renamed_start(live, node)
        kind = self._classifier.kind(live)
        self._add(Item(place, live, kind, node, path, trail, place is not None))
        while self._queue:
            while self._queue:
                self._visit(self._queue.popleft())
            self._queue.extend(self._slots.items())
        plan = self._giving.finished()
        mark_due(plan)
        return plan

    def _renamed_start(self, live: Any, node: int) -> int:
        """Return the node to start with, as `RestoreOptions(rename=)` shows it (R-29).

        Raises:
            IncompatibleCheckpointError: a path of the option leads nowhere.
        """
        books, renaming = self._books, self._renaming
        rules = books.rename
        if not rules:
            return node
        start = renaming.graft(node, rules, self._held_by(live), "")
        for rule in rules:
            if renaming.find(start, rule.today) is None:
                raise IncompatibleCheckpointError(
                    f"{books.source.path}: rename: {'/'.join(rule.today)} lies inside a value,"
                    " which the checkpoint holds as a whole. Name the value itself."
                )
        return start

    def _held_by(self, live: Any) -> dict[str, Any]:
        """Return what a live object or container leads to, by name."""
        held = self._renaming.held_by(live)
        return {**self._attached, **held} if live is self._root else held

    def _class_rules(self, live: Any) -> list[Rule]:
        """Return what the class of an object says about older names (R-28)."""
        rules = self._rules_of(type(live))
        if live is self._root:
            holder = self._books.holder()
            if type(holder) is not type(live):
                rules = rules + self._rules_of(type(holder))
        return rules

    def _rules_of(self, cls: type[Any]) -> list[Rule]:
        rules = self._rules.get(cls)
        if rules is None:
            rules = self._rules[cls] = rules_of(cls)
        return rules

    def _add(self, item: Item) -> None:
        """Let a live value be matched with a stored thing."""
        stored = item.stored
        if isinstance(stored, int) and self._graph.is_moved(stored):
            item.stored, item.graft = self._graph.base(stored), stored
        self._queue.append(item)

    def _visit(self, item: Item) -> None:
        kind = item.kind
        if kind is Kind.TRACKABLE:
            self._match_object(item)
        elif kind in (Kind.LIST, Kind.TUPLE, Kind.DICT, Kind.ADAPTED):
            self._match_container(item)
        elif isinstance(item.live, CONTAINERS) and not self._giving.is_older(item):
            self._match_plain_container(item)
        elif kind is Kind.UNSUPPORTED or self._giving.is_older(item):
            self._giving.older(item)
        elif item.live is None:
            self._giving.none(item)
        elif item.trail.included:
            self._giving.leaf(item, kind)

    def _follow(self, item: Item, name: str, child: Stored) -> tuple[int, Trail] | None:
        """Return the path and trail behind an edge; `None`, and a note, if it is cut (R-14)."""
        path = self._books.paths.add(item.path, name)
        if item.trail is EVERYTHING:
            return path, EVERYTHING
        view = item.view
        origin = self._graph.origin(view, name) if isinstance(view, int) else None
        if origin is not None:
            self._books.origins[join(item.trail.path, name)] = origin
        trail = self._books.selection.follow(item.trail, name, origin)
        if trail is None:
            node = child if isinstance(child, int) else -1
            self._giving.plan.skipped.append(Issue(path, "left out by only or skip", node))
            return None
        return path, trail

    def _match_object(self, item: Item) -> None:
        live, node = item.live, item.stored
        if isinstance(node, Literal):
            value = self._values.get(node)
            if isinstance(live, Variable) and value is not None:
                self._giving.variable(item, live, value)
            return
        key = (id(live), node if item.graft is None else item.graft)
        met = self._met.get(key)
        if met or (met is not None and not item.trail.included):
            return
        if met is None:
            if item.graft is None and self._books.is_bound(node, live):
                return
            self._giving.bind(item, live, node)
        self._met[key] = item.trail.included
        if item.trail.included:
            self._giving.own_values(item, live, node)
            self._slots.reach(node, live, item.path)
        view = node if item.graft is None else item.graft
        rules = self._class_rules(live)
        if rules:
            view = self._renaming.graft(view, rules, self._held_by(live), item.trail.stored)
            item.graft = view
        self._match_children(item, live, view)

    def _match_children(self, item: Item, live: Any, node: int) -> None:
        stored = self._graph.children(node)
        children = dict(self._classifier.children(live)) if stored else {}
        for name, child in stored:
            if name in children:
                self._enqueue(item, live, name, children[name], child)
            elif not self._match_attached(item, name, child):
                self._wait_at(item, live, (name,), child)

    def _match_attached(self, item: Item, name: str, child: Stored) -> bool:
        """Match an edge of the root's node that the holder has; tell whether that is all (R-3)."""
        if item.live is not self._root:
            return False
        holder = self._books.holder()
        if name == SAVE_COUNTER and self._books.start == 0:
            self._match_counter(item, child)
            return True
        if name in self._attached:
            self._enqueue(item, holder, name, self._attached[name], child)
            return True
        if holder is not self._root:
            self._wait_at(item, holder, (name,), child)
        return False

    def _match_counter(self, item: Item, child: Stored) -> None:
        """Match the library's own counter, which no option leaves out."""
        counter = self._attached.get(SAVE_COUNTER)
        if counter is not None:
            path = self._books.paths.add(item.path, SAVE_COUNTER)
            self._add(Item(None, counter, Kind.TRACKABLE, child, path, EVERYTHING))

    def _enqueue(self, item: Item, owner: Any, name: str, live: Any, child: Stored) -> None:
        """Follow an edge from an object."""
        followed = self._follow(item, name, child)
        if followed is not None:
            kind = self._classifier.kind(live)
            is_object = kind is Kind.TRACKABLE
            place = None if is_object else Place(owner, (name,), owner, name)
            self._add(Item(place, live, kind, child, *followed))

    def _enqueue_item(self, item: Item, name: str, key: Any, live: Any, child: Stored) -> None:
        """Follow an edge from a container."""
        followed = self._follow(item, name, child)
        if followed is not None:
            kind = self._classifier.kind(live)
            place = self._giving.place(item).item(item.live, name, key)
            # An object that has just come is restored where it is, with all that it holds.
            fresh = item.fresh and item.kind is not Kind.ADAPTED
            self._add(Item(place, live, kind, child, *followed, fresh))

    def _wait_at(self, item: Item, owner: Any, names: Names, child: Stored) -> None:
        followed = self._follow(item, str(names[-1]), child)
        if followed is not None and isinstance(child, int):
            self._giving.plan.waits.append(Wait(owner, names, child, *followed))

    def _match_container(self, item: Item) -> None:
        if self._met_again(item):
            return
        if item.kind is not Kind.ADAPTED:
            items = self._classifier.items(item.live)
        elif item.graft is None and self._books.is_bound(item.node, item.live):
            return
        else:
            items = [*self._foreign.shown(item.live).items()]
            self._foreign.match(item)
        live_items = {str(key): (key, value) for key, value in items}
        value = self._values.get(item.stored)
        if value is not None and value.info is None and _has_items(value.plain):
            self._giving.consume(value)
        for name, child in self._values.items(item.view):
            if name in live_items:
                self._enqueue_item(item, name, *live_items[name], child)
            elif self._match_attached(item, name, child):
                continue
            elif isinstance(child, Literal):
                path = self._books.paths.add(item.path, name)
                self._giving.plan.unused.append(Issue(path, "the live container has no such item"))
            elif self._values.holds_object(child):
                self._wait_for_item(item, name, child)
        if item.kind is Kind.PLAIN:
            stored = {name for name, _ in self._values.items(item.view)}
            if stored.issuperset(live_items):
                self._giving.add_edge(item)

    def _met_again(self, item: Item) -> bool:
        """Tell whether this container was matched with this node before in this run."""
        view = item.view
        key = (id(item.live), view if isinstance(view, int) else -1)
        if key[1] < 0 or key not in self._met:
            self._met[key] = True
            self._alive.append(item.live)
            return False
        is_replaced = isinstance(item.live, tuple) or item.kind is Kind.ADAPTED
        if is_replaced and item.place is not None:
            self._giving.plan.again.append((item.live, item.place))
        return True

    def _match_plain_container(self, item: Item) -> None:
        value = self._values.get(item.stored)
        if value is None:
            self._match_items(item)
        elif value.info is None and (item.trail is EVERYTHING or not _has_items(value.plain)):
            if item.trail.included:
                self._giving.replace_plain(item, value)
        elif value.info is None:
            self._match_items(item)
        elif item.live and item.trail.included:
            remedy = "Leave it out with RestoreOptions(skip=)."
            misfit = Misfit(describe_stored(value), describe_live(item.live), remedy)
            self._giving.mismatch(item, misfit)

    def _match_items(self, item: Item) -> None:
        """Match a plain container item by item, or fill it if it is empty."""
        view = item.view
        if item.live or not isinstance(view, int):
            self._match_container(item)
        else:
            self._match_empty_container(item, view)

    def _match_empty_container(self, item: Item, node: int) -> None:
        """Fill an empty container, or let its items wait for the objects among them (R-8)."""
        children = [
            (name, child)
            for name, child in self._graph.children(node)
            if not self._match_attached(item, name, child)
        ]
        if any(self._values.holds_object(child) for _, child in children):
            for name, child in children:
                self._wait_for_item(item, name, child)
        elif children:
            attached = {child for _, child in self._graph.children(node)} - {c for _, c in children}
            self._giving.fill(item, node, attached)

    def _wait_for_item(self, item: Item, name: str, child: Stored) -> None:
        place = self._giving.place(item)
        self._wait_at(item, place.owner, (*place.names, name), child)


def _has_items(plain: Any) -> bool:
    return isinstance(plain, (list, tuple, dict))
