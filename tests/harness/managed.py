"""Histories of managed directories: what was saved and told, and what a crash may leave of it.

The expectation is made here, from lists of values and the plainest words for what is kept: nothing
of the manager's own reckoning is used.
"""

from __future__ import annotations

import posixpath
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import numpy as np

import checkpointable as ckpt
from checkpointable.bundle.files import FileKind, read_name
from checkpointable.directory.latest import latest_checkpoint
from checkpointable.directory.state_file import decode_state
from checkpointable.errors import CheckpointError, CheckpointWarning
from checkpointable.interop.opening import open_checkpoint
from checkpointable.storage.base import TEMPORARY_SUFFIX, Storage, read_all
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.recording import (
    Killed,
    Operation,
    Recording,
    RecordingStorage,
    Remove,
    Rename,
    Started,
    Told,
    Write,
)
from tests.harness.workloads import no_watch

#: Files that no manager of "ckpt" may touch.
STRANGERS: Mapping[str, bytes] = {
    "/run/notes.txt": b"mine",
    "/run/ckpt.txt": b"mine too",
    "/run/other.manager": b"of another name",
    "/run/other-1.index": b"of another name",
}

START = 3_600_000.0
HOUR = 3600.0
LAST = 99  # the value of the save after a crash
_TEMPORARY = (FileKind.COMMIT_TEMPORARY, FileKind.SHARD_TEMPORARY)

#: Which of these values, the oldest first, are kept if those are to stay.
Rule = Callable[[Sequence[int], Collection[int]], set[int]]


@attrs.frozen
class Save:
    """A save of a value, so many hours after the start."""

    value: int
    accuracy: float = 0.0
    pin: bool = False
    hours: float = 0.0


@attrs.frozen
class Kill:
    """The manager's process dies in a save, after so many operations; another one begins."""

    save: Save
    operations: int


@attrs.frozen
class History:
    """What a manager, or several one after the other, do in a directory.

    Attributes:
        name: what it is called in reports.
        arguments: of the manager.
        rule: says what is kept.
        prepared: the saves before the recording, by a manager that was closed.
        recorded: the saves of a manager that begins with the recording.
        staying: what is pinned or kept for good, once the save of another value is told.
        certain: whether the rule says exactly what is kept, whatever was lost in a crash; if not,
            more may be kept.
    """

    name: str
    arguments: Mapping[str, Any]
    rule: Rule
    prepared: Sequence[Save]
    recorded: Sequence[Save | Kill]
    staying: Mapping[int, int] = attrs.field(factory=dict)
    certain: bool = True

    def stay(self, told: Collection[int]) -> set[int]:
        """Return what stays for sure once these were told."""
        return {value for value, since in self.staying.items() if since in told}


@attrs.frozen
class Run:
    """A history that has happened.

    Attributes:
        history: the history.
        storage: what was recorded.
        before: for each value that was saved, those that were in the directory before.
        told: the values of the prepared saves that are still there.
        plans: by the values in the directory after a save: what the manager decides about them.
    """

    history: History
    storage: RecordingStorage
    before: Mapping[int, Sequence[int]]
    told: frozenset[int]
    plans: Mapping[frozenset[int], Sequence[Any]]


@attrs.frozen
class Aftermath:
    """What is found on a disk, and what a new manager makes of it.

    Attributes:
        values: those whose checkpoints are visible.
        planned: those that a new manager would keep.
        decisions: its decisions.
        after: those that are visible after it has saved once more.
        broken: the promises that the image breaks, whatever was told.
    """

    values: frozenset[int]
    planned: frozenset[int] = frozenset()
    decisions: Sequence[Any] = ()
    after: frozenset[int] = frozenset()
    broken: Sequence[str] = ()


