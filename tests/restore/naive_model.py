"""A naive model of saving and restoring: what docs/restore.md says, and nothing of the engine.

It keeps a graph of its own for what is live and one for each checkpoint. Its objects refer to each
other as the real ones do, so that they live and die with them. A stored value is pending if nothing
has taken it and it can be reached from an edge that waits at a living object; else it is unused.
"""

from __future__ import annotations

import re
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import attrs

#: The names under which there are plain values, never objects: one that classes declare, and one
#: that is state only where it is tracked.
PLAIN = ("x", "p/q")

#: What the class of a "moved" box says about older names (R-28).
RENAMED = {"b1": "b0", "v1": ("t.Sv", "v0")}

Path = tuple[str, ...]


class Live:
    """A live object of the model: the Checkpoint, a box of some kind, or a variable."""

    def __init__(self, kind: str, real: Any = None, value: Any = 0.0) -> None:
        self.kind = kind
        self.real = real
        self.token = object()  # books refer to it, so that they keep nothing alive
        self.value = value
        self.order = 0  # the latest restore that gave it its value
        #: What is in the `__dict__`: Live, or a list or dict of Live, or a plain value.
        self.attributes: dict[str, Any] = {}
        #: What `track` declared, whether or not it is an attribute.
        self.tracked: dict[str, Any] = {}
        #: What was assigned a NoDependency.
        self.untracked: set[str] = set()
        #: The latest restores that gave plain values.
        self.orders: dict[str, int] = {}
        #: What waits here: names -> [(restore, view)].
        self.waits: dict[Path, list[tuple[Restore, View]]] = {}
        #: An optimizer's slot variables, by variable and by name; and the order of these names.
        self.slots: weakref.WeakKeyDictionary[Live, dict[str, Live]] = weakref.WeakKeyDictionary()
        self.slot_names: dict[str, None] = {}

    @property
    def is_variable(self) -> bool:
        """Whether it is a variable."""
        return self.kind == "variable"

    def get(self, name: str) -> Any:
        """What stands under a name, child or not."""
        return self.attributes.get(name, self.tracked.get(name))

    def names(self) -> list[str]:
        """All names under which something stands."""
        return list({**self.attributes, **self.tracked})


class Stored:
    """A node of a checkpoint of the model: a box, a variable, a container or a plain value."""

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        self.value = value
        self.children: dict[str, Stored] = {}


@attrs.frozen
class StoredSlot:
    """A slot variable of a checkpoint: what it belongs to."""

    optimizer: Stored
    variable: Stored
    name: str
    value: Stored


@attrs.frozen
class Snapshot:
    """A checkpoint of the model."""

    root: Stored
    slots: list[StoredSlot]


@attrs.frozen
class View:
    """A stored node as the program sees it: things below it may stand under other names.

    Attributes:
        base: the node, or a view of it; `None` where the checkpoint has nothing.
        moved: (path from here, what stands there); `None`: nothing does any more.
    """

    base: Stored | View | None
    moved: tuple[tuple[Path, View | None], ...] = ()

    @property
    def stored(self) -> Stored | None:
        """The stored node."""
        return self.base.stored if isinstance(self.base, View) else self.base

    def children(self) -> dict[str, View]:
        """What it leads to."""
        if isinstance(self.base, View):
            found = self.base.children()
        else:
            found = {n: View(c) for n, c in (self.base.children if self.base else {}).items()}
        for name in dict.fromkeys(path[0] for path, _ in self.moved):
            inner = [(path[1:], target) for path, target in self.moved if path[0] == name]
            base = next((target for path, target in inner if not path), found.get(name))
            below = tuple((path, target) for path, target in inner if path)
            if base is None and not any(target for _, target in below):
                found.pop(name, None)
            else:
                found[name] = View(base, below) if below or base is None else base
        return found

    def at(self, path: Path) -> View | None:
        """What stands at a path from here."""
        view: View | None = self
        for name in path:
            view = view.children().get(name) if view is not None else None
        return view

    def holds_object(self) -> bool:
        """Tell whether it is an object, or a container with one at any depth."""
        if self.stored is None or self.stored.kind in ("box", "variable"):
            return True
        return any(child.holds_object() for child in self.children().values())


