"""The newest checkpoint of a directory, whatever its state file says and whatever is damaged."""

from __future__ import annotations

import errno
import os
import posixpath
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

import checkpointable as ckpt
from checkpointable.directory.latest import (
    Newest,
    checkpoint_exists,
    find_newest,
    get_checkpoint_mtimes,
    latest_checkpoint,
    open_resolved,
    resolve,
)
from checkpointable.directory.numbers import candidates, numbered_checkpoints
from checkpointable.directory.removal import remove_checkpoints
from checkpointable.directory.state_file import CheckpointState, record_latest, write_state
from checkpointable.errors import CheckpointNotFoundError, CheckpointWarning, StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.base import ReadableFile
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.bundles import BundleDriver
from tests.harness.wrapping import WrappedStorage

DRIVER = BundleDriver(shards=2, shard_bytes=100)
OPTIONS = SaveOptions(durable=False)
SINGLE = SaveOptions(durable=False, single_file=True)


def _save(directory: Path, name: str, mtime: int, options: SaveOptions = OPTIONS) -> None:
    """Save a checkpoint whose commit file was written at a given time."""
    DRIVER.save(LOCAL, str(directory / name), 1, options)
    os.utime(directory / (name if options.single_file else f"{name}.index"), (mtime, mtime))


def _latest(directory: Path, says: str | None = None) -> str | None:
    """Return the latest; `says`: what the one warning must match, if there is to be one."""
    with pytest.warns(CheckpointWarning, match=says) if says else nullcontext() as warned:
        found = latest_checkpoint(directory)
    assert warned is None or len(warned) == 1
    return None if found is None else str(Path(found).relative_to(directory))


def test_nothing_is_none(tmp_path: Path) -> None:
    """No directory, an empty one, a file, or a directory without checkpoints: there is none."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "odd.index").write_text("text")
    (tmp_path / "dir.index").mkdir()
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.index")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "file", tmp_path / "file" / "x"):
        assert latest_checkpoint(path) is None


def test_the_state_file_decides(tmp_path: Path) -> None:
    """What the state file names is the latest, also an older number that was written later."""
    _save(tmp_path, "ckpt-7", mtime=100)
    _save(tmp_path, "ckpt-3", mtime=200)
    _save(tmp_path, "best", mtime=300)
    record_latest(LOCAL, str(tmp_path / "ckpt-3"))
    assert _latest(tmp_path) == "ckpt-3"


def test_a_copy_that_mixed_up_the_times_is_read_rightly(tmp_path: Path) -> None:
    """A lower number that seems to be written later does not beat what the state file names."""
    _save(tmp_path, "ckpt-10", mtime=100)
    _save(tmp_path, "ckpt-9", mtime=200)
    record_latest(LOCAL, str(tmp_path / "ckpt-10"))
    assert _latest(tmp_path) == "ckpt-10"


def test_a_state_file_left_behind_does_not_decide(tmp_path: Path) -> None:
    """A higher number written later wins: the program died before it could write the state."""
    _save(tmp_path, "ckpt-4", mtime=100)
    record_latest(LOCAL, str(tmp_path / "ckpt-4"))
    os.utime(tmp_path / "checkpoint", (100, 100))
    _save(tmp_path, "ckpt-5", mtime=100)
    _save(tmp_path, "ckpt-6", mtime=101)
    assert _latest(tmp_path) == "ckpt-6"
    (tmp_path / "ckpt-6.index").write_bytes(b"damaged")
    assert _latest(tmp_path) == "ckpt-5"


def test_what_the_state_file_lists_was_seen_by_its_writer(tmp_path: Path) -> None:
    """To go back, one names an older checkpoint: what is listed beside it is no newer one."""
    for number in (1, 2, 3):
        _save(tmp_path, f"ckpt-{number}", mtime=100)
    listed = CheckpointState("ckpt-1", ("ckpt-2", "ckpt-3", "ckpt-1"))
    write_state(LOCAL, str(tmp_path), listed)
    os.utime(tmp_path / "checkpoint", (50, 50))
    assert _latest(tmp_path) == "ckpt-1"


def test_a_younger_state_file_decides(tmp_path: Path) -> None:
    """A state file that was written after all checkpoints means what it says."""
    for number in (1, 2, 3):
        _save(tmp_path, f"ckpt-{number}", mtime=100)
    ckpt.update_checkpoint_state(tmp_path, tmp_path / "ckpt-1")
    assert _latest(tmp_path) == "ckpt-1"


def test_another_state_file_knows_its_own_checkpoints_alone(tmp_path: Path) -> None:
    """Under a name of one's own nothing is found but what was recorded there."""
    _save(tmp_path, "ckpt-1", mtime=100)
    assert latest_checkpoint(tmp_path, "best") is None
    write_state(LOCAL, str(tmp_path), CheckpointState("ckpt-1"), "best")
    os.utime(tmp_path / "best", (100, 100))
    _save(tmp_path, "ckpt-2", mtime=200)
    assert latest_checkpoint(tmp_path, "best") == str(tmp_path / "ckpt-1")


