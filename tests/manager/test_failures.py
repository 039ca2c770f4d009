"""What fails on the way, and what an interrupt leaves."""

from __future__ import annotations

import errno
import warnings
from contextlib import suppress

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.checkpoint import save_checkpoint
from checkpointable.directory.latest import checkpoint_exists as exists
from checkpointable.manager import shelf
from checkpointable.manager.shelf import Shelf
from checkpointable.retention.policies import Saved
from checkpointable.storage.base import Storage
from checkpointable.storage.memory import MemoryStorage
from tests.harness.faults import Fault, FaultyStorage
from tests.harness.recording import Create, RecordingStorage, Remove, Rename, Sync
from tests.harness.wrapping import WrappedStorage
from tests.manager.managers import DIRECTORY, World

NEVER = 10**9
RULES = {
    "max_to_keep": 2,
    "keep_checkpoint_every_n_hours": 1,
    "keep_best": 1,
    "metric": "acc",
    "save_options": ckpt.SaveOptions(durable=True),
}


def prepared(fault: Fault) -> World:
    """Return a world with four saves, in which a fault is about to strike."""
    world = World(**RULES)
    world.storage = FaultyStorage(world.storage, fault)
    world.restart()
    for accuracy in (1.0, 3.0, 2.0, 1.0):
        world.clock.tick(0.5)
        world.manager.save(metrics={"acc": accuracy})
    return world


def operations_of_a_save() -> int:
    """Count the operations of the fifth save, which deletes something."""
    fault = Fault(at=NEVER, errno=errno.EIO)
    world = prepared(fault)
    before = fault.seen
    world.clock.tick(0.5)
    world.manager.save(metrics={"acc": 0.5})
    return fault.seen - before


def expected() -> list[str]:
    """Return what is there after six saves without a fault."""
    world = prepared(Fault(at=NEVER, errno=errno.EIO))
    for _ in range(2):
        world.clock.tick(0.5)
        world.manager.save(metrics={"acc": 0.5})
    return world.on_disk()


@pytest.mark.parametrize(("sticky", "interrupt"), [(False, False), (True, False), (False, True)])
def test_a_fault_at_any_operation_of_a_save(
    sticky: bool, interrupt: bool, figures: dict[str, str]
) -> None:
    """Either the save raises and nothing has changed, or it is saved, with warnings at most.

    At every moment all checkpoints that are there are whole, and what is to be kept is there; a
    manager that begins afterwards goes on, and after its next save all is as without the fault.
    """
    count, wanted = operations_of_a_save(), expected()
    outcomes = {"raised": 0, "saved": 0}
    for at in range(count):
        fault = Fault(at=NEVER, errno=errno.EIO, sticky=sticky, interrupt=interrupt)
        world = prepared(fault)
        names, plan = world.names(), str(world.manager.plan())
        world.clock.tick(0.5)
        fault.at = fault.seen + at
        path = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ckpt.CheckpointWarning)
            with suppress(ckpt.StorageError, KeyboardInterrupt):
                path = world.manager.save(metrics={"acc": 0.5})
        fault.at = NEVER
        assert fault.hit
        there = world.on_disk()
        assert {"ckpt-2", "ckpt-4"} <= {*there}
        assert [] == [n for n in there if not exists(f"run/{n}", storage=world.storage)]
        outcomes["raised" if path is None else "saved"] += 1
        if path is not None:
            assert "run/ckpt-5" == path == world.manager.latest_checkpoint
            assert 5 == world.checkpoint.save_counter.value
        elif "ckpt-5" not in there:
            assert [] == [str(w.message) for w in caught if "is saved" in str(w.message)]
            assert (names, plan) == (world.names(), str(world.manager.plan()))
            assert 4 == world.checkpoint.save_counter.value
        for _ in range(6 - int(there[-1].removeprefix("ckpt-"))):
            with warnings.catch_warnings():
                # After an interrupt the number of a finished save may be taken.
                warnings.simplefilter("ignore", ckpt.CheckpointWarning)
                world.restart()
                world.manager.save(metrics={"acc": 0.5})
            world.clock.tick(0.5)
        assert wanted == world.on_disk()
        assert "run/ckpt-6" == world.manager.latest_checkpoint
    figures[f"faults in a managed save (sticky={sticky}, interrupt={interrupt})"] = (
        f"{count} operations, {outcomes}"
    )