class Restore:
    """The books of one restore in the model."""

    def __init__(self, number: int, snapshot: Snapshot) -> None:
        self.number = number
        self.snapshot = snapshot
        self.consumed: set[Stored] = set()
        self.bound: dict[Stored, list[object]] = {}
        self.givers: dict[object, Stored] = {}
        #: What gave plain values, by box and name.
        self.plain_givers: dict[tuple[object, str], Stored] = {}
        self.is_split = False

    def is_open(self, stored: Stored) -> bool:
        """Tell whether a stored node holds a value that nothing took."""
        is_plain = stored.kind == "plain" and stored.value is not None
        return (is_plain or stored.kind == "variable") and stored not in self.consumed


def children(of: Any) -> list[tuple[str, Any]]:
    """The named children of a Live, a list or a dict, a Stored or a View."""
    if isinstance(of, list):
        return [(str(i), item) for i, item in enumerate(of)]
    if isinstance(of, dict):
        return [(str(key), item) for key, item in of.items()]
    if isinstance(of, Stored):
        return list(of.children.items())
    if isinstance(of, View):
        return list(of.children().items())
    return [(name, of.get(name)) for name in of.names() if is_child(of, name)]


def is_child(of: Live, name: str) -> bool:
    """Tell whether what an object has under a name is a child (O-2)."""
    is_declared = name in ("x", *of.tracked)
    holds_object = name not in PLAIN and of.get(name) not in ([], {})
    return name not in of.untracked and (is_declared or holds_object)


def below(top: Any) -> list[Any]:
    """Every Live, Stored or View that can be reached by names, breadth-first."""
    found, queue = {top: None}, deque([top])
    while queue:
        for _, child in children(queue.popleft()):
            if isinstance(child, (Live, Stored, View)) and child not in found:
                found[child] = None
                queue.append(child)
            elif isinstance(child, (list, dict)):
                queue.append(child)
    return list(found)


def reached_slots(found: Iterable[Any]) -> list[tuple[Live, Live, str, Live]]:
    """The slot variables whose optimizer and variable are among what was found (R-27)."""
    reached = list(dict.fromkeys(live for live in found if isinstance(live, Live)))
    return [
        (optimizer, variable, name, optimizer.slots[variable][name])
        for optimizer in reached
        for name in optimizer.slot_names
        for variable in reached
        if name in optimizer.slots.get(variable, ())
    ]


def take_snapshot(root: Live) -> Snapshot:
    """The stored graph of what is live."""
    nodes: dict[int, Stored] = {}
    top = nodes[id(root)] = Stored("box")
    queue: deque[Any] = deque([root])
    while queue:
        of = queue.popleft()
        for name, child in children(of):
            if isinstance(child, (Live, list, dict)):
                if id(child) not in nodes:
                    nodes[id(child)] = stored_shell(child)
                    queue.append(child)
                nodes[id(of)].children[name] = nodes[id(child)]
            else:
                nodes[id(of)].children[name] = Stored("plain", child)
    slots = []
    for optimizer, variable, name, slot in reached_slots(below(root)):
        node = nodes.setdefault(id(slot), stored_shell(slot))
        slots.append(StoredSlot(nodes[id(optimizer)], nodes[id(variable)], name, node))
    return Snapshot(top, slots)


def stored_shell(live: Any) -> Stored:
    """A stored node without its children."""
    if isinstance(live, Live):
        return Stored("variable", live.value) if live.is_variable else Stored("box")
    return Stored("container")


def components(path: str) -> Path:
    """The local names that an escaped path consists of."""
    unescape = lambda name: re.sub(r"\.(.)", lambda m: {"S": "/"}.get(m[1], m[1]), name)  # noqa: E731
    return tuple(map(unescape, path.split("/")))


def spelled(path: Path) -> str:
    """The path that these local names make."""
    return "/".join(name.replace(".", "..").replace("/", ".S") for name in path)


