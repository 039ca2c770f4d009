"""Any sequence of changes, saves and restores, compared with a naive model of the rules."""

from __future__ import annotations

import gc
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, precondition, rule

import checkpointable as ckpt
from tests.restore.naive_model import (
    PLAIN,
    Live,
    Model,
    Path,
    View,
    is_live,
)
from tests.restore.side_by_side import (
    BOX_NAMES,
    VARIABLE_NAMES,
    SideBySide,
    real_of,
    resolve,
    standing,
    ways,
)

PICK = st.integers(0, 5)
MANY = st.integers(0, 30)
KINDS = st.sampled_from(["box", "box", "moved", "optimizer"])
SLOT_NAMES = st.sampled_from(["m", "a/b"])
KEYS = st.sampled_from(["k", "a/b", 0, -1])
PARTS = ("b0", "items", "optimizer", "table", "v0", "x")
SOME = st.sets(st.sampled_from(PARTS), max_size=3)


class RestoreMachine(SideBySide):
    """Drives real objects and the model."""

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

    @precondition(lambda self: any(box.names() for box in self.model.boxes()))
    @rule(owner=PICK, which=PICK)
    def keep_out(self, owner: int, which: int) -> None:
        """Assign a NoDependency of what stands there; only a deletion ends it."""
        boxes = [box for box in self.model.boxes() if box.names()]
        at = boxes[owner % len(boxes)]
        name = at.names()[which % len(at.names())]
        value = at.get(name)
        setattr(at.real, name, ckpt.NoDependency(standing(at.real, name)))
        self.model.keep_out(at, name, value)

    @precondition(lambda self: any(box.untracked for box in self.model.boxes()))
    @rule(owner=PICK, comes_back=st.booleans())
    def delete_what_is_kept_out(self, owner: int, comes_back: bool) -> None:
        """Delete a name that was assigned a NoDependency, maybe to use it again."""
        boxes = [box for box in self.model.boxes() if box.untracked]
        at = boxes[owner % len(boxes)]
        name = min(at.untracked)
        value, real = at.get(name), standing(at.real, name)
        self.delete_a_name(at, name)
        if comes_back:
            setattr(at.real, name, real)
            self.model.assign(at, name, value)

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
                key = int(names[-1]) if names[-1] in ("0", "-1") else names[-1]
                inside[key], real[key] = live, live.real
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

    # Saving and restoring.

    @rule()
    def save(self) -> None:
        """Save under the next number."""
        self.saving(self.model.root.real.save, "ckpt")

    @rule()
    def write(self) -> None:
        """Write under a name of its own."""
        self.saving(self.model.root.real.write, str(len(self.model.saved)))

    @precondition(lambda self: self.model.saved)
    @rule()
    def restore_the_newest(self) -> None:
        """Restore the newest checkpoint."""
        self.restoring(-1, {})

    @precondition(lambda self: len(self.model.saved) > 1)
    @rule(pick=PICK, is_kept=st.booleans())
    def restore_an_older_one(self, pick: int, is_kept: bool) -> None:
        """Restore an older checkpoint, and keep its status or not."""
        self.restoring(pick % (len(self.model.saved) - 1), {}, is_kept=is_kept)

    @precondition(lambda self: self.model.saved)
    @rule(pick=PICK)
    def restore_twice(self, pick: int) -> None:
        """Restore a checkpoint two times."""
        for _ in range(2):
            self.restoring(pick % len(self.model.saved), {})

    @precondition(lambda self: self.model.saved)
    @rule(
        pick=PICK,
        moves=st.lists(st.tuples(MANY, MANY, PICK, st.booleans()), min_size=1, max_size=3),
        is_kept=st.booleans(),
    )
    def restore_under_other_names(
        self, pick: int, moves: list[tuple[int, int, int, bool]], is_kept: bool
    ) -> None:
        """Restore what the checkpoint has under other names than the program (R-29)."""
        pick %= len(self.model.saved)
        stored, live = View(self.model.saved[pick][1].root), self.model.root
        older = [path for path in ways(stored) if path[0] != "save_counter"]
        parents = [(), *older, *ways(live)]
        rename: dict[Path, Path] = {}
        for which, where, name, is_moved in moves if older else ():
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
        self.restoring(pick, rename, is_kept=is_kept)

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
        self.compare_names_and_values()
        self.compare_lives()

    @precondition(lambda self: self.statuses)
    @rule()
    def compare_reports(self) -> None:
        """The reports of the newest statuses, and of the oldest, are those of the model."""
        for status, restore in dict(self.statuses[:1] + self.statuses[-3:]).items():
            self.compare_a_report(status, restore)


@pytest.fixture(autouse=True)
def _show_what_was_seen(figures):
    """Print how often the interesting cases have occurred."""
    Model.seen.clear()
    yield
    figures["state machine"] = ", ".join(f"{n:,} x {what}" for what, n in Model.seen.items())


class TestRestores(RestoreMachine.TestCase):
    """Short sequences, many of them."""

    settings = settings(
        max_examples=120,
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