class WatchingStorage(WrappedStorage):
    """A storage that looks at what is there after every change of names."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.looks = 0
        self.was_there: set[str] = set()

    def rename(self, source: str, destination: str) -> None:
        super().rename(source, destination)
        self.look()

    def remove(self, path: str) -> None:
        super().remove(path)
        self.look()

    def look(self) -> None:
        names = self.inner.list_dir(DIRECTORY)
        prefixes = [n.removesuffix(".index") for n in names if n.endswith(".index")]
        whole = {n for n in prefixes if exists(f"{DIRECTORY}/{n}", storage=self.inner)}
        assert {*prefixes} == whole
        assert whole or not self.was_there
        self.was_there, self.looks = whole, self.looks + 1


def test_at_every_moment_there_is_a_whole_checkpoint() -> None:
    """With one to keep, and numbers saved again, the directory is never without one."""
    world = World(max_to_keep=1)
    watching = WatchingStorage(world.storage)
    world.storage = watching
    world.restart()
    for number in (3, 3, 1, 1, 2, 3, 3):
        world.checkpoint.x = np.full(2000, world.checkpoint.save_counter.value)
        world.manager.save(number)
        assert {f"ckpt-{number}"} == watching.was_there
    assert watching.looks > 30


def test_a_state_file_that_cannot_be_written_is_told() -> None:
    """What stands in its way is named; the checkpoint counts, and old ones are deleted."""
    world = World(max_to_keep=1)
    world.storage.make_dirs(f"{DIRECTORY}/checkpoint", durable=False)
    for number in (1, 2):
        with pytest.warns(ckpt.CheckpointWarning, match="state file"):
            assert f"run/ckpt-{number}" == world.manager.save()
    assert ["ckpt-2"] == world.on_disk() == world.names()


def test_without_a_record_nothing_is_deleted() -> None:
    """While `NAME.manager` cannot be written, a warning says so and everything stays."""
    world = World(max_to_keep=1)
    first = world.manager.save()
    assert first is not None
    world.manager.pin(first)
    world.remove("ckpt.manager")
    world.storage.make_dirs(f"{DIRECTORY}/ckpt.manager", durable=False)
    with pytest.warns(ckpt.CheckpointWarning, match="nothing was deleted"):
        world.manager.save(pin=True)
    for _ in range(2):
        with pytest.warns(ckpt.CheckpointWarning, match="nothing was deleted"):
            world.manager.save()
    assert ["ckpt-1", "ckpt-2", "ckpt-3", "ckpt-4"] == world.on_disk()
    with pytest.raises(ckpt.StorageError, match=r"ckpt\.manager"):
        world.manager.unpin(1)
    assert "pinned" in str(world.manager.plan()).splitlines()[0]


def test_what_was_saved_is_there_whatever_the_disk_says() -> None:
    """A checkpoint whose file could not be looked at right after the save still counts."""
    shelf = Shelf(MemoryStorage(), "run/ckpt")
    shelf.put(Saved("run/ckpt-3", 1.0))
    assert frozenset({"run/ckpt-3"}) == shelf.present()


def test_a_save_is_carried_out_in_order() -> None:
    """Checkpoint, record (synced before it has its name), state file; and then what goes."""
    storage = RecordingStorage()
    world = World(max_to_keep=1)
    world.storage = storage
    world.restart()
    first = world.manager.save()
    assert first is not None
    storage.log.clear()
    world.manager.save(pin=True)
    files = {op.file: op.path for op in storage.log if isinstance(op, Create)}
    told = []
    for op in storage.log:
        if isinstance(op, Rename) and "data" not in op.destination:
            told.append(op.destination)
        elif isinstance(op, Sync) and ".manager." in files[op.file]:
            told.append("sync of the record")
        elif isinstance(op, Remove) and op.path.endswith(".index"):
            told.append(f"- {op.path}")
    names = [name.replace("/run/", "").replace("run/", "") for name in told]
    assert [
        "ckpt-2.index",
        "sync of the record",
        "ckpt.manager",
        "checkpoint",
        "- ckpt-1.index",
    ] == (names)


def test_what_is_replaced_during_a_save_is_left_alone() -> None:
    """What somebody else writes under an old number while a save goes on is not deleted."""
    world = World(max_to_keep=1)
    world.manager.save()

    class Meddling(ckpt.PythonState):
        def serialize(self) -> bytes:
            options = ckpt.SaveOptions()
            other = ckpt.Checkpoint(x=77)
            path = f"{DIRECTORY}/ckpt-1"
            save_checkpoint(other, path, options, numbered=False, storage=world.storage)
            return b""

        def deserialize(self, serialized: bytes) -> None: ...

    world.checkpoint.meddling = Meddling()
    world.manager.save()
    assert ["ckpt-1", "ckpt-2"] == world.on_disk()
    assert ["ckpt-2"] == world.names()


def test_what_cannot_be_saved_changes_nothing() -> None:
    """An object that no checkpoint can hold is an error; numbers, list and files stay."""
    world = World()
    world.manager.save()
    before = world.storage.list_dir(DIRECTORY)
    bad: list[object] = [1]
    world.checkpoint.bad = bad
    bad.append(object())
    with pytest.raises(ckpt.NotCheckpointableError, match="bad"):
        world.manager.save()
    assert before == world.storage.list_dir(DIRECTORY)
    assert ["ckpt-1"] == world.names()
    bad.pop()
    assert "run/ckpt-2" == world.manager.save()


def test_an_interrupted_save_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint whose save was interrupted after the commit is deleted in its turn."""
    world = World(max_to_keep=1)
    world.manager.save()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "record_saved", interrupt)
        with pytest.raises(KeyboardInterrupt):
            world.manager.save()
    assert ["ckpt-1", "ckpt-2"] == world.on_disk()
    world.manager.save()
    assert ["ckpt-3"] == world.on_disk()


def test_what_is_removed_at_once_is_no_error() -> None:
    """Where somebody removes the only checkpoint right after its commit, the save still ends."""

    class Removing(WrappedStorage):
        def rename(self, source: str, destination: str) -> None:
            super().rename(source, destination)
            if destination.endswith("ckpt-1.index"):
                super().remove(destination)

    checkpoint, storage = ckpt.Checkpoint(step=1), Removing(MemoryStorage())
    manager = ckpt.CheckpointManager(checkpoint, DIRECTORY, max_to_keep=1, storage=storage)
    assert f"{DIRECTORY}/ckpt-1" == manager.save()
    assert [] == manager.checkpoints
    assert f"{DIRECTORY}/ckpt-2" == manager.save()
    assert [f"{DIRECTORY}/ckpt-2"] == manager.checkpoints
