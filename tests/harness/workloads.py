"""The situations in which saves are crashed, and what must hold after each crash."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import attrs

from checkpointable.bundle.files import FileKind, read_name
from checkpointable.errors import CheckpointError, CheckpointWarning
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage, WritableFile
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.crash import Crash
from tests.harness.driving import Driver
from tests.harness.recording import Failed, Killed, Operation, RecordingStorage, Started, Told
from tests.harness.wrapping import WrappedStorage

#: Files that no save of "ckpt" may touch.
STRANGERS: Mapping[str, bytes] = {
    "/run/notes.txt": b"mine",
    "/run/checkpoint": b'model_checkpoint_path: "ckpt-1"\n',
    "/run/ckpt.txt": b"mine too",
    "/run/other.index.00112233445566aa.tmp": b"of another name",
    "/run/other-1.data-00000-of-00001.00112233445566aa": b"of another name",
    "/run/ckptx.data-00000.00112233445566aa.tmp": b"of another name",
    "/run/ckpt-1.data-00000-of-00001": b"of another library: no token",
}

PREFIX = "/run/ckpt"

#: After how many operations a first writer dies, by default: in mid-write, between the renames,
#: before and after the last sync of an overwriting save with two shards.
KILLS = (3, 10, 13, 14)


@attrs.frozen
class Workload:
    """A history of saves.

    Attributes:
        name: what it is called in reports.
        prepare: brings the disk to where the recording begins.
        run: what is recorded. Both call `save_value`.
    """

    name: str
    prepare: Callable[[Driver, RecordingStorage], None]
    run: Callable[[Driver, RecordingStorage, Storage], None]


def save_value(
    driver: Driver,
    storage: RecordingStorage,
    through: Storage,
    value: int,
    *,
    numbered: bool = False,
    prefix: str = PREFIX,
    **fields: bool,
) -> str | None:
    """Save and put in the log what the caller is told; `None` if it failed."""
    options = SaveOptions(**fields)  # type: ignore[arg-type]
    storage.log.append(Started(value, options.durable))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            final = driver.save(through, prefix, value, options, numbered=numbered, counter=0)
    except CheckpointError:
        storage.log.append(Failed(value))
        return None
    storage.log.append(Told(value, final))
    return final


def _nothing(driver: Driver, storage: RecordingStorage) -> None:
    pass


def _prepared(*values: int, **fields: bool) -> Callable[[Driver, RecordingStorage], None]:
    def prepare(driver: Driver, storage: RecordingStorage) -> None:
        for value in values:
            save_value(driver, storage, storage, value, **fields)

    return prepare


def _saved(*values: int, **fields: bool) -> Callable[[Driver, RecordingStorage, Storage], None]:
    def run(driver: Driver, storage: RecordingStorage, through: Storage) -> None:
        for value in values:
            save_value(driver, storage, through, value, **fields)

    return run


def _leave_leftovers(value: int, operations: int, **fields: bool) -> Callable[..., None]:
    """Save a first checkpoint, then let a second save die after so many operations."""

    def prepare(driver: Driver, storage: RecordingStorage) -> None:
        save_value(driver, storage, storage, value, **fields)
        _die(driver, storage, storage, value + 1, operations, **fields)

    return prepare


def _die(
    driver: Driver,
    storage: RecordingStorage,
    through: Storage,
    value: int,
    operations: int,
    **fields: bool,
) -> None:
    storage.kill_after(operations)
    with suppress(Killed):
        save_value(driver, storage, through, value, **fields)
    storage.revive()


def _killed_then_saved(operations: int, **fields: bool) -> Callable[..., None]:
    """Let a save die after so many operations, then save again, all before the power cut."""

    def run(driver: Driver, storage: RecordingStorage, through: Storage) -> None:
        _die(driver, storage, through, 21, operations, **fields)
        save_value(driver, storage, through, 22, **fields)

    return run


def _two_writers(driver: Driver, storage: RecordingStorage, through: Storage) -> None:
    """Let a second save begin and end while the first one has written nothing but a shard."""
    save_value(driver, storage, _Interrupted(driver, storage, through), 31, numbered=True)


class _Interrupted(WrappedStorage):
    """Lets another save happen when the second file is created."""

    def __init__(self, driver: Driver, storage: RecordingStorage, inner: Storage) -> None:
        super().__init__(inner)
        self._driver = driver
        self._storage = storage
        self._created = 0

    def create(self, path: str) -> WritableFile:
        self._created += 1
        if self._created == 2:
            save_value(self._driver, self._storage, self.inner, 32, numbered=True)
        return super().create(path)


def workloads(kills: Sequence[int] = KILLS) -> list[Workload]:
    """Return the situations; `kills`: after how many operations a first writer dies in some."""
    single = {"single_file": True}
    numbered = {"numbered": True}
    found = [
        Workload("first save", _nothing, _saved(11, numbered=True)),
        Workload("first save, one file", _nothing, _saved(11, numbered=True, single_file=True)),
        Workload("second save", _prepared(1, numbered=True), _saved(12, numbered=True)),
        Workload("overwrite", _prepared(1), _saved(12)),
        Workload("overwrite twice", _prepared(1), _saved(12, 13)),
        Workload("overwrite with equal content", _prepared(1), _saved(1)),
        Workload("overwrite, one file", _prepared(1, **single), _saved(12, **single)),
        Workload("one file over index", _prepared(1), _saved(12, **single)),
        Workload("index over one file", _prepared(1, **single), _saved(12)),
        Workload("two writers", _nothing, _two_writers),
        Workload("deep directory", _nothing, _saved(11, prefix="/run/a/b/ckpt")),  # type: ignore[arg-type]
    ]
    for kill in kills:
        found += [
            Workload(f"over leftovers, {kill}", _leave_leftovers(1, kill), _saved(13)),
            Workload(
                f"over leftovers, numbered, {kill}",
                _leave_leftovers(1, kill, **numbered),
                _saved(13, **numbered),
            ),
            Workload(f"killed, {kill}", _prepared(1), _killed_then_saved(kill)),
            Workload(
                f"killed, numbered, {kill}",
                _prepared(1, **numbered),
                _killed_then_saved(kill, **numbered),
            ),
            Workload(
                f"killed, one file over index, {kill}",
                _prepared(1),
                _killed_then_saved(kill, **single),
            ),
        ]
    return found


def record(
    workload: Workload,
    driver: Driver,
    wrap: Callable[[Storage], Storage] = lambda storage: storage,
) -> tuple[RecordingStorage, dict[int, str]]:
    """Run a workload; return its recording and which values were safe before, and where.

    The driver saves through `wrap(storage)`, which may be a mutant.
    """
    first = RecordingStorage(DiskImage(dict(STRANGERS)))
    workload.prepare(driver, first)
    storage = RecordingStorage(first.memory.image())
    RecordingStorage.made.remove(first)
    prefixes = _visible_prefixes(first.memory)
    safe = {driver.load(first.memory, prefix): prefix for prefix in prefixes}
    workload.run(driver, storage, wrap(storage))
    return storage, safe


def faults(
    storage: RecordingStorage, safe: Mapping[int, str], driver: Driver, crash: Crash
) -> list[str]:
    """Return each promise that the aftermath breaks."""
    allowed, required = _expectations(storage.log[: crash.after], safe)
    disk = MemoryStorage(crash.image)
    found = list(_broken_files(disk, driver))
    for prefix in required:
        found += _wrong_value(disk, driver, prefix, allowed[prefix])
    for prefix in _visible_prefixes(disk) - required:
        started = {mark.value for mark in storage.log[: crash.after] if isinstance(mark, Started)}
        found += _wrong_value(disk, driver, prefix, started)
    for path, data in STRANGERS.items():
        if crash.image.files.get(path) != data:
            found.append(f"I-9: {path}, a stranger, is not as it was")
    return found or list(_broken_next_save(crash.image, driver, required))


def _expectations(
    log: list[Operation], safe: Mapping[int, str]
) -> tuple[dict[str, set[int]], set[str]]:
    """Return for each prefix the values it may hold, and which prefixes must hold one."""
    allowed: dict[str, set[int]] = {}
    for value, prefix in safe.items():
        allowed[prefix] = {value}
    running: set[int] = set()
    for mark in log:
        if isinstance(mark, Started):
            running.add(mark.value)
            for values in allowed.values():
                values.add(mark.value)
        elif isinstance(mark, Told):
            allowed[mark.prefix] = {mark.value}
    return allowed, set(allowed)


def _wrong_value(disk: Storage, driver: Driver, prefix: str, allowed: set[int]) -> Iterator[str]:
    try:
        value = driver.load(disk, prefix)
    except CheckpointError as error:
        yield f"D-3: {prefix} is lost: {error}"
        return
    if value not in allowed:
        yield f"D-4: {prefix} holds save {value}, expected one of {sorted(allowed)}"


def _visible_prefixes(disk: MemoryStorage) -> set[str]:
    return {path.removesuffix(".index") for path in _commit_files(disk)}


def _broken_files(disk: MemoryStorage, driver: Driver) -> Iterator[str]:
    for path in _commit_files(disk):
        try:
            driver.verify(disk, path)
        except CheckpointError as error:
            yield f"D-1: {path} is visible and does not verify: {error}"


def _commit_files(disk: MemoryStorage) -> list[str]:
    """Return every index, and every file named as a one-file checkpoint of ours may be."""
    found: list[str] = []
    for path in disk.image().files:
        name = read_name(path)
        if name.kind in {FileKind.INDEX, FileKind.BARE} and path not in STRANGERS:
            found.append(path)
    return found


def _broken_next_save(image: DiskImage, driver: Driver, required: set[str]) -> Iterator[str]:
    """Save once more on the aftermath: it must work, and leave neither leftovers nor damage."""
    storage = RecordingStorage(image)
    before = {prefix: driver.load(storage, prefix) for prefix in required if prefix != PREFIX}
    final = save_value(driver, storage, storage, 99, numbered=True)
    RecordingStorage.made.remove(storage)
    if final is None or driver.load(storage, final) != 99:
        yield "I-10: the next save does not work"
    for prefix, value in before.items():
        yield from _wrong_value(storage, driver, prefix, {value})
    yield from _broken_files(storage.memory, driver)
    files = storage.memory.image().files
    for path in files:
        name = read_name(path.rpartition("/")[2])
        temporary = name.kind in {FileKind.COMMIT_TEMPORARY, FileKind.SHARD_TEMPORARY}
        if temporary and name.prefix.partition("-")[0] == "ckpt" and path.startswith("/run/ckpt"):
            yield f"I-9: {path}, a leftover, is still there"
    for path, data in STRANGERS.items():
        if files.get(path) != data:
            yield f"I-9: {path}, a stranger, was touched"


@contextmanager
def no_watch() -> Iterator[None]:
    """Keep the recordings made inside from the order watcher: mutants break its rules."""
    known = list(RecordingStorage.made)
    try:
        yield
    finally:
        RecordingStorage.made[:] = known
