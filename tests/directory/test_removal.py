"""The removal of checkpoints: all of one, and nothing else. What crashes do is tested elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpointable as ckpt
from checkpointable.directory.removal import remove_checkpoint, remove_checkpoints
from checkpointable.errors import CheckpointWarning, StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.bundles import BundleDriver
from tests.harness.recording import RecordingStorage, Remove, SyncDir
from tests.harness.wrapping import WrappedStorage

DRIVER = BundleDriver(shards=2, shard_bytes=100)

#: What stands beside ckpt-2 and is no part of it.
OTHERS = {
    "/run/checkpoint": b'model_checkpoint_path: "ckpt-2"\n',
    "/run/ckpt-2": b"no checkpoint, though it is called so",
    "/run/ckpt-2.txt": b"notes",
    "/run/ckpt-2.index.00112233445566aa.tmp": b"of a save that goes on",
    "/run/ckpt-20.index": b"",
    "/run/ckpt-20.data-00000-of-00001": b"",
    "/run/ckpt-2-1.index": b"",
    "/run/ckpt.meta": b"",
}


def _storage(files: dict[str, bytes]) -> MemoryStorage:
    return MemoryStorage(DiskImage(files))


def test_all_of_a_checkpoint_goes_and_nothing_else() -> None:
    """Index, shards and meta graph go; a bare file that is none, and all other names, stay."""
    storage = _storage(OTHERS)
    DRIVER.save(storage, "/run/ckpt-20", 1, SaveOptions(overwrite=True))
    before = storage.image().files
    DRIVER.save(storage, "/other/ckpt-2", 1, SaveOptions())
    image = dict(storage.image().files)
    own = {path.replace("/other/", "/run/"): data for path, data in image.items()}
    storage = _storage({**before, **own, "/run/ckpt-2.meta": b"meta"})
    remove_checkpoint("/run/ckpt-2", storage=storage)
    assert dict(before) == dict(storage.image().files)


@pytest.mark.parametrize(
    "names",
    [
        ["ckpt-2.index", "ckpt-2.data-00000-of-00002", "ckpt-2.data-00001-of-00002"],
        ["ckpt-2.safetensors"],
        ["ckpt-2.data-00000-of-00001.00112233445566aa"],
        ["ckpt-2.index", "ckpt-2.safetensors", "ckpt-2.meta"],
    ],
)
@pytest.mark.parametrize("prefix", ["/run/ckpt-2", "/run/ckpt-2-?????-of-00002"])
def test_every_form_goes(names: list[str], prefix: str) -> None:
    """TensorFlow's files, safetensors, shards that were left over: all go, also by a pattern."""
    storage = _storage({**OTHERS, **{f"/run/{name}": b"x" for name in names}})
    remove_checkpoint(prefix, storage=storage)
    assert storage.image().files == dict(sorted(OTHERS.items()))


def test_a_checkpoint_in_one_file_goes(tmp_path: Path) -> None:
    """The one-file form goes by its content, and a path object is taken as well."""
    path = ckpt.Checkpoint(step=1).write(tmp_path / "model", single_file=True)
    assert [Path(path)] == list(tmp_path.iterdir())
    ckpt.remove_checkpoint(tmp_path / "model")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["graph", "other.meta"])
def test_the_suffix_of_the_meta_graph_can_be_given(suffix: str) -> None:
    """The file with the given suffix goes, that with the usual one stays."""
    stays = {"/run/ckpt-2.meta": b""}
    storage = _storage({**stays, "/run/ckpt-2.index": b"", f"/run/ckpt-2.{suffix}": b""})
    remove_checkpoint("/run/ckpt-2", meta_graph_suffix=suffix, storage=storage)
    assert stays == storage.image().files


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("run/ckpt", ""), ("run/ckpt", "../x"), ("run/ckpt.index", "meta"), ("run/", "meta")],
)
def test_what_names_no_checkpoint_is_refused(prefix: str, suffix: str) -> None:
    """A prefix that is a file of a checkpoint, and a suffix with a path in it, raise."""
    with pytest.raises(ValueError, match=r"prefix|suffix"):
        remove_checkpoint(prefix, meta_graph_suffix=suffix, storage=_storage({}))


