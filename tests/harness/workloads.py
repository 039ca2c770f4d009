"""The situations in which saves are crashed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import permutations
from typing import Any

import attrs

from checkpointable.bundle import files
from checkpointable.errors import CheckpointError, CheckpointWarning
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage, WritableFile
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.driving import Driver
from tests.harness.recording import Failed, Killed, RecordingStorage, Started, Told
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

#: After how many operations a first writer dies, by default: between the renames of its shards,
#: and right after the commit point, if there are two shards.
KILLS = (10, 13)


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

    def record(
        self, driver: Driver, wrap: Callable[[Storage], Storage]
    ) -> tuple[MemoryStorage, RecordingStorage]:
        """Run it, the driver saving through `wrap(storage)`, which may be a mutant.

        Returns:
            The disk as it was at first, and the storage with the recording.
        """
        with no_watch():
            first = RecordingStorage(DiskImage(dict(STRANGERS)))
            self.prepare(driver, first)
        storage = RecordingStorage(first.memory.image())
        self.run(driver, storage, wrap(storage))
        return first.memory, storage


def save_value(
    driver: Driver,
    storage: RecordingStorage,
    through: Storage,
    value: int,
    *,
    numbered: bool = False,
    prefix: str = PREFIX,
    **fields: Any,
) -> str | None:
    """Save and put in the log what the caller is told; `None` if it failed."""
    options = SaveOptions(**fields)
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


def _prepared(*values: int, **fields: Any) -> Callable[[Driver, RecordingStorage], None]:
    def prepare(driver: Driver, storage: RecordingStorage) -> None:
        for value in values:
            save_value(driver, storage, storage, value, **fields)

    return prepare


def _saved(*values: int, **fields: Any) -> Callable[[Driver, RecordingStorage, Storage], None]:
    def run(driver: Driver, storage: RecordingStorage, through: Storage) -> None:
        for value in values:
            save_value(driver, storage, through, value, **fields)

    return run


def _leave_leftovers(value: int, operations: int, **fields: Any) -> Callable[..., None]:
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
    **fields: Any,
) -> None:
    storage.kill_after(operations)
    with suppress(Killed):
        save_value(driver, storage, through, value, **fields)
    storage.revive()


def _killed_then_saved(operations: int, **fields: Any) -> Callable[..., None]:
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
    found = [
        Workload("deep directory", _nothing, _saved(11, prefix="/run/a/b/ckpt")),
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
    ]
    return found + [workload for kill in kills for workload in deaths(kill)]


def prepare_hidden(driver: Driver, storage: RecordingStorage) -> None:
    """Leave an index that hides older checkpoints of the other forms, as dead writers do."""
    hidden: dict[str, bytes] = {}
    for value, fields in ((1, {"single_file": True}), (2, {"format": "safetensors"})):
        save_value(driver, storage, storage, value, **fields)
        image = storage.memory.image().files
        hidden |= {p: image[p] for p in files.commit_files(PREFIX) if p in image}
    save_value(driver, storage, storage, 3)
    for path, content in hidden.items():
        file = storage.create(path)
        file.write([content])
        file.close()


#: How each form, and each format of it, is asked for.
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "native": {},
    "one file": {"single_file": True},
    "tensorflow": {"format": "tensorflow"},
    "safetensors": {"format": "safetensors"},
}


def format_workloads(kills: Sequence[int] = ()) -> list[Workload]:
    """Return the situations in which the other formats are written, and one replaces another."""
    tensorflow, safetensors = FORMATS["tensorflow"], FORMATS["safetensors"]
    found: list[Workload] = []
    for name, fields in (("tensorflow", tensorflow), ("safetensors", safetensors)):
        found += [
            Workload(f"{name}: first", _nothing, _saved(11, numbered=True, **fields)),
            Workload(f"{name}: overwrite", _prepared(1, **fields), _saved(12, **fields)),
            Workload(f"{name}: overwrite twice", _prepared(1, **fields), _saved(12, 13, **fields)),
        ]
    for old, new in permutations(FORMATS, 2):
        if {old, new} != {"native", "one file"}:
            prepare, run = _prepared(1, **FORMATS[old]), _saved(12, **FORMATS[new])
            found.append(Workload(f"{new} over {old}", prepare, run))
    for new in FORMATS:
        run = _saved(12, **FORMATS[new])
        found.append(Workload(f"{new} over hidden ones", prepare_hidden, run))
    for kill in kills:
        for name, fields in (("tensorflow", tensorflow), ("safetensors", safetensors)):
            found += [
                Workload(
                    f"{name}: over leftovers, {kill}",
                    _leave_leftovers(1, kill, **fields),
                    _saved(13, **fields),
                ),
                Workload(
                    f"{name}: killed, {kill}",
                    _prepared(1, **fields),
                    _killed_then_saved(kill, **fields),
                ),
            ]
        found += [
            Workload(
                f"killed, {new} over {old}, {kill}",
                _prepared(1, **FORMATS[old]),
                _killed_then_saved(kill, **FORMATS[new]),
            )
            for old, new in permutations(FORMATS, 2)
            if {old, new} != {"native", "one file"}
        ]
    return found


def deaths(kill: int) -> list[Workload]:
    """Return the situations in which a first writer dies after so many operations."""
    single = {"single_file": True}
    numbered = {"numbered": True}
    return [
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


@contextmanager
def no_watch() -> Iterator[None]:
    """Keep the recordings made inside from the order watcher: mutants break its rules."""
    known = list(RecordingStorage.made)
    try:
        yield
    finally:
        RecordingStorage.made[:] = known
