"""The newest checkpoint of a directory, whatever its state file says and whatever is damaged."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpointable.directory.latest import checkpoint_exists, latest_checkpoint, resolve
from checkpointable.directory.numbers import candidates, numbered_checkpoints
from checkpointable.directory.state_file import CheckpointState, record_latest, write_state
from checkpointable.errors import CheckpointNotFoundError, StorageError
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


def _latest(directory: Path) -> str | None:
    found = latest_checkpoint(directory)
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
    _save(tmp_path, "ckpt-5", mtime=100)
    _save(tmp_path, "ckpt-6", mtime=101)
    assert _latest(tmp_path) == "ckpt-6"
    (tmp_path / "ckpt-6.index").write_bytes(b"damaged")
    assert _latest(tmp_path) == "ckpt-5"


@pytest.mark.parametrize("state", [None, b"", b"damaged", b'model_checkpoint_path: "gone-3"'])
def test_without_a_useful_state_file_the_directory_is_listed(
    tmp_path: Path, state: bytes | None
) -> None:
    """Of one name the highest number is the newest, between names the newest write decides."""
    for name, mtime in [("a-9", 50), ("a-10", 40), ("b-1", 45), ("c", 30)]:
        _save(tmp_path, name, mtime)
    if state is not None:
        (tmp_path / "checkpoint").write_bytes(state)
    order = []
    while (newest := _latest(tmp_path)) is not None:
        order.append(newest)
        (tmp_path / f"{newest}.index").unlink()
    assert order == ["b-1", "a-10", "a-9", "c"]


@pytest.mark.parametrize("options", [OPTIONS, SINGLE])
def test_both_forms_are_found(tmp_path: Path, options: SaveOptions) -> None:
    """A checkpoint in one file is found as well as one with an index."""
    _save(tmp_path, "ckpt-1", 100, options)
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
    assert _latest(tmp_path) == "ckpt-1"
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
    assert _latest(inside) == found


def test_another_state_file_can_be_named(tmp_path: Path) -> None:
    """The state file may have another name."""
    _save(tmp_path, "ckpt-2", 100)
    _save(tmp_path, "ckpt-1", 200)
    write_state(LOCAL, str(tmp_path), CheckpointState("ckpt-1"), "mine")
    assert _latest(tmp_path) == "ckpt-2"
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
    assert found == {("/run/a", "a", None), ("/run/e-5", "e", 5)}
