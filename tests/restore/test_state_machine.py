"""Any sequence of changes, saves and restores, compared with a naive model of the rules."""

from __future__ import annotations

import gc
import shutil
import tempfile
import warnings
from typing import Any, ClassVar

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import checkpointable as ckpt
from tests.restore.naive_model import (
    PLAIN,
    RENAMED,
    Live,
    Model,
    Path,
    Restore,
    Stored,
    View,
    below,
    children,
    components,
    is_live,
    reached_slots,
    spelled,
    take_snapshot,
)


class Box(ckpt.Trackable):
    state_attributes = ("x",)


class Moved(Box):
    renamed: ClassVar = RENAMED


class Optimizer(ckpt.SlotTrackable):
    state_attributes = ("x",)


CLASSES = {"box": Box, "moved": Moved, "optimizer": Optimizer}

PICK = st.integers(0, 5)
MANY = st.integers(0, 30)
KINDS = st.sampled_from(["box", "box", "moved", "optimizer"])
BOX_NAMES = ("b0", "b1", "t.b")
VARIABLE_NAMES = ("v0", "v1", "t/v")
SLOT_NAMES = st.sampled_from(["m", "a/b"])
KEYS = st.sampled_from(["k", "a/b", 0, -1])
PARTS = ("b0", "items", "optimizer", "table", "v0", "x")
SOME = st.sets(st.sampled_from(PARTS), max_size=3)