def is_live(live: Any, path: Path) -> bool:
    """Tell whether the program has something at a path; None is nothing."""
    for name in path:
        is_inner = isinstance(live, (Live, list, dict))
        live = dict(children(live)).get(name) if is_inner else None
    return live is not None


def renamed(view: View, moves: list[tuple[Path, Path]], live: Live) -> View:
    """A stored node with what is found under older paths (R-28, R-29).

    What the program has under an older path keeps being matched by it; where it has nothing,
    nothing waits for it any more.
    """

    def origin(path: Path) -> Path:
        """Where the checkpoint has what would stand at a path of the program."""
        around = [(today, older) for today, older in moves if path[: len(today)] == today]
        today, older = max(around, key=lambda move: len(move[0]), default=((), ()))
        return older + path[len(today) :]

    names: dict[Path, View | None] = {}
    for today, older in moves:
        ways = [to + older[len(of) :] for to, of in [((), ()), *moves] if older[: len(of)] == of]
        for way in ways:
            is_wrapped = today[: len(way)] == way  # what stands there now holds what did before
            if origin(way) == older and (is_wrapped or not is_live(live, way)):
                names.setdefault(way, None)
    names.update((today, view.at(older)) for today, older in moves)
    return View(view, tuple(names.items()))


def todays(view: View, live: Live) -> View:
    """A stored node with what the class of a live object says about older names (R-28)."""
    moves = []
    for today, older in RENAMED.items() if live.kind == "moved" else ():
        for path in map(components, (older,) if isinstance(older, str) else older):
            if view.at(path) is not None:
                if view.at(components(today)) is None and not is_live(live, path):
                    moves.append((components(today), path))
                break
    return renamed(view, moves, live) if moves else view