@pytest.mark.parametrize("prefix", ["/run/ckpt-7", "/missing/ckpt-7"])
def test_a_missing_checkpoint_gives_a_warning(prefix: str) -> None:
    """Where nothing is there, not even the directory, there is a warning and no error."""
    storage = _storage({"/run/ckpt-7": b"no checkpoint"})
    with pytest.warns(CheckpointWarning, match="ckpt-7: there is no checkpoint"):
        remove_checkpoint(prefix, storage=storage)
    assert ["/run/ckpt-7"] == list(storage.image().files)


def test_several_go_with_one_sync() -> None:
    """Of all in a directory the indexes go first, then there is one sync, then the rest goes."""
    storage = RecordingStorage(_storage({"/run/a.debug": b"", "/run/b.x": b""}).image())
    for name in ("a", "b", "c"):
        DRIVER.save(storage, f"/run/{name}", 1, SaveOptions())
    start = len(storage.log)
    missing = remove_checkpoints(storage, ["/run/a", "/run/gone", "/run/b"], extra=["/run/a.debug"])
    steps = [
        "sync" if isinstance(step, SyncDir) else step.path.partition(".")[2][:5]
        for step in storage.log[start:]
        if isinstance(step, (Remove, SyncDir))
    ]
    assert ["/run/gone"] == missing
    assert ["index", "index", "sync", *["data-"] * 4, "debug"] == steps
    assert {"b.x", "c.index"} == {n for n in storage.list_dir("/run") if "data" not in n}


def test_side_files_that_are_checkpoints_stay() -> None:
    """A checkpoint is not removed as the side file of another one."""
    storage = _storage({"/run/ckpt-2.index": b""})
    DRIVER.save(storage, "/run/ckpt-2.meta", 1, SaveOptions(single_file=True))
    remove_checkpoint("/run/ckpt-2", storage=storage)
    assert ["ckpt-2.meta"] == storage.list_dir("/run")


def test_links_and_directories_stay(tmp_path: Path) -> None:
    """What is no regular file is no part of a checkpoint, whatever it is called."""
    (tmp_path / "precious").write_text("text")
    (tmp_path / "a.index").symlink_to("precious")
    (tmp_path / "a.data-00000-of-00001").mkdir()
    (tmp_path / "a").mkdir()
    with pytest.warns(CheckpointWarning, match="there is no checkpoint"):
        remove_checkpoint(tmp_path / "a")
    assert ["a", "a.data-00000-of-00001", "a.index", "precious"] == sorted(
        path.name for path in tmp_path.iterdir()
    )


class _NoRemoval(WrappedStorage):
    """Cannot remove some files."""

    def __init__(self, inner: MemoryStorage, part: str) -> None:
        super().__init__(inner)
        self._part = part

    def remove(self, path: str) -> None:
        if self._part in path:
            raise StorageError(f"{path}: no", path=path)
        super().remove(path)


def test_a_failing_removal_leaves_the_checkpoint_whole() -> None:
    """Where the index cannot be removed, an error says so, and the shards stay."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt-2", 5, SaveOptions())
    with pytest.raises(StorageError, match="index: no"):
        remove_checkpoint("/run/ckpt-2", storage=_NoRemoval(storage, ".index"))
    assert 5 == DRIVER.load(storage, "/run/ckpt-2")


def test_shards_that_cannot_be_removed_give_a_warning() -> None:
    """The checkpoint is gone then; a further removal removes the shards."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt-2", 5, SaveOptions())
    with pytest.warns(CheckpointWarning, match="but 2 files of theirs could not be"):
        remove_checkpoint("/run/ckpt-2", storage=_NoRemoval(storage, ".data"))
    assert 2 == len(storage.list_dir("/run"))
    remove_checkpoint("/run/ckpt-2", storage=storage)
    assert [] == storage.list_dir("/run")