class _Clock:
    """The time that a history has reached."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def run(history: History, wrap: Callable[[Storage], Storage] = lambda storage: storage) -> Run:
    """Let a history happen, its recorded part through `wrap(storage)`, which may be a mutant."""
    with no_watch(), _quiet():
        prepared = RecordingStorage(DiskImage(dict(STRANGERS)))
        _play(history, history.prepared, prepared, prepared)
    storage = RecordingStorage(prepared.memory.image())
    told = frozenset(_visible(prepared.memory)[0].values())
    with _quiet():
        before, plans = _play(history, history.recorded, storage, wrap(storage))
    return Run(history, storage, before, told, plans)


def alike(image: DiskImage) -> DiskImage:
    """Return an image that differs in nothing that a reader looks at.

    All that is damaged in a state file is the same, and nobody reads what a temporary holds.
    """
    files = dict(image.files)
    for path, data in files.items():
        is_damaged = path == "/run/checkpoint" and decode_state(data) is None
        if is_damaged or path.endswith(TEMPORARY_SUFFIX):
            files[path] = b""
    return DiskImage(files, image.directories)


def look(image: DiskImage, history: History) -> Aftermath:
    """Begin anew on what a crash has left: look at everything, restore, and save once more."""
    disk = MemoryStorage(image)
    found, broken = _visible(disk)
    if broken:
        return Aftermath(frozenset(found.values()), broken=broken)
    with _quiet():
        return _begin_anew(disk, found, history)


def faults(aftermath: Aftermath, log: Sequence[Operation], run: Run) -> list[str]:
    """Return each promise that is broken, given what had happened by then."""
    told = [*sorted(run.told), *(mark.value for mark in log if isinstance(mark, Told))]
    started = [mark.value for mark in log if isinstance(mark, Started)]
    history = run.history
    found = list(aftermath.broken)
    strange = aftermath.values - {*told, *started}
    if strange:
        found.append(f"D-4: {sorted(strange)} were never saved")
    newest = told[-1] if told else None
    kept = _kept_by(run, newest, told[:-1]) if newest else set()
    later = [value for value in started if newest is None or value > newest]
    for value in (kept & {*told}) - aftermath.values:
        # Only a newer save that is itself durable may have led to its removal.
        removers = [c for c in later if c in aftermath.values]
        if all(value in _kept_by(run, remover, []) for remover in removers):
            found.append(f"D-3: {value} is lost, told {told}, {sorted(aftermath.values)} are there")
    if not aftermath.broken:
        found += _wrong_decisions(aftermath, run, history.stay(told))
    return found


def _kept_by(run: Run, value: int, otherwise: Sequence[int]) -> set[int]:
    """Return what is kept once a value is saved."""
    stays = run.history.stay(range(value + 1))
    return run.history.rule([*run.before.get(value, otherwise), value], stays)


def _wrong_decisions(aftermath: Aftermath, run: Run, stays: Collection[int]) -> Iterator[str]:
    """Compare what a new manager decides with the rule, and with what an old one decided."""
    rule, certain, may_stay = run.history.rule, run.history.certain, run.history.staying.keys()
    values = sorted(aftermath.values)
    for what, these, kept in (
        ("plans to keep", values, aftermath.planned),
        ("keeps after the next save", [*values, LAST], aftermath.after),
    ):
        least, most = rule(these, stays), rule(these, may_stay) if certain else {*these}
        if not least <= kept <= most:
            yield (
                f"the manager {what} {sorted(kept)} of {these}, expected {sorted(least)} to"
                f" {sorted(most)}"
            )
    plan = run.plans.get(aftermath.values)
    is_sure = {*values} & may_stay <= {*stays}
    if plan is not None and certain and is_sure and plan != aftermath.decisions:
        yield f"the plan is {aftermath.decisions}, without a crash it is {plan}"


def order_faults(recording: Recording) -> list[str]:
    """Return where a checkpoint is removed while the state file lists it."""
    found: list[str] = []
    contents: dict[int, bytes] = {}
    listed = recording.before.files.get("/run/checkpoint", b"")
    for operation in recording.log:
        if isinstance(operation, Write):
            contents[operation.file] = contents.get(operation.file, b"") + operation.data
        elif isinstance(operation, Rename) and operation.destination == "/run/checkpoint":
            listed = contents[operation.file]
        elif isinstance(operation, Remove) and operation.path.endswith(".index"):
            name = posixpath.basename(operation.path).removesuffix(".index")
            if f'"{name}"'.encode() in listed:
                found.append(f"{name} is removed while the state file lists it")
    return found


def _play(
    history: History,
    steps: Sequence[Save | Kill],
    storage: RecordingStorage,
    through: Storage,
) -> tuple[dict[int, list[int]], dict[frozenset[int], Sequence[Any]]]:
    clock = _Clock()
    checkpoint = _checkpoint(0)
    manager = _manager(history, checkpoint, through, clock)
    before: dict[int, list[int]] = {}
    plans: dict[frozenset[int], Sequence[Any]] = {}
    for step in steps:
        save = step.save if isinstance(step, Kill) else step
        before[save.value] = sorted(_visible(storage.memory)[0].values())
        clock.now = START + save.hours * HOUR
        storage.log.append(Started(save.value, True))
        if isinstance(step, Kill):
            storage.kill_after(step.operations)
            with suppress(Killed):
                _save(manager, checkpoint, save)
            storage.revive()
            manager = _manager(history, checkpoint, through, clock)
            continue
        path = _save(manager, checkpoint, save)
        storage.log.append(Told(save.value, path))
        plans[frozenset(_visible(storage.memory)[0].values())] = manager.plan().decisions
    manager.close()
    return before, plans


def _begin_anew(disk: MemoryStorage, found: Mapping[str, int], history: History) -> Aftermath:
    clock = _Clock()
    clock.now += max((save.hours for save in _saves(history)), default=0) * HOUR
    checkpoint = _checkpoint(-1)
    broken: list[str] = []
    with _manager(history, checkpoint, disk, clock) as manager:
        plan = manager.plan()
        status = manager.restore_latest()
        if found:
            status.assert_consumed()
        restored = _value(checkpoint)
        if restored != max(found.values(), default=-1):
            broken.append(f"D-5: {restored} is restored, {sorted(found.values())} are there")
        newest = _save(manager, checkpoint, Save(LAST, hours=clock.now / HOUR))
        broken += _left_over(disk)
        if latest_checkpoint("/run", storage=disk) != newest:
            broken.append(f"D-5: the latest checkpoint is not {newest}, which was just saved")
    after, damaged = _visible(disk)
    return Aftermath(
        values=frozenset(found.values()),
        planned=frozenset(found[path] for path in plan.kept if path in found),
        decisions=plan.decisions,
        after=frozenset(after.values()),
        broken=[*broken, *damaged],
    )


def _visible(disk: MemoryStorage) -> tuple[dict[str, int], list[str]]:
    """Return the value of every checkpoint of "ckpt" that is visible, and what does not verify."""
    values: dict[str, int] = {}
    broken: list[str] = []
    for path in disk.image().files:
        prefix = path.removesuffix(".index")
        if not path.endswith(".index") or not prefix.startswith("/run/ckpt-"):
            continue
        try:
            source = open_checkpoint(disk, prefix)
            try:
                broken += [f"D-1: {prefix} does not verify: {f}" for f in source.verify()]
                values[prefix] = int(source.metadata["value"])
            finally:
                source.close()
        except CheckpointError as error:
            broken.append(f"D-1: {prefix} is visible and cannot be opened: {error}")
    return values, broken


def _left_over(disk: MemoryStorage) -> Iterator[str]:
    for path in disk.image().files:
        kind = read_name(posixpath.basename(path)).kind
        # One of the record stays until the record is written the next time.
        if kind in _TEMPORARY and not path.startswith("/run/ckpt.manager."):
            yield f"I-9: {path}, a leftover, is still there"
    for path, data in STRANGERS.items():
        if read_all(disk, path) != data:
            yield f"I-9: {path}, a stranger, is not as it was"


def _manager(
    history: History, checkpoint: ckpt.Checkpoint, storage: Storage, clock: _Clock
) -> ckpt.CheckpointManager:
    return ckpt.CheckpointManager(
        checkpoint, "/run", storage=storage, clock=clock, **history.arguments
    )


def _save(manager: ckpt.CheckpointManager, checkpoint: ckpt.Checkpoint, save: Save) -> str:
    checkpoint.left[:] = save.value
    checkpoint.right[:] = save.value
    path = manager.save(
        metrics={"accuracy": save.accuracy},
        pin=save.pin,
        options=ckpt.SaveOptions(metadata={"value": save.value}),
    )
    if path is None:
        raise AssertionError("the manager did not save")
    return path


def _checkpoint(value: int) -> ckpt.Checkpoint:
    return ckpt.Checkpoint(left=np.full(20, value), right=np.full(20, value))


def _value(checkpoint: ckpt.Checkpoint) -> int:
    """Return the value of a checkpoint, of which every element must be the same."""
    values = {*checkpoint.left.tolist(), *checkpoint.right.tolist()}
    if len(values) != 1:
        raise AssertionError(f"D-4: {values} were restored from one checkpoint")
    value: int = values.pop()
    return value


def _saves(history: History) -> list[Save]:
    steps = [*history.prepared, *history.recorded]
    return [step.save if isinstance(step, Kill) else step for step in steps]


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop the warnings of the library: crashes give many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        yield
