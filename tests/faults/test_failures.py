"""Every operation of a save fails once, or from then on: nothing that was complete is harmed."""

from __future__ import annotations

import errno
import itertools
import warnings
from collections.abc import Callable, Iterator

import pytest

from checkpointable.errors import CheckpointWarning, StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.driving import RawDriver
from tests.harness.faults import Fault, FaultyStorage
from tests.harness.mutants import SyncFailureIgnored
from tests.harness.recording import RecordingStorage
from tests.harness.watcher import breaches
from tests.harness.workloads import FORMATS, no_watch, save_value
from tests.harness.wrapping import WrappedStorage

ERRORS = (
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    *(errno.EACCES, errno.ENOENT, errno.ESTALE, errno.EMFILE),
)
#: Before and during the save: the format that stands there, and the one that is written.
PAIRS = [
    *(("native", "native"), ("one file", "one file"), ("native", "one file")),
    *(("one file", "native"), ("tensorflow", "tensorflow"), ("native", "tensorflow")),
    *(("tensorflow", "safetensors"), ("safetensors", "native")),
]
PREFIX = "/run/ckpt"
LEFTOVER = "0123456789abcdef"


def _disk_with_old(driver: RawDriver, old: str) -> DiskImage:
    """Return a disk with an old checkpoint and a leftover of a dead writer."""
    storage = MemoryStorage()
    driver.save(storage, PREFIX, 1, SaveOptions(**FORMATS[old]))
    storage.create(f"/run/ckpt.data-00000.{LEFTOVER}.tmp").close()
    return storage.image()


def _fail_everywhere(
    make_fault: Callable[[int], Fault], *, old: str, new: str
) -> Iterator[tuple[Fault, RecordingStorage, BaseException | None]]:
    """Overwrite a checkpoint again and again, each time with a later operation failing."""
    driver = RawDriver()
    image = _disk_with_old(driver, old)
    for at in itertools.count():
        fault = make_fault(at)
        storage = RecordingStorage(image, between=lambda inner, f=fault: FaultyStorage(inner, f))
        error: BaseException | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            try:
                driver.save(storage, PREFIX, 2, SaveOptions(**FORMATS[new]))
            except (StorageError, KeyboardInterrupt) as raised:
                error = raised
        if not fault.hit:
            return
        yield fault, storage, error


def _check_old_or_new(storage: RecordingStorage, error: BaseException | None, *, new: str) -> None:
    """Check that a whole checkpoint is there, and that the next save works."""
    driver = RawDriver()
    assert driver.load(storage.memory, PREFIX) in ({2} if error is None else {1, 2})
    driver.save(storage.memory, PREFIX, 3, SaveOptions(**FORMATS[new]))
    assert driver.load(storage.memory, PREFIX) == 3
    assert _temporaries(storage.memory) == []


def _temporaries(storage: MemoryStorage) -> list[str]:
    paths = storage.image().files
    return [path for path in paths if path.endswith(".tmp")]


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_each_failing_operation_leaves_old_or_new(
    figures: dict[str, str], old: str, new: str, sticky: bool
) -> None:
    """Whichever operation fails, the old or the new checkpoint is there, and can be replaced."""
    runs = 0
    for number in ERRORS:
        for fault, storage, error in _fail_everywhere(
            lambda at, number=number: Fault(at, number, sticky), old=old, new=new
        ):
            runs += 1
            if error is not None:
                assert isinstance(error, StorageError)
                assert (error.errno, bool(error.filename)) == (fault.errno, True)
            _check_old_or_new(storage, error, new=new)
    count = int(figures.get("faults injected", "0").replace(",", ""))
    figures["faults injected"] = f"{count + runs:,}"


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_an_interrupt_leaves_old_or_new(old: str, new: str) -> None:
    """Ctrl-C at any operation leaves the old checkpoint or the new one, and no lock behind."""
    for _, storage, error in _fail_everywhere(
        lambda at: Fault(at, errno.EINTR, interrupt=True), old=old, new=new
    ):
        _check_old_or_new(storage, error, new=new)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_one_failure_leaves_no_temporaries(old: str, new: str) -> None:
    """After one failing operation, if it is not a removal, no temporary of the save is left."""
    for fault, storage, _ in _fail_everywhere(lambda at: Fault(at, errno.EIO), old=old, new=new):
        if fault.hit != "remove":
            left = [path for path in _temporaries(storage.memory) if LEFTOVER not in path]
            assert left == [], fault


def test_a_file_whose_sync_failed_is_abandoned() -> None:
    """After a failed sync nothing is written to the file, and it is neither synced nor renamed."""
    hits = 0
    for fault, storage, error in _fail_everywhere(
        lambda at: Fault(at, errno.EIO), old="native", new="native"
    ):
        if fault.hit == "sync":
            hits += 1
            assert isinstance(error, StorageError)
            assert breaches(storage.log) == []
    assert hits == 3  # two shards and the index


@pytest.mark.filterwarnings("ignore::checkpointable.CheckpointWarning")
@pytest.mark.parametrize("interrupt", [False, True])
def test_a_failure_leaves_no_shard_without_token(interrupt: bool) -> None:
    """Nobody could tell later whose it is, so it goes at once: no number is used up by it."""
    options = SaveOptions(format="tensorflow")
    for at in itertools.count():
        fault = Fault(at, errno.EIO, interrupt=interrupt)
        disk = MemoryStorage()
        try:
            RawDriver().save(FaultyStorage(disk, fault), PREFIX, 1, options, numbered=True)
        except (StorageError, KeyboardInterrupt):
            names = disk.list_dir("/run")
            assert "ckpt-1.index" in names or names == [], fault
        if not fault.hit:
            break


def test_a_sync_that_is_tried_again_is_noticed() -> None:
    """The order watcher sees a program that syncs a file again after its sync failed."""
    found: list[str] = []
    with no_watch():
        for at in range(30):
            storage = RecordingStorage(
                between=lambda inner, at=at: FaultyStorage(inner, Fault(at, errno.EIO))
            )
            save_value(RawDriver(), storage, SyncFailureIgnored(storage), 1)
            found += breaches(storage.log)
    assert {breach[:3] for breach in found} == {"D-7"}


class _KeepsShards(WrappedStorage):
    """A storage from which no named shard can be removed."""

    def remove(self, path: str) -> None:
        if ".data-" in path and not path.endswith(".tmp"):
            raise StorageError(f"{path}: could not remove", errno=errno.EACCES, path=path)
        super().remove(path)


def test_a_failure_after_the_commit_point_is_a_warning() -> None:
    """Where only the removal of old files fails, the save has succeeded and says what is left."""
    driver = RawDriver()
    storage = MemoryStorage(_disk_with_old(driver, "native"))
    with pytest.warns(CheckpointWarning, match="is saved, but files that it replaced"):
        driver.save(_KeepsShards(storage), PREFIX, 2, SaveOptions())
    assert driver.load(storage, PREFIX) == 2


def test_leftovers_that_stay_are_a_warning() -> None:
    """Where leftovers cannot be removed, the save works all the same and names them."""
    driver = RawDriver()
    storage = MemoryStorage(DiskImage({"/run/ckpt.data-00000-of-00001.00112233445566aa": b""}))
    with pytest.warns(CheckpointWarning, match="files that a dead writer left"):
        driver.save(_KeepsShards(storage), "/run/ckpt-1", 2, SaveOptions())
    assert driver.load(storage, "/run/ckpt-1") == 2
