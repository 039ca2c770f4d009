"""Any sequence of changes, saves and restores, compared with a naive model of the rules.

The model knows nothing of the engine: it keeps a graph of its own for what is live and one for
each checkpoint, and follows docs/restore.md literally. A stored value is pending if nothing has
taken it and it can be reached from an edge that waits at a living object; else it is unused.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections import deque
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import checkpointable as ckpt


class Box(ckpt.Trackable):
    state_attributes = ("x",)


class Live:
    """A live object of the model: a box (the Checkpoint too), or a variable."""

    def __init__(self, real: Any, *, is_variable: bool = False) -> None:
        self.real = real
        self.token = object()  # books refer to it, so that they keep nothing alive
        self.is_variable = is_variable
        self.value: Any = 0.0
        self.order = 0  # the latest restore that gave it its value
        #: Attributes: Live, or a list or dict of Live, or a plain value under "x".
        self.attributes: dict[str, Any] = {}
        self.x_order = 0
        #: What waits here: names -> [(restore, stored)].
        self.waits: dict[tuple[str, ...], list[tuple[Restore, Stored]]] = {}


class Stored:
    """A node of a checkpoint of the model."""

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        self.value = value
        self.children: dict[str, Stored] = {}


class Restore:
    """The books of one restore in the model."""

    def __init__(self, number: int, root: Stored) -> None:
        self.number = number
        self.root = root
        self.consumed: set[Stored] = set()
        self.bound: dict[Stored, list[object]] = {}
        self.givers: dict[object, Stored] = {}
        self.edges: set[object] = set()  # the boxes whose x was matched
        self.is_split = False


def below(top: Any) -> list[Any]:
    """Everything that can be reached from a Live or Stored, breadth-first."""
    found, queue = {top: None}, deque([top])
    while queue:
        for _, child in children(queue.popleft()):
            if isinstance(child, (Live, Stored)) and child not in found:
                found[child] = None
                queue.append(child)
            elif isinstance(child, (list, dict)):
                queue.append(child)
    return list(found)


def children(of: Any) -> list[tuple[str, Any]]:
    """The named children of a Live, a Stored, a list or a dict."""
    if isinstance(of, list):
        return [(str(i), item) for i, item in enumerate(of)]
    if isinstance(of, dict):
        return [(str(key), item) for key, item in of.items()]
    if isinstance(of, Stored):
        return list(of.children.items())
    # A container without Trackables that nobody declared is no child.
    is_child = lambda v: not (isinstance(v, (list, dict)) and not v)  # noqa: E731
    return [(name, value) for name, value in of.attributes.items() if is_child(value)]


def take_snapshot(root: Live) -> Stored:
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
    return top


def stored_shell(live: Any) -> Stored:
    """A stored node without its children."""
    if isinstance(live, Live):
        return Stored("variable", live.value) if live.is_variable else Stored("box")
    return Stored("container")


class Model:
    """What is live, what was saved, and what waits."""

    def __init__(self, root: Live) -> None:
        self.root = root
        self.held: list[Live] = []
        self.saved: list[tuple[str, Stored]] = []
        self.restores = 0

    def alive(self) -> list[Live]:
        """Every living object."""
        return list(dict.fromkeys(o for top in (self.root, *self.held) for o in below(top)))

    def boxes(self) -> list[Live]:
        """Every living box but the Checkpoint."""
        return [o for o in self.alive() if not o.is_variable and o is not self.root]

    def variables(self) -> list[Live]:
        """Every living variable."""
        return [o for o in self.alive() if o.is_variable]

    def restore(self, stored: Stored) -> Restore:
        """Match everything from the root on."""
        self.settle()
        self.restores += 1
        restore = Restore(self.restores, stored)
        self.match(restore, [(self.root, stored, (self.root, ()))])
        return restore

    def match(self, restore: Restore, queue: list[Any]) -> None:
        """Match pairs of live and stored, and what they lead to, breadth-first."""
        open_pairs = deque(queue)
        while open_pairs:
            live, stored, (owner, names) = open_pairs.popleft()
            if isinstance(live, Live):
                if live.token in restore.bound.setdefault(stored, []):
                    continue
                self.bind(restore, live, stored)
                owner, names = live, ()
            elif names == ("x",):
                self.give_plain(restore, owner, stored)
                continue
            present = dict(children(live))
            for name, child in stored.children.items():
                if name in present:
                    open_pairs.append((present[name], child, (owner, (*names, name))))
                else:
                    owner.waits.setdefault((*names, name), []).append((restore, child))

    def bind(self, restore: Restore, live: Live, stored: Stored) -> None:
        """Match one object, and give it its value (R-5, R-6, R-11)."""
        living = {other.token for other in self.alive()}
        bound = restore.bound[stored]
        restore.is_split |= any(other in living for other in bound)
        bound.append(live.token)
        if not live.is_variable or stored.kind != "variable":
            return
        giver = restore.givers.get(live.token)
        if giver is not None:
            if giver.value == stored.value:
                restore.consumed.add(stored)
            return
        restore.givers[live.token] = stored
        restore.consumed.add(stored)
        if live.order < restore.number:
            live.order, live.value = restore.number, stored.value

    def give_plain(self, restore: Restore, owner: Live, stored: Stored) -> None:
        """Give a declared plain value to its place (R-7, R-11)."""
        restore.consumed.add(stored)
        restore.edges.add(owner.token)
        if owner.x_order <= restore.number:
            owner.x_order = restore.number
            owner.attributes["x"] = stored.value

    def arrive(self, owner: Live, name: str | None) -> None:
        """Let come in what waits under an attribute, or everywhere at an object."""
        for names in sorted(owner.waits, key=len):
            if name is not None and names[0] != name:
                continue
            live: Any = owner
            for part in names:
                live = dict(children(live)).get(part, live if live is None else Ellipsis)
                if live is Ellipsis:
                    break
            if live is Ellipsis:
                continue
            positions = owner.waits.pop(names)
            for restore, stored in sorted(positions, key=lambda p: -p[0].number):
                self.match(restore, [(live, stored, (owner, names))])

    def settle(self) -> None:
        """Let come in whatever has come into a container."""
        for owner in self.alive():
            self.arrive(owner, None)

    def assign(self, owner: Live, name: str, value: Any) -> None:
        """Assign an attribute."""
        owner.attributes[name] = value
        self.arrive(owner, name)
        if isinstance(value, Live):
            self.settle()

    def waiting(self, restore: Restore, owners: list[Live]) -> set[Stored]:
        """The stored values that wait at some objects, directly or below what waits."""
        found: set[Stored] = set()
        for owner in owners:
            for positions in owner.waits.values():
                for other, stored in positions:
                    if other is restore:
                        found.update(below(stored))
        return {s for s in found if is_open(restore, s)}


def is_open(restore: Restore, stored: Stored) -> bool:
    """Tell whether a stored node holds a value that nothing took."""
    has_value = stored.kind == "variable" or (stored.kind == "plain" and stored.value is not None)
    return has_value and stored not in restore.consumed


def resolve(top: Any, path: str) -> Any:
    """What stands at a path of the live or stored model."""
    of, owner = top, top
    for name in path.split("/"):
        if isinstance(of, (Live, Stored)):
            owner = of
        of = dict(children(of))[name.replace(".S", "/")]
    return of if isinstance(of, (Live, Stored)) else (owner, "x")


def resolve_all(top: Any, entries: Any) -> set[Any]:
    """What stands at the paths of report entries; each must be there once."""
    found = [resolve(top, entry.path) for entry in entries]
    assert len(found) == len(set(found))
    return set(found)


PICK = st.integers(0, 5)
BOX_NAMES = st.sampled_from(["b0", "b1"])
VARIABLE_NAMES = st.sampled_from(["v0", "v1"])
KEYS = st.sampled_from(["k", "a/b", 0, -1])


class RestoreMachine(RuleBasedStateMachine):
    """Drives real objects and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.model = Model(Live(ckpt.Checkpoint()))
        self.statuses: list[tuple[Any, Restore]] = []
        self.numbers = 0

    def teardown(self) -> None:
        self.statuses.clear()
        del self.model
        shutil.rmtree(self.directory)

    def box(self, pick: int) -> Live:
        """One of the living boxes."""
        boxes = self.model.boxes()
        return boxes[pick % len(boxes)]

    def put(self, owner: Live, name: str, live: Live) -> None:
        """Assign an object to an attribute, on both sides."""
        setattr(owner.real, name, live.real)
        self.model.assign(owner, name, live)

    def number(self) -> float:
        """A number that was not used before."""
        self.numbers += 1
        return float(self.numbers)

    @initialize(
        attributes=st.sets(st.sampled_from(["v0", "x", "b0", "items", "table"])),
        deleted=st.sets(st.sampled_from(["v0", "x", "b0", "items", "table"])),
    )
    def begin(self, attributes: set[str], deleted: set[str]) -> None:
        """Begin with a box, two checkpoints of it with other values, and parts of it gone."""
        top = Live(Box())
        self.put(self.model.root, "m", top)
        for name in sorted(attributes):
            self.fill(top, name)
        self.save(numbered=False)
        for pick in range(len(self.model.variables())):
            self.write_a_variable(pick)
        if "x" in attributes:
            self.assign_x(0, is_none=False)
        self.save(numbered=False)
        for name in sorted(deleted & attributes):
            delattr(top.real, name)
            del top.attributes[name]

    def fill(self, owner: Live, name: str) -> None:
        """Give a box something under a name."""
        value = self.number()
        variable = Live(ckpt.Variable(value), is_variable=True)
        variable.value = value
        inner = Live(Box())
        if name == "v0":
            self.put(owner, name, variable)
            return
        if name == "x":
            owner.real.x = owner.attributes["x"] = int(value)
            return
        self.put(inner, "v1", variable)
        if name == "b0":
            self.put(owner, name, inner)
        elif name == "items":
            owner.real.items, owner.attributes["items"] = [inner.real], [inner]
        else:
            owner.real.table, owner.attributes["table"] = {"k": inner.real}, {"k": inner}

    @rule()
    def hold_a_new_box(self) -> None:
        """Create a box that nothing leads to."""
        self.model.held.append(Live(Box()))

    @precondition(lambda self: self.model.held)
    @rule()
    def drop_what_is_held(self) -> None:
        """Let go of what is held outside the graph."""
        self.model.held.clear()

    @rule(name=st.sampled_from(["m", "n"]), pick=PICK)
    def assign_to_the_checkpoint(self, name: str, pick: int) -> None:
        """Put any living box under a name of the Checkpoint."""
        if self.model.boxes():
            self.put(self.model.root, name, self.box(pick))

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=BOX_NAMES, pick=PICK, fresh=st.booleans())
    def assign_a_box(self, owner: int, name: str, pick: int, fresh: bool) -> None:
        """Put a new or a living box under a name of another, without making a cycle."""
        at, live = self.box(owner), Live(Box()) if fresh else self.box(pick)
        if at not in below(live):
            self.put(at, name, live)

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=VARIABLE_NAMES)
    def assign_a_variable(self, owner: int, name: str) -> None:
        """Put a new variable under a name."""
        value = self.number()
        live = Live(ckpt.Variable(value), is_variable=True)
        live.value = value
        self.put(self.box(owner), name, live)

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=VARIABLE_NAMES)
    def add_a_variable(self, owner: int, name: str) -> None:
        """Add a variable where there is none yet; its initializer runs if nothing waits."""
        at = self.box(owner)
        if name in at.attributes:
            return
        value = self.number()
        variable = at.real.add_variable(name, (), float, value)
        live = Live(variable, is_variable=True)
        live.value = value
        self.model.assign(at, name, live)
        setattr(at.real, name, variable)

    @precondition(lambda self: self.model.variables() and self.model.boxes())
    @rule(owner=PICK, name=VARIABLE_NAMES, pick=PICK)
    def share_a_variable(self, owner: int, name: str, pick: int) -> None:
        """Put a living variable under one more name."""
        variables = self.model.variables()
        self.put(self.box(owner), name, variables[pick % len(variables)])

    @precondition(lambda self: self.model.variables())
    @rule(pick=PICK)
    def write_a_variable(self, pick: int) -> None:
        """Assign to a variable; one that nothing has restored lets values come in first."""
        variables = self.model.variables()
        live = variables[pick % len(variables)]
        if live.order == 0:
            self.model.settle()
        live.value = self.number()
        live.real.assign(live.value)

    @precondition(lambda self: self.model.variables())
    @rule(pick=PICK)
    def read_a_variable(self, pick: int) -> None:
        """A variable is never seen unrestored."""
        variables = self.model.variables()
        live = variables[pick % len(variables)]
        if live.order == 0:
            self.model.settle()
        assert live.value == live.real.value

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, is_none=st.booleans())
    def assign_x(self, owner: int, is_none: bool) -> None:
        """Assign a declared plain value."""
        at = self.box(owner)
        value = None if is_none else int(self.number())
        at.real.x = value
        self.model.assign(at, "x", value)
        assert at.attributes["x"] == at.real.x

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, pick=PICK)
    def delete_an_attribute(self, owner: int, pick: int) -> None:
        """Delete an attribute; what it held may be gone then."""
        at = self.box(owner)
        if at.attributes:
            name = list(at.attributes)[pick % len(at.attributes)]
            delattr(at.real, name)
            del at.attributes[name]

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(["items", "table"]), pick=PICK, filled=st.booleans())
    def assign_a_container(self, owner: int, name: str, pick: int, filled: bool) -> None:
        """Assign a list or dict, empty or with a new box."""
        at = self.box(owner)
        inside = [Live(Box())] if filled else []
        container: Any = inside if name == "items" else dict(enumerate(inside))
        real: Any = [i.real for i in inside]
        setattr(at.real, name, real if name == "items" else dict(enumerate(real)))
        self.model.assign(at, name, container)

    @precondition(
        lambda self: any(b.attributes.get("items") is not None for b in self.model.boxes())
    )
    @rule(owner=PICK, with_variable=st.booleans())
    def append_an_item(self, owner: int, with_variable: bool) -> None:
        """Append a box to a plain list; nobody is told."""
        boxes = [b for b in self.model.boxes() if "items" in b.attributes]
        at, live = boxes[owner % len(boxes)], Live(Box())
        if with_variable:
            self.put(live, "v0", Live(ckpt.Variable(0.0), is_variable=True))
        at.real.items.append(live.real)
        at.attributes["items"].append(live)

    @precondition(lambda self: any(b.attributes.get("items") for b in self.model.boxes()))
    @rule(owner=PICK, how=st.sampled_from(["pop", "pop first", "reverse", "clear"]))
    def change_a_list(self, owner: int, how: str) -> None:
        """Remove items, or bring them into another order."""
        boxes = [b for b in self.model.boxes() if b.attributes.get("items")]
        at = boxes[owner % len(boxes)]
        for items in (at.real.items, at.attributes["items"]):
            if how.startswith("pop"):
                items.pop(0 if how == "pop first" else -1)
            elif how == "reverse":
                items.reverse()
            else:
                items.clear()

    @precondition(lambda self: any("table" in b.attributes for b in self.model.boxes()))
    @rule(owner=PICK, key=KEYS)
    def set_or_remove_a_key(self, owner: int, key: str | int) -> None:
        """Set a key of a plain dict, or remove it."""
        boxes = [b for b in self.model.boxes() if "table" in b.attributes]
        at, live = boxes[owner % len(boxes)], Live(Box())
        if key in at.attributes["table"]:
            del at.real.table[key], at.attributes["table"][key]
        else:
            at.real.table[key], at.attributes["table"][key] = live.real, live

    @rule(numbered=st.booleans())
    def save(self, numbered: bool) -> None:
        """Save; it warns if something in the graph still waits."""
        self.model.settle()
        in_graph = below(self.model.root)
        expected = any(
            is_open(restore, inner)
            for owner in in_graph
            for positions in owner.waits.values()
            for restore, stored in positions
            for inner in below(stored)
        )
        prefix = f"{self.directory}/{'ckpt' if numbered else len(self.model.saved)}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checkpoint = self.model.root.real
            path = (checkpoint.save if numbered else checkpoint.write)(prefix, durable=False)
        assert expected == any("still wait" in str(warning.message) for warning in caught)
        self.model.saved.append((path, take_snapshot(self.model.root)))

    @precondition(lambda self: self.model.saved)
    @rule(pick=PICK, times=st.integers(1, 2))
    def restore(self, pick: int, times: int) -> None:
        """Restore an older or newer checkpoint, once or twice."""
        path, stored = self.model.saved[-1 - pick % len(self.model.saved)]
        for _ in range(times):
            status = self.model.root.real.restore(path)
            self.statuses.append((status, self.model.restore(stored)))

    @precondition(lambda self: self.statuses)
    @rule(pick=PICK)
    def drop_a_status(self, pick: int) -> None:
        """Let go of a status; what waits goes on waiting."""
        del self.statuses[pick % len(self.statuses)]

    @rule()
    def compare_values(self) -> None:
        """All live values are those of the model."""
        self.model.settle()
        for status, _ in self.statuses[:1]:
            status.settle()
        for live in self.model.variables() if self.statuses else ():
            assert live.value == live.real.value
        for live in self.model.boxes():
            assert ("x" in live.attributes) == hasattr(live.real, "x")
            assert live.attributes.get("x") == getattr(live.real, "x", None)

    @precondition(lambda self: self.statuses)
    @rule(pick=PICK)
    def compare_a_report(self, pick: int) -> None:
        """The categories of a report, and the assertions, are those of the model."""
        status, restore = self.statuses[pick % len(self.statuses)]
        report = status.report()
        self.model.settle()
        root = self.model.root
        values: dict[Any, bool] = {}
        for live in below(root):
            if live.is_variable:
                values[live] = live.order > restore.number or live.token in restore.givers
            elif "x" in live.attributes:
                matched = live.x_order > restore.number or live.token in restore.edges
                # None is never missing.
                if live.attributes["x"] is not None or live.token in restore.edges:
                    values[live, "x"] = matched
        pending = self.model.waiting(restore, self.model.alive())
        left = {s for s in below(restore.root) if is_open(restore, s)}
        missing = {v for v, matched in values.items() if not matched}
        assert set(values) - missing == resolve_all(root, report.restored)
        assert missing == resolve_all(root, report.missing)
        assert pending == resolve_all(restore.root, report.pending)
        assert left - pending == resolve_all(restore.root, report.unused)
        assert restore.is_split == bool(report.split)
        assert not any((report.mismatched, report.cast, report.skipped))
        assert passes(status.assert_existing_objects_matched) == (not missing)
        assert passes(status.assert_consumed) == (not missing and not left and not restore.is_split)


def passes(assertion: Any) -> bool:
    """Tell whether an assertion of a status passes."""
    try:
        assertion()
    except ckpt.UnmatchedError:
        return False
    return True


class TestRestores(RestoreMachine.TestCase):
    """Short sequences, many of them."""

    settings = settings(
        max_examples=400,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.campaign
class TestManyRestores(RestoreMachine.TestCase):
    """Long sequences."""

    settings = settings(
        max_examples=2000,
        stateful_step_count=80,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
