"""Decide which stored value goes to which live one, and how (R-2, R-4 to R-8, R-11, R-21)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import attrs
import numpy as np

from checkpointable.format.records import AttributeKind, NodeKind
from checkpointable.graph.tree import LEFT_OUT, build_tree
from checkpointable.names import PY_STATE, VARIABLE_VALUE
from checkpointable.restore.books import Books
from checkpointable.restore.fit import (
    Misfit,
    as_stored,
    describe_live,
    describe_stored,
    fit_value,
    refiller,
    remaker,
    retyper,
    same_base,
)
from checkpointable.restore.places import Place, is_given_after
from checkpointable.restore.plan import Compare, Fill, Give, GiveTensors, Issue, Plan, Wait
from checkpointable.restore.recording import give_to_variable
from checkpointable.restore.selection import Trail
from checkpointable.restore.stored import CONTAINERS, Stored, StoredValue
from checkpointable.trackable.base import Trackable, Variable, peek_tracking
from checkpointable.trackable.children import Kind
from checkpointable.trackable.state import PythonState


@attrs.define(slots=True, eq=False)
class Item:
    """A live value and the stored thing that it is matched with.

    Attributes:
        place: where the live value stands; `None` for objects, which stay where they are, and
            for the root.
        kind: what the live value is.
        fresh: whether the value has just been assigned where a stored one waited; it then gives
            way to the stored one, and is not written to.
        graft: the stored node with what is there under other names (see `restore/grafts`).
    """

    place: Place | None
    live: Any
    kind: Kind
    stored: Stored
    path: int
    trail: Trail
    fresh: bool = False
    graft: int | None = None

    @property
    def view(self) -> Stored:
        """The stored thing with what is there under other names: whose children are matched."""
        return self.stored if self.graft is None else self.graft

    @property
    def node(self) -> int:
        """The stored node, or -1 for an item of a stored plain value."""
        return self.stored if isinstance(self.stored, int) else -1


class Giving:
    """Decides, for one run of matching, which stored value goes to which live one."""

    def __init__(self, books: Books) -> None:
        self.plan = Plan()
        self._books = books
        self._graph = books.graph
        self._values = books.values
        holder = books.holder()
        self._root = Place(holder, (None,), holder, None)
        #: How arrays met in this run get their values: by (array, node).
        self._gives: dict[tuple[int, int], Give] = {}
        #: How new arrays are made in this run, by node.
        self._made: dict[int, Give] = {}
        #: The numbers of the values planned for the places met in this run: by (holder, key).
        self._planned: dict[tuple[int, Any], int] = {}
        #: Which node gives to an object or array met in this run.
        self._givers: dict[int, int] = {}
        #: What each node was given to in this run; it keeps them alive and their identities apart.
        self._bound: dict[int, list[Any]] = {}
        self._alive: list[Any] = []

    def bind(self, item: Item, live: Any, node: int) -> None:
        """Note that a live object or array and a stored node belong together (R-5)."""
        earlier, bound = self._books.bound_to(node), self._bound.setdefault(node, [])
        if earlier or bound:
            is_split = any(other is not live for other in (*earlier, *bound))
            if is_split and node != self._books.start:
                reason = "one stored object for two live ones"
                self.plan.split.append(Issue(item.path, reason, node))
        bound.append(live)
        if isinstance(live, Trackable):  # All else may still be replaced.
            self.plan.bound.append((node, live))

    def bound_to(self, node: int) -> list[Any]:
        """Return the live objects that a stored node was given to, in this run or before."""
        return [*self._books.bound_to(node), *self._bound.get(node, ())]

    def own_values(self, item: Item, live: Any, node: int) -> None:
        """Plan to give an object its own values."""
        names = own_names(live)
        if not names:
            return
        giver = self._givers.get(id(live), self._books.giver(live))
        if giver is not None and giver != node:
            self._compare(giver, node, names)
            return
        tracking = peek_tracking(live)
        if tracking is not None and tracking.restored > self._books.order:
            values = {a.name: a.value for a in self._graph.attributes(node)}
            if not values.keys().isdisjoint(names):
                self._satisfy(live, node, [values[name] for name in names if name in values])
        elif isinstance(live, Variable):
            self._variable(item, live, node)
        else:
            self._tensors(item, live, node, names)

    def _variable(self, item: Item, live: Variable, node: int) -> None:
        value = self._values.get(node)
        if value is None:
            self.plan.lacking.append((live, (), self._no_value(node)))
        else:
            self.variable(item, live, value)

    def variable(self, item: Item, live: Variable, value: StoredValue) -> None:
        """Plan to give a Variable its value."""
        give = give_to_variable(item.path, item.node, live)
        if self._plan(give, item, value, Kind.ARRAY):
            self._satisfy(live, item.node, [value.number] if value.number >= 0 else [])

    def _tensors(self, item: Item, live: Any, node: int, names: tuple[str, ...]) -> None:
        stored = {a.name: a.value for a in self._graph.attributes(node)}
        absent = [name for name in names if name not in stored]
        if absent:
            reason = self._books.why_no_value(node, why_no_tensors(absent))
            self.plan.lacking.append((live, (), reason))
            return
        numbers = {name: stored[name] for name in names}
        self.plan.tensors.append(GiveTensors(item.path, node, live, _receiver(live), numbers))
        self._satisfy(live, node, numbers.values())

    def _satisfy(self, live: Any, node: int, numbers: Iterable[int]) -> None:
        self._givers[id(live)] = node
        self.plan.satisfied.append((node, live))
        self.plan.consumed.extend(numbers)

    def _compare(self, giver: int, node: int, names: Iterable[str]) -> None:
        """Leave the second of two stored values for one live object unused if it differs (R-6)."""
        first = {a.name: a.value for a in self._graph.attributes(giver) if giver >= 0}
        second = {a.name: a.value for a in self._graph.attributes(node)}
        for name in names:
            if name in first and name in second:
                self.plan.compares.append(Compare(first[name], second[name]))

    def is_first_giver(self, live: Any, node: int, names: Iterable[str]) -> bool:
        """Tell whether a node gives an object its values: the first one does (R-6)."""
        giver = self._givers.setdefault(id(live), node)
        if giver != node:
            self._compare(giver, node, names)
        return giver == node

    def finished(self) -> Plan:
        """Return the plan: of slot variables that are new, those that get a value."""
        plan = self.plan
        plan.slots = [slot for slot in plan.slots if id(slot.live) in self._givers]
        return plan

    def leaf(self, item: Item, kind: Kind) -> None:
        """Plan to give an array, a numpy scalar or a plain scalar its value."""
        value = self._values.get(item.stored)
        if value is None:
            place = self.place(item)
            self.plan.lacking.append((place.owner, place.names, self._no_value(item.node)))
            return
        if self._is_shared(item) or self._is_planned(item, value):
            return
        give = Give(item.path, item.node, value.number, value.info, value.plain)
        in_place = kind is Kind.ARRAY and not item.fresh and item.live.flags.writeable
        give.target, give.places = (item.live, []) if in_place else (None, [self.place(item)])
        if not self._plan(give, item, value, kind):
            return
        if kind is Kind.ARRAY and not in_place:
            give.convert = remaker(item.live, give.convert)
        self._put(item, value)
        if kind is Kind.ARRAY and item.node >= 0:
            self._gives[id(item.live), item.node] = give
            self._givers[id(item.live)] = item.node
            self.bind(item, item.live, item.node)

    def none(self, item: Item) -> None:
        """Let an empty place take an array or a plain value, and wait for an object (R-7)."""
        node, value, view = item.node, self._values.get(item.stored), item.view
        if isinstance(view, int) and self._values.holds_object(view):
            place = self.place(item)
            self.plan.waits.append(Wait(place.owner, place.names, view, item.path, item.trail))
        elif value is None and isinstance(view, int):
            self.fill(item, view)
        elif not item.trail.included or value is None:
            return
        elif value.kind is AttributeKind.ARRAY and self._reuse_array(item):
            self.add_edge(item)
        elif not self._is_planned(item, value):
            give = Give(item.path, node, value.number, value.info, value.plain)
            give.convert, give.places = as_stored(value), [self.place(item)]
            if value.kind is AttributeKind.ARRAY:
                self._made[node] = give
            self._plan_give(give, item, value)

    def replace_plain(self, item: Item, value: StoredValue) -> None:
        """Give a plain container its stored value as a whole: in place where that is possible."""
        if self._is_planned(item, value):
            return
        live, plain, place = item.live, value.plain, self.place(item)
        is_same = same_base(live, plain)
        if is_same and isinstance(live, (list, dict, set)) and not item.fresh:
            refill = refiller(live)
            self.plan.fills.append(Fill(item.path, item.node, place, lambda _: refill(plain)))
            self._put(item, value)
        else:
            convert = retyper(live) if is_same else None
            give = Give(item.path, item.node, value.number, plain=plain, convert=convert)
            give.places = [place]
            self._plan_give(give, item, value)

    def fill(self, item: Item, node: int, left_out: Iterable[int] = ()) -> None:
        """Fill an empty container, or an empty place, with stored arrays and plain values."""
        arrived: dict[int, Any] = {}
        reached = self._values.reached(node, item.trail, self._books.selection) - {*left_out}
        for leaf in sorted(n for n in reached if self._graph.kind(n) is NodeKind.VALUE):
            value = self._values.get(leaf)
            if value is not None:
                give = Give(item.path, leaf, value.number, value.info, value.plain)
                give.convert, give.receive = as_stored(value), partial(arrived.__setitem__, leaf)
                self.plan.gives.append(give)
                self.consume(value)
        place, live, graph, fresh = self.place(item), item.live, self._graph, item.fresh

        def value_of(inner: int) -> Any:
            if inner not in reached:
                return LEFT_OUT
            return arrived.get(inner, NotImplemented)

        def finish(put: Callable[[Place, Any, int], None]) -> None:
            built = build_tree(graph, node, value_of)
            if same_base(live, built) and isinstance(live, (list, dict)) and not fresh:
                refiller(live)(built)
            else:
                put(place, built, item.path)

        if not isinstance(live, (list, dict)) and not place.can_put():
            remedy = "Nothing else can be put there: make it an attribute, or a Variable."
            self.mismatch(item, Misfit("a container", describe_live(live), remedy))
            return
        self.plan.fills.append(Fill(item.path, node, place, finish))
        self.add_edge(item)

    def older(self, item: Item) -> None:
        """Count a value that a later restore has given already as matched (R-11)."""
        if not self.is_older(item):
            return
        single = self._values.get(item.stored)
        if single is not None:
            if not self._is_planned(item, single):
                self._put(item, single)
            return
        self.add_edge(item)
        below = {item.stored}
        if item.node >= 0:
            below = {*self._values.reached(item.node, item.trail, self._books.selection)}
        for value in map(self._values.get, below):
            if value is not None:
                self.consume(value)

    def is_older(self, item: Item) -> bool:
        """Tell whether a later restore has given the array or plain value there already (R-11)."""
        if item.place is None:
            return False
        owner, names, mine = item.place.owner, item.place.names, self._books.order
        if is_given_after(mine, owner, names):
            return True
        tracking = peek_tracking(owner) if isinstance(item.live, CONTAINERS) else None
        return tracking is not None and any(
            order > mine and inner[: len(names)] == names for inner, order in tracking.edges.items()
        )

    def _is_planned(self, item: Item, value: StoredValue) -> bool:
        """Tell whether this restore has a stored value for this place: the first wins (R-6)."""
        place = self.place(item)
        key = (id(place.holder), place.key)
        first = self._planned.get(key, self._books.value_at(place.owner, place.names))
        if first is None:
            self._planned[key] = value.number
            self._alive.append(place.holder)
            return False
        if first >= 0 and value.number >= 0:
            self.plan.compares.append(Compare(first, value.number))
        return True

    def _is_shared(self, item: Item) -> bool:
        """Handle an array that has been met before: under another name, or for another node."""
        if not isinstance(item.live, np.ndarray) or item.node < 0:
            return False
        give = self._gives.get((id(item.live), item.node))
        giver = self._givers.get(id(item.live))
        if give is not None:
            give.places.extend([] if give.target is not None else [self.place(item)])
        elif giver is not None:
            self._compare(giver, item.node, (VARIABLE_VALUE,))
        elif item.fresh and self._reuse_array(item):
            pass
        else:
            return False
        self.add_edge(item)
        return True

    def _reuse_array(self, item: Item) -> bool:
        """Put the array that this restore made of the node before into one more place (R-5)."""
        if item.node in self._made:
            self._made[item.node].places.append(self.place(item))
            return True
        for array in self._books.bound_to(item.node):
            if isinstance(array, np.ndarray):
                if array is not item.live:
                    give = Give(item.path, plain=array, places=[self.place(item)])
                    self.plan.gives.append(give)
                return True
        return False

    def _plan(self, give: Give, item: Item, value: StoredValue, kind: Kind) -> bool:
        """Plan to give a value to a leaf or variable if it fits."""
        live = item.live if give.target is None else give.target
        fit = fit_value(value, live, kind, self._books.options)
        if isinstance(fit, Misfit):
            if not value.is_empty_container():
                self.mismatch(item, fit)
            return False
        give.number, give.info, give.plain = value.number, value.info, value.plain
        give.convert = fit.convert
        if fit.cast:
            self.plan.cast.append(Issue(item.path, fit.cast, item.node))
        return self._check_places(give, item, value)

    def _plan_give(self, give: Give, item: Item, value: StoredValue) -> None:
        if self._check_places(give, item, value):
            self._put(item, value)

    def _check_places(self, give: Give, item: Item, value: StoredValue) -> bool:
        if not all(place.can_put() for place in give.places):
            remedy = "Nothing else can be put there: make it an attribute, or a Variable."
            self.mismatch(item, Misfit(describe_stored(value), describe_live(item.live), remedy))
            return False
        self.plan.gives.append(give)
        return True

    def mismatch(self, item: Item, misfit: Misfit) -> None:
        """Note that a stored value does not fit."""
        issue = Issue(item.path, str(misfit), item.node)
        (self.plan.skipped if misfit.skipped else self.plan.mismatched).append(issue)
        is_object = isinstance(item.live, Trackable)
        place = self.place(item)
        self.plan.exempt.append((item.live, ()) if is_object else (place.owner, place.names))
        value = self._values.get(item.stored)
        if value is not None and misfit.skipped:
            self.consume(value)

    def consume(self, value: StoredValue) -> None:
        """Note that a stored value found a live one."""
        if value.number >= 0:
            self.plan.consumed.append(value.number)

    def _put(self, item: Item, value: StoredValue) -> None:
        """Note that the array or plain value there takes a stored value."""
        place = self.place(item)
        self.plan.placed.append((place.owner, place.names, value.number))
        self.add_edge(item)
        self.consume(value)

    def add_edge(self, item: Item) -> None:
        """Note that the array or plain value there was matched."""
        place = self.place(item)
        self.plan.edges.append((place.owner, place.names))

    def place(self, item: Item) -> Place:
        """Return where a container stands; a root's own place holds nothing else."""
        return item.place or self._root

    def _no_value(self, node: int) -> str:
        kind = self._graph.kind(node)
        what = "an object" if kind is NodeKind.OBJECT else f"a {kind.name.lower()}"
        reason = f"the checkpoint holds {what} there, which has no value"
        return self._books.why_no_value(node, reason)


def own_names(live: Any) -> tuple[str, ...]:
    """Return the names of an object's own values."""
    if isinstance(live, Variable):
        return (VARIABLE_VALUE,)
    if isinstance(live, PythonState):
        return (PY_STATE,)
    if type(live).serialize_to_tensors is Trackable.serialize_to_tensors:
        return ()
    return tuple(live.serialize_to_tensors())


def why_no_tensors(absent: Iterable[str]) -> str:
    """Return why an object that restores itself got no values."""
    return f"the checkpoint holds no {', '.join(absent)} for this object"


def _receiver(live: Any) -> Callable[[dict[str, Any]], None]:
    if isinstance(live, PythonState):
        return lambda tensors: live.deserialize(tensors[PY_STATE])
    receive: Callable[[dict[str, Any]], None] = live.restore_from_tensors
    return receive
