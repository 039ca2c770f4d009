"""Match live objects with the stored graph, edge by edge, breadth-first (R-1 to R-12).

Nothing live is changed here: what is found is a `Plan`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import numpy as np

from checkpointable.format.records import AttributeKind, NodeKind
from checkpointable.graph.tree import LEFT_OUT, build_tree
from checkpointable.names import PY_STATE, SAVE_COUNTER, VARIABLE_VALUE
from checkpointable.restore.books import Books
from checkpointable.restore.fit import Misfit, describe_live, describe_stored, fit_value
from checkpointable.restore.places import Names, Place
from checkpointable.restore.plan import Compare, Give, GiveTensors, Issue, Plan, Wait
from checkpointable.restore.selection import EVERYTHING, Trail
from checkpointable.restore.stored import CONTAINERS, Literal, Stored, StoredValue
from checkpointable.trackable.base import Trackable, peek_tracking
from checkpointable.trackable.children import Classifier, Kind, container_kind
from checkpointable.trackable.state import PythonState
from checkpointable.trackable.variable import Variable


@attrs.define(slots=True, eq=False)
class Item:
    """A live value and the stored thing that it is matched with.

    Attributes:
        place: where the live value stands; `None` for objects, which stay where they are, and
            for the root.
        kind: what the live value is.
        fresh: whether the value has just been assigned where a stored one waited; it then gives
            way to the stored one, and is not written to.
    """

    place: Place | None
    live: Any
    kind: Kind
    stored: Stored
    path: int
    trail: Trail
    fresh: bool = False

    @property
    def node(self) -> int:
        """The stored node, or -1 for an item of a stored plain value."""
        return self.stored if isinstance(self.stored, int) else -1


class Matcher:
    """One run of matching, from a few live values on to all that they lead to."""

    def __init__(self, books: Books) -> None:
        self.plan = Plan()
        self._books = books
        self._graph = books.graph
        self._values = books.values
        self._root, attached = books.roots()
        self._attached = dict(attached)
        if books.start != 0:
            self._attached.pop(SAVE_COUNTER, None)
        self._classifier = Classifier()
        self._queue: deque[Item] = deque()
        #: (live, node) pairs met in this run -> whether their own values were included.
        self._met: dict[tuple[int, int], bool] = {}
        #: What is met stays alive meanwhile, so that no identity is used twice.
        self._alive: list[Any] = []
        #: How arrays met in this run get their values: by (array, node).
        self._gives: dict[tuple[int, int], Give] = {}
        #: Which node gives to an object or array met in this run.
        self._givers: dict[int, int] = {}
        self._bound: dict[int, list[Any]] = {}

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
        kind = self._classifier.kind(live)
        if kind is Kind.PLAIN and place is None:
            kind = container_kind(live)
        self._queue.append(Item(place, live, kind, node, path, trail, place is not None))
        while self._queue:
            self._visit(self._queue.popleft())
        return self.plan

    def _visit(self, item: Item) -> None:
        kind = item.kind
        if kind is Kind.TRACKABLE:
            self._match_object(item)
        elif kind in (Kind.LIST, Kind.TUPLE, Kind.DICT):
            self._match_container(item)
        elif kind is Kind.UNSUPPORTED or self._is_older(item):
            self._match_older(item)
        elif item.live is None:
            self._match_none(item)
        elif isinstance(item.live, CONTAINERS):
            self._match_plain_container(item)
        else:
            self._match_leaf(item, kind)

    def _follow(self, item: Item, name: str, child: Stored) -> tuple[int, Trail] | None:
        """Return the path and trail behind an edge; `None`, and a note, if it is cut (R-14)."""
        path = self._books.paths.add(item.path, name)
        trail = self._books.selection.follow(item.trail, name)
        if trail is None:
            node = child if isinstance(child, int) else -1
            self.plan.skipped.append(Issue(path, "left out by only or skip", node))
            return None
        return path, trail

    # Objects

    def _match_object(self, item: Item) -> None:
        live, node = item.live, item.stored
        if isinstance(node, Literal):
            return
        met = self._met.get((id(live), node))
        if met or (met is not None and not item.trail.included):
            return
        if met is None:
            if self._books.is_bound(node, live):
                return
            self._bind(item, live, node)
        self._met[id(live), node] = item.trail.included
        if item.trail.included:
            self._match_own_values(item, live, node)
        self._match_children(item, live, node)

    def _bind(self, item: Item, live: Any, node: int) -> None:
        """Note that a live object or array and a stored node belong together (R-5)."""
        bound = self._bound.setdefault(node, [])
        is_split = any(other is not live for other in (*self._books.bound_to(node), *bound))
        if is_split and node != self._books.start:
            self.plan.split.append(Issue(item.path, "one stored object for two live ones", node))
        bound.append(live)
        self.plan.bound.append((node, live))

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
            self._queue.append(Item(None, counter, Kind.TRACKABLE, child, path, EVERYTHING))

    def _enqueue(self, item: Item, owner: Any, name: str, live: Any, child: Stored) -> None:
        """Follow an edge from an object."""
        followed = self._follow(item, name, child)
        if followed is not None:
            kind = self._classifier.kind(live)
            is_object = kind is Kind.TRACKABLE
            place = None if is_object else Place(owner, (name,), owner, name)
            self._queue.append(Item(place, live, kind, child, *followed))

    def _enqueue_item(self, item: Item, name: str, key: Any, live: Any, child: Stored) -> None:
        """Follow an edge from a container."""
        followed = self._follow(item, name, child)
        if followed is not None:
            kind = self._classifier.kind(live)
            place = self._place(item).item(item.live, name, key)
            self._queue.append(Item(place, live, kind, child, *followed, item.fresh))

    def _wait_at(self, item: Item, owner: Any, names: Names, child: Stored) -> None:
        followed = self._follow(item, str(names[-1]), child)
        if followed is not None and isinstance(child, int):
            self.plan.waits.append(Wait(owner, names, child, *followed))

    def _match_own_values(self, item: Item, live: Any, node: int) -> None:
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
            self._satisfy(live, node, [values[name] for name in names if name in values])
        elif isinstance(live, Variable):
            self._match_variable(item, live, node)
        else:
            self._match_tensors(item, live, node, names)

    def _match_variable(self, item: Item, live: Variable, node: int) -> None:
        value = self._values.get(node)
        if value is None:
            self.plan.lacking.append((live, (), self._no_value(node)))
            return
        give = Give(item.path, node, target=live.storage_array(), given=live.mark_initialized)
        if self._plan(give, item, value, Kind.ARRAY):
            self._satisfy(live, node, (value.number,))

    def _match_tensors(self, item: Item, live: Any, node: int, names: tuple[str, ...]) -> None:
        stored = {a.name: a.value for a in self._graph.attributes(node)}
        absent = [name for name in names if name not in stored]
        if absent:
            reason = f"the checkpoint holds no {', '.join(absent)} for this object"
            self.plan.lacking.append((live, (), reason))
            return
        numbers = {name: stored[name] for name in names}
        self.plan.tensors.append(GiveTensors(item.path, _receiver(live), numbers))
        self._satisfy(live, node, numbers.values())

    def _satisfy(self, live: Any, node: int, numbers: Iterable[int]) -> None:
        self._givers[id(live)] = node
        self.plan.satisfied.append((node, live))
        self.plan.consumed.extend(numbers)

    def _compare(self, giver: int, node: int, names: Iterable[str]) -> None:
        """Leave the second of two stored values for one live object unused if it differs (R-6)."""
        first = {a.name: a.value for a in self._graph.attributes(giver)}
        second = {a.name: a.value for a in self._graph.attributes(node)}
        for name in names:
            if name in first and name in second:
                self.plan.compares.append(Compare(first[name], second[name]))

    # Containers

    def _match_container(self, item: Item) -> None:
        if self._met_again(item):
            return
        live_items = {str(key): (key, value) for key, value in self._classifier.items(item.live)}
        value = self._values.get(item.stored)
        if value is not None and value.info is None and isinstance(value.plain, CONTAINERS):
            self._consume(value)
        for name, child in self._values.items(item.stored):
            if name in live_items:
                self._enqueue_item(item, name, *live_items[name], child)
            elif not self._match_attached(item, name, child) and self._is_object(child):
                self._wait_for_item(item, name, child)
        stored = {name for name, _ in self._values.items(item.stored)}
        if item.kind is Kind.PLAIN and stored.issuperset(live_items):
            self._add_edge(item)

    def _met_again(self, item: Item) -> bool:
        """Tell whether this container was matched with this node before in this run."""
        key = (id(item.live), item.node)
        if item.node < 0 or key not in self._met:
            self._met[key] = True
            self._alive.append(item.live)
            return False
        if isinstance(item.live, tuple) and item.place is not None:
            self.plan.again.append((item.live, item.place))
        return True

    def _match_plain_container(self, item: Item) -> None:
        value = self._values.get(item.stored)
        if value is not None and value.info is None:
            self._replace_plain(item, value)
        elif value is not None and item.live:
            remedy = "Leave it out with RestoreOptions(skip=)."
            self._mismatch(item, Misfit(describe_stored(value), describe_live(item.live), remedy))
        elif item.live:
            self._match_container(item)
        elif value is None and isinstance(item.stored, int):
            self._match_empty_container(item, item.stored)

    def _match_empty_container(self, item: Item, node: int) -> None:
        """Fill an empty container, or let its items wait for the objects among them (R-8)."""
        if not self._values.holds_object(node):
            self._fill(item, node)
            return
        for name, child in self._values.items(node):
            if not self._match_attached(item, name, child):
                self._wait_for_item(item, name, child)

    def _wait_for_item(self, item: Item, name: str, child: Stored) -> None:
        place = self._place(item)
        self._wait_at(item, place.owner, (*place.names, name), child)

    def _is_object(self, child: Stored) -> bool:
        return isinstance(child, int) and self._values.holds_object(child)

    def _place(self, item: Item) -> Place:
        """Return where a container stands; a root's own place holds nothing else."""
        holder = self._books.holder()
        return item.place or Place(holder, (None,), holder, None)

    def _replace_plain(self, item: Item, value: StoredValue) -> None:
        """Give a plain container its stored value as a whole: in place where that is possible."""
        live, plain = item.live, value.plain
        give = Give(item.path, item.node, value.number, plain=plain)
        if _same_base(live, plain) and isinstance(live, (list, dict, set)) and not item.fresh:
            give.receive = _refiller(live)
        else:
            give.convert = _retyper(live) if _same_base(live, plain) else None
            give.places = [self._place(item)]
        self._plan_give(give, item, value)

    def _fill(self, item: Item, node: int) -> None:
        """Fill an empty container, or an empty place, with stored arrays and plain values."""
        arrived: dict[int, Any] = {}
        for leaf in self._values.leaves(node):
            value = self._values.get(leaf)
            if value is not None:
                give = Give(item.path, leaf, value.number, value.info, value.plain)
                give.convert, give.receive = _as_stored(value), _keeper(arrived, leaf)
                self.plan.gives.append(give)
                self.plan.consumed.append(value.number)
        place, live, graph, fresh = self._place(item), item.live, self._graph, item.fresh

        def finish(put: Callable[[Place, Any], None]) -> None:
            is_leaf = lambda n: arrived.get(n, LEFT_OUT if _is_leaf(graph, n) else NotImplemented)  # noqa: E731
            built = build_tree(graph, node, is_leaf)
            if _same_base(live, built) and isinstance(live, (list, dict)) and not fresh:
                _refiller(live)(built)
            else:
                put(place, built)

        self.plan.finish.append(finish)
        self._add_edge(item)

    # Leaves

    def _match_none(self, item: Item) -> None:
        """Let an empty place take an array or a plain value, and wait for an object (R-7)."""
        node, value = item.node, self._values.get(item.stored)
        if node >= 0 and self._values.holds_object(node):
            place = self._place(item)
            self.plan.waits.append(Wait(place.owner, place.names, node, item.path, item.trail))
        elif value is not None:
            give = Give(item.path, node, value.number, value.info, value.plain)
            give.convert, give.places = _as_stored(value), [self._place(item)]
            self._plan_give(give, item, value)
        else:
            self._fill(item, node)

    def _match_leaf(self, item: Item, kind: Kind) -> None:
        value = self._values.get(item.stored)
        if value is None:
            place = self._place(item)
            self.plan.lacking.append((place.owner, place.names, self._no_value(item.node)))
            return
        if self._is_shared(item):
            return
        give = Give(item.path, item.node, value.number, value.info, value.plain)
        in_place = kind is Kind.ARRAY and not item.fresh and item.live.flags.writeable
        give.target, give.places = (item.live, []) if in_place else (None, [self._place(item)])
        if not self._plan(give, item, value, kind):
            return
        if kind is Kind.ARRAY and not in_place:
            give.convert = _remaker(item.live, give.convert)
        self._add_edge(item)
        self._consume(value)
        if kind is Kind.ARRAY and item.node >= 0:
            self._gives[id(item.live), item.node] = give
            self._givers[id(item.live)] = item.node
            self._bind(item, item.live, item.node)

    def _match_older(self, item: Item) -> None:
        """Count a value that a later restore has given already as matched (R-11)."""
        value = self._values.get(item.stored)
        if value is not None and self._is_older(item):
            self._add_edge(item)
            self._consume(value)

    def _is_older(self, item: Item) -> bool:
        if item.place is None:
            return False
        tracking = peek_tracking(item.place.owner)
        order = tracking.edges.get(item.place.names, 0) if tracking is not None else 0
        return order > self._books.order

    def _is_shared(self, item: Item) -> bool:
        """Handle an array that has been met before: under another name, or for another node."""
        if not isinstance(item.live, np.ndarray) or item.node < 0:
            return False
        give = self._gives.get((id(item.live), item.node))
        giver = self._givers.get(id(item.live))
        if give is not None:
            give.places.extend([] if give.target is not None else [self._place(item)])
        elif giver is not None:
            self._compare(giver, item.node, (VARIABLE_VALUE,))
        elif item.fresh and self._reuse_array(item):
            pass
        else:
            return False
        self._add_edge(item)
        return True

    def _reuse_array(self, item: Item) -> bool:
        """Put the array that this restore made of the node before into one more place (R-5)."""
        for array in self._books.bound_to(item.node):
            if isinstance(array, np.ndarray):
                if array is not item.live:
                    give = Give(item.path, plain=array, places=[self._place(item)])
                    self.plan.gives.append(give)
                return True
        return False

    # What was decided

    def _plan(self, give: Give, item: Item, value: StoredValue, kind: Kind) -> bool:
        """Plan to give a value to a leaf or variable if it fits."""
        live = item.live if give.target is None else give.target
        fit = fit_value(value, live, kind, self._books.options)
        if isinstance(fit, Misfit):
            if not value.is_empty_container():
                self._mismatch(item, fit)
            return False
        give.number, give.info, give.plain = value.number, value.info, value.plain
        give.convert = fit.convert
        if fit.cast:
            self.plan.cast.append(Issue(item.path, fit.cast, item.node))
        return self._check_places(give, item, value)

    def _plan_give(self, give: Give, item: Item, value: StoredValue) -> None:
        if self._check_places(give, item, value):
            self._add_edge(item)
            self._consume(value)

    def _check_places(self, give: Give, item: Item, value: StoredValue) -> bool:
        if not all(place.can_put() for place in give.places):
            remedy = "Nothing else can be put there: make it an attribute, or a Variable."
            self._mismatch(item, Misfit(describe_stored(value), describe_live(item.live), remedy))
            return False
        self.plan.gives.append(give)
        return True

    def _consume(self, value: StoredValue) -> None:
        if value.number >= 0:
            self.plan.consumed.append(value.number)

    def _add_edge(self, item: Item) -> None:
        place = self._place(item)
        self.plan.edges.append((place.owner, place.names))

    def _mismatch(self, item: Item, misfit: Misfit) -> None:
        issue = Issue(item.path, str(misfit), item.node)
        if not misfit.skipped:
            self.plan.mismatched.append(issue)
            return
        self.plan.skipped.append(issue)
        is_object = isinstance(item.live, Trackable)
        place = self._place(item)
        self.plan.exempt.append((item.live, ()) if is_object else (place.owner, place.names))
        value = self._values.get(item.stored)
        if value is not None:
            self._consume(value)

    def _no_value(self, node: int) -> str:
        kind = self._graph.kind(node)
        what = "an object" if kind is NodeKind.OBJECT else f"a {kind.name.lower()}"
        return f"the checkpoint holds {what} there, which has no value"