def test_a_file_that_cannot_be_read_is_not_taken_for_gone(tmp_path: Path) -> None:
    """A bare file that may not be opened may be a checkpoint; one that vanished is none."""
    _save(tmp_path, "ckpt-1", mtime=100, options=SINGLE)

    class Unreadable(WrappedStorage):
        def open_read(self, path: str) -> ReadableFile:
            raise StorageError("no", errno=errno.EACCES, path=path)

    class Vanishing(WrappedStorage):
        def open_read(self, path: str) -> ReadableFile:
            raise CheckpointNotFoundError("no")

    assert [1] == [*numbered_checkpoints(Unreadable(LOCAL), str(tmp_path / "ckpt"))]
    assert [] == [*numbered_checkpoints(Vanishing(LOCAL), str(tmp_path / "ckpt"))]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "checkpoint: is missing, so"),
        (b"", "checkpoint: is empty, so"),
        (b" \n\n", "checkpoint: is empty, so"),
        (b"damaged", "checkpoint: is damaged, so"),
        (b'model_checkpoint_path: "gone-3"', "names 'gone-3', which is not there"),
        (b'model_checkpoint_path: "cut"', r"names 'cut', which cannot be opened \(.*cut.index"),
    ],
)
def test_without_a_useful_state_file_the_directory_is_listed(
    tmp_path: Path, state: bytes | None, says: str
) -> None:
    """Of one name the highest number is the newest, between names the newest write decides."""
    (tmp_path / "cut.index").write_bytes(b"CKPT")
    for name, mtime in [("a-9", 50), ("a-10", 40), ("b-1", 45), ("c", 30)]:
        _save(tmp_path, name, mtime)
    if state is not None:
        (tmp_path / "checkpoint").write_bytes(state)
    order = []
    for expected in ("b-1", "a-10", "a-9", "c"):
        order.append(_latest(tmp_path, rf"(?s){says}.*{expected} is taken"))
        (tmp_path / f"{expected}.index").unlink()
    assert order == ["b-1", "a-10", "a-9", "c"]


@pytest.mark.parametrize("state", [None, b"", b"damaged"])
def test_where_there_is_nothing_nothing_is_said(tmp_path: Path, state: bytes | None) -> None:
    """A state file that says nothing is no matter where there is no checkpoint."""
    if state is not None:
        (tmp_path / "checkpoint").write_bytes(state)
    assert _latest(tmp_path) is None


def test_a_state_file_that_leads_to_nothing_is_named(tmp_path: Path) -> None:
    """A state file that names what is not there, where nothing is, is said."""
    write_state(LOCAL, str(tmp_path), CheckpointState("ckpt-1"))
    assert _latest(tmp_path, "names 'ckpt-1', .* it holds no checkpoint that is whole") is None


def test_a_checkpoint_or_directory_called_so_is_no_state_file(tmp_path: Path) -> None:
    """What is called as the state file and is a checkpoint, or a directory, is no damaged one."""
    _save(tmp_path, "checkpoint", 100, SINGLE)
    assert _latest(tmp_path, "checkpoint: is missing") == "checkpoint"
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "checkpoint").mkdir()
    _save(tmp_path, "ckpt-1", 100)
    assert _latest(tmp_path, "checkpoint: is missing") == "ckpt-1"
    (tmp_path / "checkpoint").rmdir()
    (tmp_path / "checkpoint").symlink_to("/etc/hostname")
    assert _latest(tmp_path, "checkpoint: cannot be read .* a symbolic link") == "ckpt-1"


