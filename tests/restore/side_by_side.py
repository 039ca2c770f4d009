"""Real objects and the naive model side by side: whatever is done is done to both, and compared.

The real ones always come first: so the model sees what a restore has created.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import warnings
from typing import Any, ClassVar

import numpy as np
from hypothesis.stateful import RuleBasedStateMachine

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

BOX_NAMES = ("b0", "b1", "t.b")
VARIABLE_NAMES = ("v0", "v1", "t/v")


class SideBySide(RuleBasedStateMachine):
    """A state machine without rules: what they are told with, and what is compared."""

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
        gc.enable()  # What is frozen stays so: it is looked at no more, see tests/conftest.py.
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

    def move(self, at: Live, name: str, new_name: str) -> None:
        """Let something have another name in the program."""
        live = at.get(name)
        if live is not None:
            self.delete_a_name(at, name)
            self.put(at, new_name, live)

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

    def add_slot(self, optimizer: Live, variable: Live, name: str) -> None:
        """Add a slot for a variable."""
        value = self.number()
        real = optimizer.real.add_slot(variable.real, name, np.float64(value))
        self.model.settle()
        if name not in optimizer.slots.get(variable, ()):
            self.model.keep_slot(optimizer, variable, name, Live("variable", real, value))
        assert real is optimizer.slots[variable][name].real

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

    def restoring(self, pick: int, rename: dict[Path, Path], *, is_kept: bool = True) -> None:
        """Restore a checkpoint on both sides."""
        path, snapshot = self.model.saved[pick]
        given = {spelled(today): spelled(older) for today, older in rename.items()}
        status = self.model.root.real.restore(path, rename=given)
        found = any(is_live(self.model.root, today) for today in rename)
        self.model.seen["a rename finds its object"] += found
        restore = self.model.restore(snapshot, rename)
        if is_kept:
            self.statuses.append((status, restore))

    # What is compared.

    def compare_names_and_values(self) -> None:
        """What stands under which name, and all values, are those of the model."""
        for live in self.model.variables():
            assert live.value == live.real.value
        for box in self.model.boxes():
            tracked = {name for name, _ in children(box)}
            assert tracked == set(box.real.trackable_children())
            assert list(box.attributes) == list(vars(box.real))
            for name in box.names():
                assert is_same(box.get(name), standing(box.real, name))
        for box in self.optimizers():
            assert list(box.slot_names) == box.real.get_slot_names()

    def compare_lives(self) -> None:
        """Objects die when they die in the model: nothing keeps them (R-13)."""
        for live, real in self.model.born:
            assert (live() is None) == (real() is None)

    def compare_a_report(self, status: Any, restore: Restore) -> None:
        """The categories of a report, and the assertions, are those of the model."""
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