class Model:
    """What is live, what was saved, and what waits."""

    #: How often something worth testing has happened.
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self, root: Live) -> None:
        self.born: list[tuple[weakref.ref[Live], weakref.ref[Any]]] = []
        self.root = self.create(root)
        self.held: list[Live] = []
        self.saved: list[tuple[str, Snapshot]] = []
        self.restores = 0

    def create(self, live: Live) -> Live:
        """Take note of a new object."""
        self.born.append((weakref.ref(live), weakref.ref(live.real)))
        return live

    def alive(self) -> list[Live]:
        """Every living object, those that only a garbage collection would free included."""
        return [live for reference, _ in self.born if (live := reference()) is not None]

    def boxes(self) -> list[Live]:
        """Every living box but the Checkpoint that can be reached, or is held."""
        return [o for o in self.known() if not o.is_variable and o is not self.root]

    def variables(self) -> list[Live]:
        """Every living variable that can be reached, or is held; slot variables too."""
        return [o for o in self.known() if o.is_variable]

    def known(self) -> list[Live]:
        """Every object that the program can get hold of."""
        found = dict.fromkeys(o for top in (self.root, *self.held) for o in below(top))
        count = 0
        while count < len(found):
            count = len(found)
            found.update((slot, None) for *_, slot in reached_slots(found))
        return list(found)

    def restore(self, snapshot: Snapshot, rename: dict[Path, Path]) -> Restore:
        """Match everything from the root on."""
        self.settle()
        self.restores += 1
        restore = Restore(self.restores, snapshot)
        view = View(snapshot.root)
        if rename:
            view = renamed(view, list(rename.items()), self.root)
        self.match(restore, self.root, view, (self.root, ()))
        return restore

    def match(self, restore: Restore, live: Any, view: View, place: tuple[Live, Path]) -> None:
        """Match a live thing and a stored one, and what they lead to, breadth-first."""
        known = {(token, node) for node, tokens in restore.bound.items() for token in tokens}
        met: set[tuple[object, View]] = set()
        queue = deque([(live, view, place)])
        slots: deque[tuple[Live, Live, StoredSlot]] = deque()
        while queue or slots:
            if not queue:
                slots.extend(self.match_slot(restore, *slots.popleft()))
                continue
            live, view, (owner, names) = queue.popleft()
            if isinstance(live, Live):
                is_known = not view.moved and (live.token, view.stored) in known
                if is_known or (live.token, view) in met:
                    continue
                met.add((live.token, view))
                self.bind(restore, live, view)
                slots.extend(self.completed(restore, live, view.stored))
                self.seen["a rename reaches into an object"] += bool(view.moved)
                owner, names = live, ()
                ordinary, view = view, todays(view, live)
                self.seen["older names of a class"] += view is not ordinary
            elif names in [(name,) for name in PLAIN]:
                self.give_plain(restore, owner, names[0], view.stored)
                continue
            present = dict(children(live))
            for name, child in view.children().items():
                if name in present:
                    queue.append((present[name], child, (owner, (*names, name))))
                elif isinstance(live, Live) or child.holds_object():
                    owner.waits.setdefault((*names, name), []).append((restore, child))

    def bind(self, restore: Restore, live: Live, view: View) -> None:
        """Match one object, and give it its value (R-5, R-6, R-11)."""
        stored = view.stored
        if stored is None:
            return
        living = {other.token for other in self.alive() if other is not live}
        bound = restore.bound.setdefault(stored, [])
        restore.is_split |= any(other in living for other in bound)
        bound.append(live.token)
        if not live.is_variable or stored.kind != "variable":
            return
        giver = restore.givers.setdefault(live.token, stored)
        if giver is stored or giver.value == stored.value:
            restore.consumed.add(stored)
        if giver is stored and live.order < restore.number:
            self.seen["an older restore gives what newer ones lack"] += (
                restore.number < self.restores
            )
            live.order, live.value = restore.number, stored.value

    def give_plain(self, restore: Restore, owner: Live, name: str, stored: Stored) -> None:
        """Give a declared plain value to its place (R-6, R-7, R-11)."""
        key = (owner.token, name)
        is_first = key not in restore.plain_givers
        giver = restore.plain_givers.setdefault(key, stored)
        if giver is stored or giver.value == stored.value:
            restore.consumed.add(stored)
        if is_first and owner.orders.get(name, 0) < restore.number:
            owner.orders[name] = restore.number
            for holder in (owner.attributes, owner.tracked):
                if name in holder:
                    holder[name] = stored.value

    def living(self, restore: Restore, stored: Stored) -> list[Live]:
        """The living objects that a stored node was matched with."""
        tokens = restore.bound.get(stored, ())
        return [live for live in self.alive() if live.token in tokens]

    def completed(
        self, restore: Restore, live: Live, stored: Stored | None
    ) -> Iterator[tuple[Live, Live, StoredSlot]]:
        """Yield the pairs of optimizer and variable that a match has completed (R-27)."""
        for slot in restore.snapshot.slots if stored is not None else ():
            if stored is slot.optimizer and live.kind == "optimizer":
                for variable in self.living(restore, slot.variable):
                    if variable.is_variable:
                        yield live, variable, slot
            if stored is slot.variable and live.is_variable:
                for optimizer in self.living(restore, slot.optimizer):
                    if optimizer.kind == "optimizer":
                        yield optimizer, live, slot

    def match_slot(
        self, restore: Restore, optimizer: Live, variable: Live, slot: StoredSlot
    ) -> Iterator[tuple[Live, Live, StoredSlot]]:
        """Match the slot variable of a pair; where there is none, create it (R-27).

        It may have slots of its own: yield the pairs that it completes.
        """
        kept = optimizer.slots.setdefault(variable, {})
        if slot.name not in kept:
            real = optimizer.real.get_slot(variable.real, slot.name)
            assert real is not None
            self.keep_slot(optimizer, variable, slot.name, Live("variable", real))
            self.seen["a restore creates a slot"] += 1
        live = kept[slot.name]
        if live.token not in restore.bound.get(slot.value, ()):
            self.bind(restore, live, View(slot.value))
            yield from self.completed(restore, live, slot.value)

    def keep_slot(self, optimizer: Live, variable: Live, name: str, slot: Live) -> None:
        """Let an optimizer keep a new slot variable."""
        optimizer.slots.setdefault(variable, {})[name] = self.create(slot)
        optimizer.slot_names[name] = None

    def arrive(self, owner: Live, name: str | None) -> None:
        """Let come in what waits under an attribute, or everywhere at an object."""
        for names in sorted(owner.waits, key=len):
            if name is not None and names[0] != name:
                continue
            live: Any = owner
            for part in names:
                inner = dict(children(live)) if isinstance(live, (Live, list, dict)) else {}
                live = inner.get(part, Ellipsis)
            if live is Ellipsis or names not in owner.waits:
                continue
            positions = owner.waits.pop(names)
            self.seen["something comes for what waits"] += 1
            for restore, view in sorted(positions, key=lambda p: -p[0].number):
                self.seen["something comes for what a rename reaches into"] += bool(view.moved)
                self.match(restore, live, view, (owner, names))

    def settle(self) -> None:
        """Let come in whatever has come into a container."""
        for owner in self.alive():
            self.arrive(owner, None)

    def assign(self, owner: Live, name: str, value: Any) -> None:
        """Assign an attribute."""
        before = owner.get(name)  # what it was is alive until the assignment is over
        owner.attributes[name] = value
        if name in owner.untracked:
            return
        if name in owner.tracked:
            owner.tracked[name] = value
        self.came(owner, name, value)
        del before

    def track(self, owner: Live, name: str, value: Any) -> None:
        """Track a value under a name."""
        before = owner.get(name)
        owner.tracked[name] = value
        if name in owner.attributes:
            owner.attributes[name] = value
        self.came(owner, name, value)
        del before

    def came(self, owner: Live, name: str, value: Any) -> None:
        """Let come in what waits under a name, and then whatever has come elsewhere (R-10)."""
        self.arrive(owner, name)
        if isinstance(value, Live):
            self.settle()

    def keep_out(self, owner: Live, name: str, value: Any) -> None:
        """Assign a NoDependency."""
        owner.attributes[name] = value
        owner.tracked.pop(name, None)
        owner.untracked.add(name)

    def delete(self, owner: Live, name: str) -> None:
        """Delete a name."""
        owner.attributes.pop(name, None)
        owner.tracked.pop(name, None)
        owner.untracked.discard(name)

    def waiting(self, restore: Restore, owners: list[Live]) -> set[Stored]:
        """The stored values that wait at some objects, directly or below what waits."""
        views = {
            view
            for owner in owners
            for positions in owner.waits.values()
            for other, top in positions
            if other is restore
            for view in below(top)
        }
        found = {view.stored for view in views}
        for slot in restore.snapshot.slots if found else ():
            ends = (slot.optimizer, "optimizer"), (slot.variable, "variable")
            can_be_had = [
                end in found or any(live.kind == kind for live in self.living(restore, end))
                for end, kind in ends
            ]
            if all(can_be_had) and not found.isdisjoint((slot.optimizer, slot.variable)):
                found.add(slot.value)
        return {s for s in found if s is not None and restore.is_open(s)}

    def all_stored(self, restore: Restore) -> list[Stored]:
        """Every node of a checkpoint."""
        slots = [slot.value for slot in restore.snapshot.slots]
        return list(dict.fromkeys([*below(restore.snapshot.root), *slots]))

    def live_values(self, restore: Restore) -> dict[Any, bool]:
        """What has a value below the root, and whether this restore, or a later one, gave it."""
        values: dict[Any, bool] = {}
        found = below(self.root)
        for live in [*found, *(slot for *_, slot in reached_slots(found))]:
            if live.is_variable:
                values[live] = live.order > restore.number or live.token in restore.givers
                continue
            for name in PLAIN:
                is_given = (live.token, name) in restore.plain_givers
                # None is never missing.
                if name in dict(children(live)) and (live.get(name) is not None or is_given):
                    values[live, name] = is_given or live.orders.get(name, 0) > restore.number
        return values
