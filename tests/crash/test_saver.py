"""`Saver` crashed everywhere: while it saves, writes the state file and deletes, and after that."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest

import checkpointable as ckpt
from checkpointable.directory.latest import latest_checkpoint
from checkpointable.directory.state_file import read_state
from checkpointable.interop.opening import open_checkpoint
from checkpointable.storage.base import Storage
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.checks import visible_prefixes
from tests.harness.crash import Model, crashes
from tests.harness.mutants import WithoutAnySync
from tests.harness.recording import Operation, RecordingStorage, Started, Told
from tests.harness.workloads import no_watch

NOTES = {"/run/notes.txt": b"mine", "/run/other-1.index": b"of another library"}


def saver(storage: Storage, array: npt.NDArray[np.int64], keep: int = 1) -> ckpt.Saver:
    """A new program: a Saver of one array."""
    return ckpt.Saver({"value": array}, max_to_keep=keep, storage=storage)


#: Programs, one after the other: how many checkpoints each keeps, and how many it saves.
PROGRAMS = ((1, 2), (1, 1))
MORE_PROGRAMS = ((1, 2), (2, 2), (1, 1))


def record(
    programs: Sequence[tuple[int, int]],
    wrap: Callable[[Storage], Storage] = lambda storage: storage,
) -> RecordingStorage:
    """Record what some programs save."""
    storage = RecordingStorage(DiskImage(NOTES))
    value = 0
    for keep, saves in programs:
        array = np.zeros(3, np.int64)
        program = saver(wrap(storage), array, keep)
        for _ in range(saves):
            value += 1
            array[:] = value
            storage.log.append(Started(value, durable=True))
            path = program.save(None, "/run/m", global_step=value)
            storage.log.append(Told(value, str(path)))
    return storage


def load(disk: Storage, path: str) -> int:
    """The value of a checkpoint, every byte of it verified."""
    source = open_checkpoint(disk, path)
    try:
        if source.verify():
            raise ckpt.CorruptCheckpointError(f"{path} is visible and does not verify")
        (value,) = {*source.read(0).tolist()}
    finally:
        source.close()
    return int(value)


def faults(image: DiskImage, log: list[Operation]) -> Iterator[str]:
    """Yield each promise that an image breaks, given what had happened by then."""
    disk = MemoryStorage(image)
    told = [mark.value for mark in log if isinstance(mark, Told)]
    visible = visible_prefixes(disk) - {"/run/other-1", *NOTES, "/run/checkpoint"}
    for path in visible:
        if f"/run/m-{load(disk, path)}" != path:
            yield f"{path} holds {load(disk, path)}"
    newest = latest_checkpoint("/run", storage=disk)
    if told and (newest is None or load(disk, newest) < told[-1]):
        yield f"{newest} is the newest, though {told[-1]} was told"
    state = read_state(disk, "/run")
    listed = {f"/run/{p}" for p in state.all_model_checkpoint_paths} if state else set()
    restarted = saver(disk, np.full(3, 9))
    restarted.save(None, "/run/m", global_step=9)
    expected = {"/run/m-9", *(visible - listed)}
    if visible_prefixes(disk) - {"/run/other-1", *NOTES, "/run/checkpoint"} != expected:
        yield f"after a restart there is {visible_prefixes(disk)}, expected {expected}"
    if load(disk, "/run/m-9") != 9 or disk.image().files.items() < NOTES.items():
        yield "the next save harms something"


def examine(storage: RecordingStorage, models: Iterable[Model]) -> Iterator[list[str]]:
    """Yield the broken promises of every aftermath of every crash of a recording."""
    known: dict[tuple[frozenset[tuple[str, bytes]], int], list[str]] = {}
    for model in models:
        for crash in crashes(storage.recording(), model):
            log = list(storage.log[: crash.after])
            told = sum(isinstance(mark, Told) for mark in log)
            key = frozenset(crash.image.files.items()), told
            if key not in known:
                known[key] = _look(crash.image, log)
            yield [f"{model.value}, after {crash.after}: {fault}" for fault in known[key]]


def _look(image: DiskImage, log: list[Operation]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ckpt.CheckpointWarning)
        try:
            return list(faults(image, log))
        except ckpt.CheckpointError as error:
            return [str(error)]


@pytest.mark.parametrize(
    ("programs", "models"),
    [
        (PROGRAMS, [Model.ORDERED]),
        pytest.param(PROGRAMS, [Model.WEAK], marks=pytest.mark.campaign),
        pytest.param(MORE_PROGRAMS, [Model.ORDERED], marks=pytest.mark.campaign),
    ],
    ids=["two programs", "two programs, weak", "three programs"],
)
def test_no_crash_breaks_a_promise(
    figures: dict[str, str], programs: Sequence[tuple[int, int]], models: list[Model]
) -> None:
    """What was told is there, or a later one; a restart keeps and deletes what it should."""
    found = list(examine(record(programs), models))
    bad = [fault for faults in found for fault in faults]
    name = f"crash images, Saver, {len(programs)} programs, {models[0].value}"
    figures[name] = f"{len(found):,} ({len(bad)} bad)"
    assert bad == []


def test_a_saver_without_syncs_is_caught() -> None:
    """The checks see what they are made to see."""
    with no_watch():
        storage = record(PROGRAMS, WithoutAnySync)
    assert any(examine(storage, [Model.ORDERED]))