@pytest.mark.parametrize("options", [OPTIONS, SINGLE])
def test_both_forms_are_found(tmp_path: Path, options: SaveOptions) -> None:
    """A checkpoint in one file is found as well as one with an index."""
    _save(tmp_path, "ckpt-1", 100, options)
    record_latest(LOCAL, str(tmp_path / "ckpt-1"))
    assert _latest(tmp_path) == "ckpt-1"
    assert checkpoint_exists(tmp_path / "ckpt-1")
    assert list(numbered_checkpoints(LOCAL, str(tmp_path / "ckpt"))) == [1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda directory: (directory / "ckpt-2.index").write_bytes(b""),
        lambda directory: (directory / "ckpt-2.index").unlink(),
        lambda directory: _shard(directory).unlink(),
        lambda directory: _shard(directory).write_bytes(b"short"),
        lambda directory: _shard(directory).write_bytes(bytes(5000)),
    ],
)
def test_a_damaged_newest_makes_the_next_older_the_latest(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """An index that does not decode, or a shard missing or of wrong length: it does not count."""
    _save(tmp_path, "ckpt-1", 100)
    _save(tmp_path, "ckpt-2", 200)
    record_latest(LOCAL, str(tmp_path / "ckpt-2"))
    assert _latest(tmp_path) == "ckpt-2"
    damage(tmp_path)
    assert _latest(tmp_path, "names 'ckpt-2', which .*ckpt-1 is taken") == "ckpt-1"
    assert not checkpoint_exists(tmp_path / "ckpt-2")
    assert checkpoint_exists(tmp_path / "ckpt-1")


def _shard(directory: Path) -> Path:
    return next(iter(directory.glob("ckpt-2.data-00001-*")))


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("./ckpt-1", "ckpt-1"),
        ("/old/place/ckpt-1", "ckpt-1"),
        ("../outside/ckpt-1", "ckpt-1"),
        ("sub/ckpt-1", "sub/ckpt-1"),
        ("sub/../../outside/ckpt-9", "ckpt-2"),
        ("/", "ckpt-2"),
    ],
)
def test_entries_lead_nowhere_else(tmp_path: Path, entry: str, found: str) -> None:
    """A state file leads only to what is in its directory, which may have been moved (S-1)."""
    inside, outside = tmp_path / "in", tmp_path / "outside"
    _save(outside, "ckpt-9", 100)
    _save(inside / "sub", "ckpt-1", 400)
    _save(inside, "ckpt-1", 300)
    _save(inside, "ckpt-2", 200)
    write_state(LOCAL, str(inside), CheckpointState(entry))
    assert _latest(inside, "which is not there" if found == "ckpt-2" else None) == found


def test_another_state_file_can_be_named(tmp_path: Path) -> None:
    """The state file may have another name."""
    _save(tmp_path, "ckpt-2", 100)
    _save(tmp_path, "ckpt-1", 200)
    write_state(LOCAL, str(tmp_path), CheckpointState("ckpt-1"), "mine")
    assert _latest(tmp_path, "checkpoint: is missing") == "ckpt-2"
    assert latest_checkpoint(tmp_path, "mine") == str(tmp_path / "ckpt-1")


def test_races_do_not_raise() -> None:
    """Files that vanish or cannot be read, after they were listed, raise nothing."""

    class Vanishing(WrappedStorage):
        def open_read(self, path: str) -> ReadableFile:
            if path.endswith("-2.index"):
                raise CheckpointNotFoundError(f"{path}: gone")
            if path.endswith("-3.index"):
                raise StorageError(f"{path}: broken", path=path)
            return super().open_read(path)

    storage = MemoryStorage()
    for number in (1, 2, 3):
        DRIVER.save(storage, f"/run/ckpt-{number}", number, OPTIONS)
    record_latest(storage, "/run/ckpt-1")
    assert latest_checkpoint("/run", storage=Vanishing(storage)) == "/run/ckpt-1"