class RestoreMachine(RuleBasedStateMachine):
    """Drives real objects and the model side by side; first always the real ones."""

    def __init__(self) -> None:
        super().__init__()
        # Garbage is collected by a rule only, and only what comes into being from now on.
        gc.disable()
        gc.freeze()
        self.directory = tempfile.mkdtemp()
        self.model = Model(Live("root", ckpt.Checkpoint()))
        self.statuses: list[tuple[Any, Restore]] = []
        self.numbers = 0

    def teardown(self) -> None:
        self.statuses.clear()
        del self.model
        gc.collect()
        gc.unfreeze()
        gc.enable()
        shutil.rmtree(self.directory)

    # What the rules are told with.

    def number(self) -> float:
        """A number that was not used before."""
        self.numbers += 1
        return float(self.numbers)

    def new_box(self, kind: str) -> Live:
        """A box that nothing leads to."""
        return self.model.create(Live(kind, CLASSES[kind]()))

    def new_variable(self) -> Live:
        """A variable that nothing leads to."""
        value = self.number()
        return self.model.create(Live("variable", ckpt.Variable(value), value))

    def box(self, pick: int) -> Live:
        """One of the boxes."""
        boxes = self.model.boxes()
        return boxes[pick % len(boxes)]

    def variable(self, pick: int) -> Live:
        """One of the variables."""
        variables = self.model.variables()
        return variables[pick % len(variables)]

    def optimizers(self) -> list[Live]:
        """All optimizers."""
        return [box for box in self.model.boxes() if box.kind == "optimizer"]

    def put(self, owner: Live, name: str, live: Live) -> None:
        """Assign an object to an attribute."""
        setattr(owner.real, name, live.real)
        self.model.assign(owner, name, live)

    def delete_a_name(self, owner: Live, name: str) -> None:
        """Delete a name."""
        delattr(owner.real, name)
        self.model.delete(owner, name)

    def containers(self, name: str, at_least: int = 0) -> list[Live]:
        """The boxes with a list or dict of some length."""
        found = [b for b in self.model.boxes() if isinstance(b.get(name), (list, dict))]
        return [b for b in found if len(b.get(name)) >= at_least]

    def look(self) -> None:
        """Let whatever has come into containers come in."""
        if self.statuses:
            self.statuses[0][0].settle()
            self.model.settle()

    # How it begins.

    @initialize(kind=KINDS, left_out=SOME, deleted=SOME)
    def begin(self, kind: str, left_out: set[str], deleted: set[str]) -> None:
        """Begin with a box, two checkpoints of it with other values, and parts of it gone."""
        top, parts = self.new_box(kind), {*PARTS} - left_out
        self.put(self.model.root, "m", top)
        for name in sorted(parts, key=lambda name: (name == "optimizer", name)):
            self.fill(top, name)
        self.write()
        for pick in range(len(self.model.variables())):
            self.write_a_variable(pick)
        if "x" in parts:
            self.assign_x(0, is_none=False)
        self.write()
        for name in sorted(deleted & parts):
            self.delete_a_name(*(self.model.root, "n") if name == "optimizer" else (top, name))

    def fill(self, owner: Live, name: str) -> None:
        """Give a box something under a name; the root, an optimizer for what is there by then."""
        if name == "v0":
            self.put(owner, name, self.new_variable())
            return
        if name == "x":
            owner.real.x = owner.attributes["x"] = int(self.number())
            return
        inner = self.new_box("optimizer" if name == "optimizer" else "box")
        self.put(inner, "v1", self.new_variable())
        if name == "b0":
            self.put(owner, name, inner)
        elif name == "items":
            owner.real.items, owner.attributes["items"] = [inner.real], [inner]
        elif name == "table":
            owner.real.table, owner.attributes["table"] = {"k": inner.real}, {"k": inner}
        else:
            self.put(self.model.root, "n", inner)
            for variable in self.model.variables():
                self.add_slot(inner, variable, "m")

    # Objects.

    @rule(kind=KINDS)
    def create(self, kind: str) -> None:
        """Create a box that nothing leads to."""
        self.model.held.append(self.new_box(kind))

    @rule(collects=st.booleans())
    def drop(self, collects: bool) -> None:
        """Let go of what is held outside the graph; collect garbage, so that cycles die."""
        self.model.held.clear()
        if collects:
            before = len(self.model.alive())
            gc.collect()
            self.model.seen["garbage is collected"] += before > len(self.model.alive())
        self.compare_lives()

    @rule(name=st.sampled_from(["m", "n"]), pick=PICK)
    def assign_to_the_checkpoint(self, name: str, pick: int) -> None:
        """Put any box under a name of the Checkpoint."""
        if self.model.boxes():
            self.put(self.model.root, name, self.box(pick))

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(BOX_NAMES[:2]), kind=KINDS)
    def assign_a_new_box(self, owner: int, name: str, kind: str) -> None:
        """Put a new box under a name of another."""
        self.put(self.box(owner), name, self.new_box(kind))

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(BOX_NAMES[:2]), pick=PICK)
    def reassign_a_box(self, owner: int, name: str, pick: int) -> None:
        """Put a box under one more name; it may lead to itself then."""
        self.put(self.box(owner), name, self.box(pick))

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(VARIABLE_NAMES[:2]))
    def assign_a_variable(self, owner: int, name: str) -> None:
        """Put a new variable under a name."""
        self.put(self.box(owner), name, self.new_variable())

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(VARIABLE_NAMES))
    def add_a_variable(self, owner: int, name: str) -> None:
        """Add a variable where there is none yet; its initializer runs if nothing waits."""
        at = self.box(owner)
        if name not in at.names():
            value = self.number()
            live = Live("variable", at.real.add_variable(name, (), float, value), value)
            self.model.track(at, name, self.model.create(live))

    @precondition(lambda self: self.model.variables() and self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(VARIABLE_NAMES[:2]), pick=PICK)
    def share_a_variable(self, owner: int, name: str, pick: int) -> None:
        """Put a variable under one more name; it may be a slot variable."""
        self.put(self.box(owner), name, self.variable(pick))

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, is_none=st.booleans())
    def assign_x(self, owner: int, is_none: bool) -> None:
        """Assign a declared plain value."""
        at = self.box(owner)
        at.real.x = value = None if is_none else int(self.number())
        self.model.assign(at, "x", value)

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, pick=PICK, restores=st.booleans())
    def delete(self, owner: int, pick: int, restores: bool) -> None:
        """Delete an attribute or what was tracked, maybe to restore it; it may be gone then."""
        at = self.box(owner)
        if at.names():
            self.delete_a_name(at, at.names()[pick % len(at.names())])
        if restores:
            self.restoring(pick % len(self.model.saved), {})

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, names=st.sampled_from([BOX_NAMES[:2], VARIABLE_NAMES[:2]]))
    def rename_an_attribute(self, owner: int, names: tuple[str, str]) -> None:
        """Move what an attribute holds to the other name, in the program."""
        at = self.box(owner)
        if names[0] not in at.names():
            names = names[1], names[0]
        self.move(at, *names)

    def move(self, at: Live, name: str, new_name: str) -> None:
        """Let something have another name in the program."""
        live = at.get(name)
        if live is not None:
            self.delete_a_name(at, name)
            self.put(at, new_name, live)

    # Tracking under any name, and not tracking.

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(BOX_NAMES + VARIABLE_NAMES + PLAIN), pick=PICK)
    def track(self, owner: int, name: str, pick: int) -> None:
        """Track something under a name that may be no attribute; only what is free is taken."""
        at, value = self.box(owner), self.value_for(name, pick)
        is_free = at.get(name) is None or at.get(name) is value
        if is_free and name not in at.untracked:
            self.track_on(at, name, value, overwrite=False)
        else:
            with pytest.raises(ValueError, match=r"stands under|NoDependency"):
                at.real.track(name, real_of(value))

    @precondition(lambda self: any(box.tracked for box in self.model.boxes()))
    @rule(owner=PICK, which=PICK, pick=PICK)
    def retrack(self, owner: int, which: int, pick: int) -> None:
        """Track another value under a tracked name."""
        boxes = [box for box in self.model.boxes() if box.tracked]
        at = boxes[owner % len(boxes)]
        name = list(at.tracked)[which % len(at.tracked)]
        self.track_on(at, name, self.value_for(name, pick), overwrite=True)

    def track_on(self, at: Live, name: str, value: Any, *, overwrite: bool) -> None:
        """Track a value under a name."""
        returned = at.real.track(name, real_of(value), overwrite=overwrite)
        self.model.track(at, name, value)
        assert is_same(at.get(name), returned)

    def value_for(self, name: str, pick: int, kind: str = "box") -> Any:
        """A new or living value that fits a name."""
        if name in PLAIN:
            return int(self.number()) + 1000
        if name in VARIABLE_NAMES:
            is_new = pick % 2 or not self.model.variables()
            return self.new_variable() if is_new else self.variable(pick)
        return self.new_box(kind) if pick % 2 or not self.model.boxes() else self.box(pick)

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(["b0", "v0", "x", "items"]))
    def keep_out(self, owner: int, name: str) -> None:
        """Assign a NoDependency of what stands there; only a deletion ends it."""
        at = self.box(owner)
        if name in at.names():
            value = at.get(name)
            setattr(at.real, name, ckpt.NoDependency(standing(at.real, name)))
            self.model.keep_out(at, name, value)

    @precondition(lambda self: self.awaited())
    @rule(choices=st.lists(st.tuples(MANY, KINDS, PICK), min_size=1, max_size=4))
    def let_something_come(self, choices: list[tuple[int, str, int]]) -> None:
        """Give some names what may be waiting there."""
        for which, kind, pick in choices:
            places = self.awaited()
            if places:
                self.come(*places[which % len(places)], kind, pick)

    def come(self, owner: Live, names: Path, kind: str, pick: int) -> None:
        """Give a name something new or known."""
        if names[0] in ("items", "table"):
            inside, real = owner.get(names[0]), getattr(owner.real, names[0], None)
            live = self.new_box(kind)
            if isinstance(inside, list):
                inside.append(live)
                real.append(live.real)
            elif isinstance(inside, dict):
                inside[names[-1]] = live
                real[names[-1]] = live.real
        elif names[0] == "x":
            owner.real.x = value = int(self.number())
            self.model.assign(owner, "x", value)
        elif names[0].isidentifier():
            self.put(owner, names[0], self.value_for(names[0], pick, kind))
        elif names[0] not in owner.untracked:
            self.track_on(owner, names[0], self.value_for(names[0], pick, kind), overwrite=True)

    def awaited(self) -> list[tuple[Live, Path]]:
        """Where something waits."""
        owners = [self.model.root, *self.model.boxes()]
        return [(owner, names) for owner in owners for names in owner.waits]

    # Plain containers, whose changes nobody is told of.

    @precondition(lambda self: self.model.boxes())
    @rule(owner=PICK, name=st.sampled_from(["items", "table"]), filled=st.booleans())
    def assign_a_container(self, owner: int, name: str, filled: bool) -> None:
        """Assign a list or dict, empty or with a new box."""
        at = self.box(owner)
        inside = [self.new_box("box")] if filled else []
        real: Any = [live.real for live in inside]
        setattr(at.real, name, real if name == "items" else dict(enumerate(real)))
        self.model.assign(at, name, inside if name == "items" else dict(enumerate(inside)))

    @precondition(lambda self: self.containers("items"))
    @rule(owner=PICK, kind=KINDS, at_start=st.booleans(), with_variable=st.booleans())
    def append_or_insert(self, owner: int, kind: str, at_start: bool, with_variable: bool) -> None:
        """Append a new box to a list, or put it first."""
        boxes = self.containers("items")
        at, live = boxes[owner % len(boxes)], self.new_box(kind)
        if with_variable:
            self.put(live, "v0", self.new_variable())
        items = at.get("items")
        at.real.items.insert(0 if at_start else len(items), live.real)
        items.insert(0 if at_start else len(items), live)

    @precondition(lambda self: self.containers("items", 1))
    @rule(owner=PICK, pick=PICK)
    def insert_what_is_known(self, owner: int, pick: int) -> None:
        """Insert a box that may stand elsewhere; others have come in before, it comes at once."""
        if self.statuses:
            boxes = self.containers("items", 1)
            at, live = boxes[owner % len(boxes)], self.box(pick)
            self.look()
            at.real.items.append(live.real)
            at.get("items").append(live)
            self.look()

    @precondition(lambda self: self.containers("items", 1))
    @rule(owner=PICK, which=st.sampled_from([0, -1]), is_held=st.booleans())
    def pop(self, owner: int, which: int, is_held: bool) -> None:
        """Pop an item from a list, and hold it or let it die."""
        boxes = self.containers("items", 1)
        at = boxes[owner % len(boxes)]
        at.real.items.pop(which)
        live = at.get("items").pop(which)
        if is_held:
            self.model.held.append(live)

    @precondition(lambda self: self.containers("items", 2))
    @rule(owner=PICK, how=st.sampled_from(["sort", "reverse", "clear"]))
    def sort(self, owner: int, how: str) -> None:
        """Bring the items of a list into another order; or remove them all."""
        boxes = self.containers("items", 2)
        at = boxes[owner % len(boxes)]
        keys = {id(live.real): len(live.names()) for live in at.get("items")}
        if how == "sort":
            at.real.items.sort(key=lambda real: keys[id(real)])
            at.get("items").sort(key=lambda live: keys[id(live.real)])
        else:
            getattr(at.real.items, how)()
            getattr(at.get("items"), how)()

    @precondition(lambda self: self.containers("table"))
    @rule(owner=PICK, key=KEYS)
    def set_or_remove_a_key(self, owner: int, key: str | int) -> None:
        """Set a key of a plain dict, or remove it."""
        boxes = self.containers("table")
        at, live = boxes[owner % len(boxes)], self.new_box("box")
        if key in at.get("table"):
            del at.real.table[key], at.get("table")[key]
        else:
            at.real.table[key], at.get("table")[key] = live.real, live

    # Variables and their slots.

    @precondition(lambda self: self.model.variables())
    @rule(pick=PICK)
    def write_a_variable(self, pick: int) -> None:
        """Assign to a variable; one that nothing has restored lets values come in first."""
        live, value = self.variable(pick), self.number()
        live.real.assign(value)
        if live.order == 0:
            self.model.settle()
        live.value = value

    @precondition(lambda self: self.model.variables())
    @rule(pick=PICK)
    def read_a_variable(self, pick: int) -> None:
        """A variable is never seen unrestored."""
        live = self.variable(pick)
        value = float(live.real.value)
        if live.order == 0:
            self.model.settle()
        assert live.value == value

    @precondition(lambda self: self.optimizers() and self.model.variables())
    @rule(owner=PICK, pick=PICK, name=SLOT_NAMES)
    def add_a_slot(self, owner: int, pick: int, name: str) -> None:
        """Add a slot to an optimizer; the initializer runs if no restore has given one."""
        optimizers = self.optimizers()
        self.add_slot(optimizers[owner % len(optimizers)], self.variable(pick), name)

    def add_slot(self, optimizer: Live, variable: Live, name: str) -> None:
        """Add a slot for a variable."""
        value = self.number()
        real = optimizer.real.add_slot(variable.real, name, np.float64(value))
        self.model.settle()
        if name not in optimizer.slots.get(variable, ()):
            self.model.keep_slot(optimizer, variable, name, Live("variable", real, value))
        assert real is optimizer.slots[variable][name].real

    # Saving and restoring.

    @rule()
    def save(self) -> None:
        """Save under the next number."""
        self.saving(self.model.root.real.save, "ckpt")

    @rule()
    def write(self) -> None:
        """Write under a name of its own."""
        self.saving(self.model.root.real.write, str(len(self.model.saved)))

    def saving(self, save: Any, name: str) -> None:
        """Save; it warns if something in the graph still waits (R-24)."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            path = save(f"{self.directory}/{name}", durable=False)
        self.model.settle()
        owners = below(self.model.root)
        owners += [slot for *_, slot in reached_slots(owners)]
        restores = {r for o in owners for waits in o.waits.values() for r, _ in waits}
        waiting = {restore for restore in restores if self.model.waiting(restore, owners)}
        # One whose status is gone may have given way to a newer one, and counts no more.
        kept = {restore for _, restore in self.statuses}
        warned = any("still wait" in str(warning.message) for warning in caught)
        assert bool(waiting & kept) <= warned <= bool(waiting or restores - kept)
        self.model.saved.append((path, take_snapshot(self.model.root)))

    @precondition(lambda self: self.model.saved)
    @rule()
    def restore_the_newest(self) -> None:
        """Restore the newest checkpoint."""
        self.restoring(-1, {})

    @precondition(lambda self: len(self.model.saved) > 1)
    @rule(pick=PICK)
    def restore_an_older_one(self, pick: int) -> None:
        """Restore an older checkpoint."""
        self.restoring(pick % (len(self.model.saved) - 1), {})

    @precondition(lambda self: self.model.saved)
    @rule(pick=PICK)
    def restore_twice(self, pick: int) -> None:
        """Restore a checkpoint two times."""
        for _ in range(2):
            self.restoring(pick % len(self.model.saved), {})

    @precondition(lambda self: self.model.saved)
    @rule(pick=PICK, moves=st.lists(st.tuples(MANY, MANY, PICK, st.booleans()), min_size=1))
    def restore_under_other_names(self, pick: int, moves: list[tuple[int, int, int, bool]]) -> None:
        """Restore what the checkpoint has under other names than the program (R-29)."""
        pick %= len(self.model.saved)
        stored, live = View(self.model.saved[pick][1].root), self.model.root
        older = [path for path in ways(stored) if path[0] != "save_counter"]
        parents = [(), *older, *ways(live)]
        rename: dict[Path, Path] = {}
        for which, where, name, is_moved in moves[:3] if older else ():
            path = older[which % len(older)]
            kind = stored.at(path).stored.kind
            names = {"plain": PLAIN, "variable": VARIABLE_NAMES}.get(kind, BOX_NAMES)
            parent = path[:-1] if where % 2 else parents[where % len(parents)]
            if not set(parent) & set(PLAIN):
                rename[*parent, names[name % len(names)]] = path
            owner = resolve(live, path[:-1]) if is_live(live, path) else None
            can_be_moved = isinstance(owner, Live) and isinstance(owner.get(path[-1]), Live)
            if can_be_moved and where % 2 and is_moved:  # the program was changed so
                self.move(owner, path[-1], names[name % len(names)])
        self.restoring(pick, rename)

    def restoring(self, pick: int, rename: dict[Path, Path]) -> None:
        """Restore a checkpoint on both sides."""
        path, snapshot = self.model.saved[pick]
        given = {spelled(today): spelled(older) for today, older in rename.items()}
        status = self.model.root.real.restore(path, rename=given)
        found = any(is_live(self.model.root, today) for today in rename)
        self.model.seen["a rename finds its object"] += found
        self.statuses.append((status, self.model.restore(snapshot, rename)))

    @precondition(lambda self: self.statuses)
    @rule(pick=PICK)
    def drop_a_status(self, pick: int) -> None:
        """Let go of a status; what waits goes on waiting."""
        del self.statuses[pick % len(self.statuses)]

    # Comparing.

    @precondition(lambda self: self.statuses)
    @rule()
    def compare_values(self) -> None:
        """All live values, and what stands under which name, are those of the model."""
        self.look()
        for live in self.model.variables():
            assert live.value == live.real.value
        for box in self.model.boxes():
            tracked = {name for name, _ in children(box)}
            assert tracked == set(box.real.trackable_children())
            for name in box.names():
                assert is_same(box.get(name), standing(box.real, name))
        for box in self.optimizers():
            assert list(box.slot_names) == box.real.get_slot_names()
        self.compare_lives()

    def compare_lives(self) -> None:
        """Objects die when they die in the model: nothing keeps them (R-13)."""
        for live, real in self.model.born:
            assert (live() is None) == (real() is None)

    @precondition(lambda self: self.statuses)
    @rule(pick=PICK)
    def compare_a_report(self, pick: int) -> None:
        """The categories of a report, and the assertions, are those of the model."""
        status, restore = self.statuses[pick % len(self.statuses)]
        report = status.report()
        self.model.settle()
        snapshot, values = restore.snapshot, self.model.live_values(restore)
        slots = {(slot.variable, slot.optimizer, slot.name): slot.value for slot in snapshot.slots}
        pending = self.model.waiting(restore, self.model.alive())
        left = {s for s in self.model.all_stored(restore) if restore.is_open(s)}
        missing = {v for v, matched in values.items() if not matched}
        assert set(values) - missing == self.resolve_live(report.restored)
        assert missing == self.resolve_live(report.missing)
        assert pending == resolve_all(snapshot.root, slots, report.pending)
        assert left - pending == resolve_all(snapshot.root, slots, report.unused)
        assert restore.is_split == bool(report.split)
        assert not any((report.mismatched, report.cast, report.skipped))
        assert passes(status.assert_existing_objects_matched) == (not missing)
        assert passes(status.assert_consumed) == (not missing and not left and not restore.is_split)
        self.model.seen["a pending slot"] += any(".OPTIMIZER" in e.path for e in report.pending)
        self.model.seen["an unused slot"] += any(".OPTIMIZER" in e.path for e in report.unused)

    def resolve_live(self, entries: Any) -> set[Any]:
        """What stands at the paths of report entries in the program."""
        root = self.model.root
        slots = {(v, o, name): slot for o, v, name, slot in reached_slots(below(root))}
        return resolve_all(root, slots, entries)


def real_of(value: Any) -> Any:
    """The real object of a Live; a plain value is itself."""
    return value.real if isinstance(value, Live) else value


def standing(real: Any, name: str) -> Any:
    """What stands under a name of a real object, child or not."""
    return getattr(real, name) if hasattr(real, name) else real.trackable_children()[name]


def is_same(value: Any, real: Any) -> bool:
    """Tell whether a value of the model stands for a real one."""
    if isinstance(value, (list, dict)):
        pairs = zip(children(value), children(real), strict=True)
        return all(a == b and is_same(v, r) for (a, v), (b, r) in pairs)
    return real_of(value) is real if isinstance(value, Live) else value == real


def ways(top: Any) -> list[Path]:
    """Some paths to what the live or stored model holds."""
    found: list[Path] = []
    queue: list[tuple[Path, Any]] = [((), top)]
    for path, of in queue:
        inner = children(of) if isinstance(of, (Live, View, list, dict)) else ()
        for name, child in inner if len(path) < 3 else ():
            found.append((*path, name))
            queue.append(((*path, name), child))
    return found


def resolve(top: Any, path: Path) -> Any:
    """What stands at a path of the live or stored model."""
    of, owner = top, top
    for name in path:
        if isinstance(of, (Live, Stored)):
            owner = of
        of = dict(children(of))[name]
    return of if isinstance(of, (Live, Stored)) else (owner, path[-1])


def resolve_all(top: Any, slots: dict[Any, Any], entries: Any) -> set[Any]:
    """What stands at the paths of report entries; each must be there once."""
    found = []
    for entry in entries:
        variable, _, rest = entry.path.partition("/.OPTIMIZER_SLOT/")
        live = resolve(top, components(variable))
        if rest:
            *optimizer, name = components(rest)
            live = slots[live, resolve(top, tuple(optimizer)), name]
        found.append(live)
    assert len(found) == len(set(found))
    return set(found)


def passes(assertion: Any) -> bool:
    """Tell whether an assertion of a status passes."""
    try:
        assertion()
    except ckpt.UnmatchedError:
        return False
    return True


@pytest.fixture(autouse=True)
def _show_what_was_seen(figures):
    """Print how often the interesting cases have occurred."""
    Model.seen.clear()
    yield
    figures["state machine"] = ", ".join(f"{n:,} x {what}" for what, n in Model.seen.items())


class TestRestores(RestoreMachine.TestCase):
    """Short sequences, many of them."""

    settings = settings(
        max_examples=300,
        stateful_step_count=50,
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
