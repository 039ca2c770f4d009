"""Objects of foreign types: matched by their adapters (R-30)."""

from __future__ import annotations

from typing import Any

from checkpointable.restore.books import Books
from checkpointable.restore.giving import Giving, Item, why_no_tensors
from checkpointable.restore.places import OWN_TENSORS, Names, Place, is_given_after
from checkpointable.restore.plan import Plan
from checkpointable.restore.rebinding import Rebuild
from checkpointable.trackable.registry import adapted_children, adapter_of, own_tensors


class ForeignMatching:
    """The part of one run of matching that is about objects of foreign types."""

    def __init__(self, books: Books, giving: Giving) -> None:
        self._books = books
        self._giving = giving
        #: What they hold, as their adapters have shown it to this run.
        self._shown: dict[int, dict[str, Any]] = {}

    def shown(self, live: Any) -> dict[str, Any]:
        """Return the children of an object: in one run of matching, always the same."""
        if id(live) not in self._shown:
            self._shown[id(live)] = dict(adapted_children(live))
        return self._shown[id(live)]

    def match(self, item: Item) -> None:
        """Plan to give an object the tensors of its own, and to its adapter."""
        giving, plan = self._giving, self._giving.plan
        place, live, node = giving.place(item), item.live, item.node
        rebuild = Rebuild(item.path, live, place, self.shown(live), node)
        plan.rebuilds.append(rebuild)
        if node < 0:
            return
        giving.bind(item, live, node)
        names = tuple(own_tensors(live)) if item.trail.included else ()
        if not names:
            return
        stored = {a.name: a.value for a in self._books.graph.attributes(node)}
        absent = [name for name in names if name not in stored]
        own = (*place.names, OWN_TENSORS)
        if absent:
            plan.lacking.append((place.owner, own, why_no_tensors(absent)))
        elif giving.is_first_giver(live, node, names):
            if not is_given_after(self._books.order, place.owner, own):
                rebuild.numbers.update((name, stored[name]) for name in names)
            plan.edges.append((place.owner, own))
            plan.consumed.extend(stored[name] for name in names)

    def match_above(self, place: Place | None, live: Any, path: int) -> None:
        """Plan to let the adapters of objects above a place take back what comes there."""
        while place is not None and place.outer is not None:
            if adapter_of(place.holder) is not None:
                children = self.shown(place.holder)
                children[place.key] = live
                rebuild = Rebuild(path, place.holder, place.outer, children)
                self._giving.plan.rebuilds.append(rebuild)
            place, live = place.outer, place.holder


def mark_due(plan: Plan) -> None:
    """Mark the foreign objects below which something was matched: their adapters are asked."""
    if not plan.rebuilds:
        return
    above: set[tuple[int, Names]] = set()
    for owner, names in plan.edges:
        way = (id(owner), names[:-1])
        while way not in above:
            above.add(way)
            way = (id(owner), way[1][:-1])
    for rebuild in plan.rebuilds:
        rebuild.is_due = (id(rebuild.place.owner), rebuild.place.names) in above