@pytest.mark.parametrize("verb", ["list_dir", "open_read"])
def test_a_directory_that_cannot_be_read_is_not_taken_for_empty(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Where nothing can be listed or opened, an error says so: `None` would be a lie."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt-1", 1, OPTIONS)

    def fail(path: str) -> None:
        raise StorageError(f"{path}: too many open files", errno=errno.EMFILE, path=path)

    monkeypatch.setattr(storage, verb, fail)
    with pytest.raises(StorageError, match="too many open files"):
        latest_checkpoint("/run", storage=storage)


def test_paths_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory means its newest checkpoint, a link to one too; any other path is itself."""
    _save(tmp_path / "run", "ckpt-1", 100)
    record_latest(LOCAL, str(tmp_path / "run" / "ckpt-1"))
    (tmp_path / "link").symlink_to("run")
    for directory in (tmp_path / "run", tmp_path / "link", f"{tmp_path}/run/"):
        assert resolve(directory) == os.path.join(directory, "ckpt-1")
    assert resolve(tmp_path / "run" / "ckpt-1") == str(tmp_path / "run" / "ckpt-1")
    assert resolve(tmp_path / "run" / "missing") == str(tmp_path / "run" / "missing")
    _save(tmp_path, "run", 100)  # a checkpoint called as the directory beside it
    assert resolve(tmp_path / "run") == str(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint in this directory"):
        resolve(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "run")
    assert resolve(".") == "ckpt-1"
    with pytest.raises(TypeError):
        resolve(7)  # type: ignore[arg-type]


def test_candidates_are_what_has_a_commit_file() -> None:
    """Shards, temporaries and other people's files alone make no candidate."""
    storage = MemoryStorage(
        DiskImage(
            {
                "/run/a.index": b"",
                "/run/b-2.data-00000-of-00001.00112233445566aa": b"",
                "/run/c.index.00112233445566aa.tmp": b"",
                "/run/notes": b"text",
                "/run/d.safetensors": b"",
                "/run/checkpoint": b"",
            }
        )
    )
    DRIVER.save(storage, "/run/e-5", 1, SINGLE)
    found = {(c.prefix, c.name, c.number) for c in candidates(storage, "/run")}
    assert found == {("/run/a", "a", None), ("/run/d", "d", None), ("/run/e-5", "e", 5)}


class _Busy(WrappedStorage):
    """Lets something happen each time that the directory was listed."""

    def __init__(self, inner: MemoryStorage, happens: Callable[[int], None]) -> None:
        super().__init__(inner)
        self._happens = happens
        self.listed = 0

    def list_dir(self, path: str) -> list[str]:
        found = super().list_dir(path)
        self.listed += 1
        self._happens(self.listed)
        return found


def test_a_writer_that_moves_on_is_not_blamed() -> None:
    """A state file that has moved on from what is gone by now is not blamed."""
    storage = MemoryStorage()
    for name in ("a-1", "b-1"):
        DRIVER.save(storage, f"/run/{name}", 1, OPTIONS)
    record_latest(storage, "/run/a-1")

    def move_on(listed: int) -> None:
        if listed == 2:  # The state file was read; a save comes, and with it a removal.
            record_latest(storage, "/run/b-1")
            remove_checkpoints(storage, ["/run/a-1"])

    busy = _Busy(storage, move_on)
    found = find_newest(busy, "/run", "checkpoint", sleep=_no_sleep)
    assert found == Newest("/run/b-1", "/run/checkpoint")
    assert busy.listed > 3