def own_names(live: Any) -> tuple[str, ...]:
    """Return the names of an object's own values."""
    if isinstance(live, Variable):
        return (VARIABLE_VALUE,)
    if isinstance(live, PythonState):
        return (PY_STATE,)
    if type(live).serialize_to_tensors is Trackable.serialize_to_tensors:
        return ()
    return tuple(live.serialize_to_tensors())


def _receiver(live: Any) -> Callable[[dict[str, Any]], None]:
    if isinstance(live, PythonState):
        return lambda tensors: live.deserialize(tensors[PY_STATE])
    receive: Callable[[dict[str, Any]], None] = live.restore_from_tensors
    return receive


def _is_leaf(graph: Any, node: int) -> bool:
    return graph.kind(node) is NodeKind.VALUE


def _same_base(live: Any, stored: Any) -> bool:
    return any(isinstance(live, base) and isinstance(stored, base) for base in CONTAINERS)


def _refiller(live: Any) -> Callable[[Any], None]:
    """Return what gives a list, dict or set other contents, in place."""

    def refill(value: Any) -> None:
        if isinstance(live, list):
            live[:] = value
        else:
            live.clear()
            live.update(value)

    return refill


def _retyper(live: Any) -> Callable[[Any], Any] | None:
    """Return what makes a container of the live one's type, where that is a subclass."""
    kind = type(live)
    if kind in CONTAINERS:
        return None
    if isinstance(live, tuple):
        fields = getattr(live, "_fields", None)
        return lambda v: v if fields and len(fields) != len(v) else tuple.__new__(kind, v)
    if isinstance(live, frozenset):
        return lambda v: frozenset.__new__(kind, v)
    return None


def _remaker(live: Any, convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return what makes a new array of a live one's dtype and shape."""
    dtype, shape, writeable = live.dtype, live.shape, live.flags.writeable

    def remake(stored: Any) -> Any:
        array = np.asarray(stored if convert is None else convert(stored))
        array = array.astype(dtype, copy=False).reshape(shape)
        array.flags.writeable = writeable
        return array

    return remake


def _as_stored(value: StoredValue) -> Callable[[Any], Any] | None:
    """Return what makes a value of the type that was saved."""
    return (lambda array: array[()]) if value.kind is AttributeKind.SCALAR else None


def _keeper(arrived: dict[int, Any], node: int) -> Callable[[Any], None]:
    return lambda value: arrived.__setitem__(node, value)