def test_the_first_save_of_a_directory_is_not_blamed() -> None:
    """Where the only checkpoint is seconds old, its state file may be about to be written."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt-1", 1, OPTIONS)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            record_latest(storage, "/run/ckpt-1")

    found = find_newest(storage, "/run", "checkpoint", sleep=sleep)
    assert found == Newest("/run/ckpt-1", "/run/checkpoint")
    assert len(slept) == 3


def test_patience_ends() -> None:
    """The wait for the first state file lasts half a second at most."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt-1", 1, OPTIONS)
    slept: list[float] = []
    found = find_newest(storage, "/run", "checkpoint", sleep=slept.append)
    assert found == Newest("/run/ckpt-1", "/run/checkpoint", "is missing")
    assert sum(slept) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("names", "age"), [(["ckpt-0", "ckpt-1"], 0), (["ckpt-1"], 20), (["best"], 0)]
)
def test_some_directories_are_blamed_at_once(tmp_path: Path, names: list[str], age: int) -> None:
    """Where there are several checkpoints, an old one or one without number, nobody waits."""
    for name in names:
        _save(tmp_path, name, int(time.time()) - age)
    found = find_newest(LOCAL, str(tmp_path), "checkpoint", sleep=_no_sleep)
    assert found.problem == "is missing"


def _no_sleep(seconds: float) -> None:
    raise AssertionError(seconds)


def test_a_pattern_means_its_prefix(tmp_path: Path) -> None:
    """What a sharded `Saver` returns is taken wherever a path is, and in a state file."""
    pattern = "model-5-?????-of-00002"
    _save(tmp_path, "model-5", 100)
    write_state(LOCAL, str(tmp_path), CheckpointState(pattern, (pattern,)))
    assert _latest(tmp_path) == "model-5"
    assert checkpoint_exists(tmp_path / pattern)
    assert resolve(tmp_path / pattern) == str(tmp_path / "model-5")
    assert get_checkpoint_mtimes([tmp_path / pattern]) == [100.0]
    with ckpt.load_checkpoint(tmp_path / pattern) as reader:
        assert reader.path == str(tmp_path / "model-5")


def test_times_of_what_is_there(tmp_path: Path) -> None:
    """The times come in the order of the paths, in seconds; what is not there is left out."""
    _save(tmp_path, "a", 300)
    _save(tmp_path, "b-1", 100, SINGLE)
    (tmp_path / "c.safetensors").write_bytes(b"")
    os.utime(tmp_path / "c.safetensors", (200, 200))
    (tmp_path / "d").write_bytes(b"no checkpoint")
    paths = [tmp_path / "b-1", tmp_path / "missing", tmp_path / "d", str(tmp_path / "c")]
    assert [100.0, 200.0, 300.0] == get_checkpoint_mtimes([*paths, tmp_path / "a"])


def test_damaged_files_of_other_formats_are_candidates_alone(tmp_path: Path) -> None:
    """What is named as a checkpoint seems to be one until it is opened; anybody's file does not."""
    (tmp_path / "tf-1.index").write_bytes(bytes(48) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb")
    (tmp_path / "st.safetensors").write_bytes(b"")
    (tmp_path / "torch").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "odd.index").write_bytes(b"text")
    names = {"tf-1", "st", "torch", "odd"}
    assert set() == {name for name in names if checkpoint_exists(tmp_path / name)}
    assert names - {"torch"} == {
        posixpath.basename(c.prefix) for c in candidates(LOCAL, str(tmp_path))
    }


def test_a_directory_is_opened_though_its_newest_goes(tmp_path: Path) -> None:
    """Where the newest is removed between the look and the opening, the next one is opened."""
    for number in (1, 2):
        _save(tmp_path, f"ckpt-{number}", mtime=100 + number)
    record_latest(LOCAL, str(tmp_path / "ckpt-2"))

    class Removing(WrappedStorage):
        opened = 0

        def open_read(self, path: str) -> ReadableFile:
            self.opened += path.endswith("ckpt-2.index")
            if self.opened == 2:  # The first time it was looked for.
                remove_checkpoints(LOCAL, [str(tmp_path / "ckpt-2")])
                record_latest(LOCAL, str(tmp_path / "ckpt-1"))
            return super().open_read(path)

    source = open_resolved(tmp_path, storage=Removing(LOCAL))
    assert str(tmp_path / "ckpt-1") == source.path
    source.close()
    with pytest.raises(CheckpointNotFoundError, match="ckpt-2: there is no checkpoint"):
        open_resolved(tmp_path / "ckpt-2")
