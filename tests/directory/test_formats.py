"""Directories with checkpoints of every format: TensorFlow's, safetensors, our own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpointable as ckpt
from checkpointable.directory.latest import open_resolved, resolve
from checkpointable.errors import (
    CheckpointNotFoundError,
    CheckpointWarning,
    MissingDependencyError,
)
from checkpointable.interop.tensorflow import packages
from checkpointable.storage.base import FileStatus
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import DiskImage
from tests.harness.recording import RecordingStorage, Remove, SyncDir
from tests.harness.wrapping import WrappedStorage
from tests.interop.tensorflow.samples import FIXTURES

FORMATS = ["native", "tensorflow", "safetensors"]


def _copy(sample: str, directory: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / sample, directory / sample.rpartition("/")[2]))


def _parts(directory: Path, prefix: str = "model-5") -> list[Path]:
    """Put a checkpoint of TensorFlow's first format into a directory, in two parts."""
    directory.mkdir(exist_ok=True)
    sources = ("name_based_v1/model.ckpt-42", "partitioned_v1/part")
    return [
        Path(shutil.copy(FIXTURES / source, directory / f"{prefix}-{part:05d}-of-00002"))
        for part, source in enumerate(sources)
    ]


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("sample", "latest"),
    [
        ("name_based_v1", "model.ckpt-43"),
        ("name_based_v2", "model.ckpt-43"),
        ("checkpoint_manager/run", "ckpt-4"),
        ("checkpoint_manager/odd", 'we"ird é\\n-7'),
        ("sharded_tasks", "model.ckpt-1"),
    ],
)
def test_state_files_of_tensorflow(tmp_path: Path, sample: str, latest: str) -> None:
    """The latest of a directory of TensorFlow's is the one that its state file names."""
    directory = _copy(sample, tmp_path)
    assert ckpt.latest_checkpoint(directory) == str(directory / latest)
    assert ckpt.checkpoint_exists(directory / latest)
    with ckpt.load_checkpoint(directory) as reader:
        assert reader.path == str(directory / latest)
        assert reader.keys()


@pytest.mark.parametrize("state", [b"", b'model_checkpoint_path: "/gone/model-5-?????-of-00002"'])
def test_parts_are_one_checkpoint(tmp_path: Path, state: bytes) -> None:
    """The parts of TensorFlow's first format are found by state file, listing, prefix, pattern."""
    parts = _parts(tmp_path)
    if state:
        (tmp_path / "checkpoint").write_bytes(state)
        assert ckpt.latest_checkpoint(tmp_path) == str(tmp_path / "model-5")
    else:
        with pytest.warns(CheckpointWarning, match="state file|checkpoint: is missing"):
            assert ckpt.latest_checkpoint(tmp_path) == str(tmp_path / "model-5")
    keys = [
        reader.keys()
        for path in ("model-5", "model-5-?????-of-00002")
        for reader in [ckpt.load_checkpoint(tmp_path / path)]
    ]
    assert keys[0] == keys[1]
    assert len(keys[0]) > 10
    assert ckpt.checkpoint_exists(tmp_path / "model-5-?????-of-00002")
    assert not ckpt.checkpoint_exists(tmp_path / "model-5-?????-of-00003")
    os.utime(parts[0], (100, 100))
    assert ckpt.get_checkpoint_mtimes([tmp_path / "model-5-?????-of-00002"]) == [100.0]
    with pytest.raises(CheckpointNotFoundError, match="one file of a checkpoint"):
        ckpt.load_checkpoint(parts[0])


def test_an_incomplete_set_of_parts_is_no_checkpoint(tmp_path: Path) -> None:
    """Where one of the parts is missing there is nothing, also by the name of the other."""
    _parts(tmp_path)[0].unlink()
    assert ckpt.latest_checkpoint(tmp_path) is None
    for path in ("model-5", "model-5-?????-of-00002", "model-5-00001-of-00002"):
        assert not ckpt.checkpoint_exists(tmp_path / path)


def test_an_index_comes_before_parts(tmp_path: Path) -> None:
    """A pattern means the checkpoint of its prefix, if there is one; removal leaves neither."""
    _parts(tmp_path)
    path = ckpt.Checkpoint(step=3).write(tmp_path / "model-5")
    assert resolve(tmp_path / "model-5-?????-of-00002") == path
    assert ckpt.load(tmp_path / "model-5-?????-of-00002") == {"step": 3}
    ckpt.remove_checkpoint(path)
    assert _names(tmp_path) == []


def test_parts_go_the_first_one_last(tmp_path: Path) -> None:
    """A crash in the middle of a removal leaves all parts, or no set that is complete."""
    files = {f"/run/{path.name}": path.read_bytes() for path in _parts(tmp_path)}
    files["/run/model-5-00000-of-00009"] = b"no table"
    storage = RecordingStorage(DiskImage(files))
    ckpt.remove_checkpoint("/run/model-5-?????-of-00002", storage=storage)
    steps = [
        step.path.rpartition("/")[2] if isinstance(step, Remove) else "sync"
        for step in storage.log
        if isinstance(step, (Remove, SyncDir))
    ]
    assert steps == ["model-5-00001-of-00002", "sync", "model-5-00000-of-00002", "sync"]


def test_two_sets_of_parts_are_told_apart(tmp_path: Path) -> None:
    """Of two sets of one prefix the pattern says which is meant; without it an error names both."""
    parts = _parts(tmp_path)
    shutil.copy(parts[0], tmp_path / "model-5-00000-of-00001")
    with pytest.raises(CheckpointNotFoundError, match=r"of-00001 and .*of-00002. Give one"):
        ckpt.load_checkpoint(tmp_path / "model-5")
    counts = [
        len(ckpt.load_checkpoint(tmp_path / f"model-5-?????-of-0000{n}").keys()) for n in (1, 2)
    ]
    assert counts[0] < counts[1]


def test_a_number_that_parts_take_is_not_used_again(tmp_path: Path) -> None:
    """A numbered save goes on after the parts of TensorFlow's first format."""
    _parts(tmp_path)
    with pytest.warns(CheckpointWarning, match="the numbers up to 5 are taken"):
        assert ckpt.Checkpoint().save(tmp_path / "model") == str(tmp_path / "model-6")


def test_a_saved_model_means_its_variables(tmp_path: Path) -> None:
    """The directory of a SavedModel stands for the checkpoint in it."""
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    for source in (FIXTURES / "object_based_nested").glob("written.*"):
        shutil.copy(source, model / "variables" / source.name.replace("written", "variables"))
    with ckpt.load_checkpoint(model) as reader:
        assert reader.path == str(model / "variables" / "variables")
    assert ckpt.verify(model) == []


def test_files_of_a_hub(tmp_path: Path) -> None:
    """A safetensors file is found by full name, without its end, and as the only one there."""
    save_file({"a.b": np.arange(3)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path / "model.safetensors", tmp_path / "model", tmp_path):
        source = open_resolved(path)
        assert source.read(0).tolist() == [0, 1, 2]
        source.close()
    assert ckpt.checkpoint_exists(tmp_path / "model.safetensors")
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "blob")
    assert ckpt.load_checkpoint(tmp_path / "blob").get_tensor("a.b").tolist() == [0, 1, 2]
    (tmp_path / "blob").unlink()
    save_file({"c": np.arange(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointNotFoundError, match=r"several .*: model.safetensors, other"):
        resolve(tmp_path)


def test_parts_of_a_hub(tmp_path: Path) -> None:
    """A list of parts is found by its name and by its directory; the parts are no checkpoints."""
    parts = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for number, name in enumerate(parts):
        save_file({f"w{number}": np.arange(number + 1)}, tmp_path / name)
    weights = ", ".join(f'"w{number}": "{name}"' for number, name in enumerate(parts))
    listed = tmp_path / "model.safetensors.index.json"
    listed.write_text('{"weight_map": {' + weights + "}}")
    assert ckpt.latest_checkpoint(tmp_path) is None
    for path in (listed, tmp_path):
        with ckpt.load_checkpoint(path) as reader:
            assert reader.path == str(listed)
            assert len(reader.keys()) == 2
    with pytest.raises(CheckpointNotFoundError, match=r"holds model.safetensors.index.json; give"):
        ckpt.load_checkpoint(tmp_path / "model")


def test_own_safetensors_files_are_a_run(tmp_path: Path) -> None:
    """Numbered files without a state file are those of a run: the newest is taken, and told."""
    checkpoint = ckpt.Checkpoint(step=1)
    for _ in range(2):
        checkpoint.save(tmp_path / "ckpt", format="safetensors")
    (tmp_path / "checkpoint").unlink()
    with pytest.warns(CheckpointWarning, match="is missing"):
        assert resolve(tmp_path) == str(tmp_path / "ckpt-2")


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
def test_one_format_replaces_another(tmp_path: Path, old: str, new: str) -> None:
    """What `write` replaces goes with all its files, whatever both formats are."""
    fresh = ckpt.Checkpoint(step=2, w=np.arange(4.0)).write(tmp_path / "fresh" / "x", format=new)
    path = ckpt.Checkpoint(step=1).write(tmp_path / "run" / "x", format=old)
    ckpt.Checkpoint(step=2, w=np.arange(4.0)).write(path, format=new)
    assert not ckpt.diff(fresh, path)
    expected = _names(tmp_path / "fresh")
    if (old, new) == ("tensorflow", "tensorflow"):
        expected = ["x.data-00000-of-00002", "x.data-00001-of-00002", "x.index"]
    assert _names(tmp_path / "run") == expected
    with pytest.raises(ckpt.CheckpointExistsError):
        ckpt.Checkpoint(step=3).write(path, format=old, overwrite=False)


def test_a_checkpoint_of_tensorflow_is_replaced(tmp_path: Path) -> None:
    """What TensorFlow wrote is replaced only under its exact name; nothing else is touched."""
    directory = _copy("checkpoint_manager/run", tmp_path)
    before = _names(directory)
    checkpoint = ckpt.Checkpoint(step=5)
    with pytest.warns(CheckpointWarning, match="numbers up to 4 are taken"):
        assert checkpoint.save(directory / "ckpt") == str(directory / "ckpt-5")
    checkpoint.write(directory / "ckpt-3")
    gone = {*before} - {*_names(directory)}
    assert gone == {"ckpt-3.data-00000-of-00001"}
    assert ckpt.load(directory / "ckpt-3")["step"] == 5
    assert ckpt.verify(directory / "ckpt-4") == []


@pytest.mark.parametrize("later", FORMATS)
@pytest.mark.parametrize("first", FORMATS)
def test_a_manager_keeps_any_format(tmp_path: Path, first: str, later: str) -> None:
    """Numbers, decisions and removal are the same, and a manager goes on with another's format."""
    checkpoint = ckpt.Checkpoint(step=0, w=np.zeros(3))
    settings = {"max_to_keep": 2, "keep_best": 1, "metric": "good"}
    for name, good in ((first, [3.0, 1.0]), (later, [2.0, 1.0])):
        options = ckpt.SaveOptions(format=name, durable=False)
        with ckpt.CheckpointManager(
            checkpoint, tmp_path, save_options=options, **settings
        ) as manager:
            manager.restore_or_initialize()
            for value in good:
                checkpoint.step += 1
                manager.save(metrics={"good": value})
    kept = [str(tmp_path / f"ckpt-{number}") for number in (1, 3, 4)]
    assert manager.checkpoints == kept
    assert manager.best_checkpoint == kept[0]
    assert {int(ckpt.load(path)["step"]) for path in kept} == {1, 3, 4}
    files = {file.partition(".")[0] for file in _names(tmp_path)} - {"checkpoint", "ckpt"}
    assert files == {"ckpt-1", "ckpt-3", "ckpt-4"}
    assert ckpt.latest_checkpoint(tmp_path) == kept[-1]


@pytest.mark.parametrize("name", FORMATS)
def test_a_saver_keeps_any_format(tmp_path: Path, name: str) -> None:
    """A saver removes its old checkpoints whatever their format, a later one of that format too."""
    w = ckpt.Variable(np.zeros(3), name="w")
    for step in range(4):
        saver = ckpt.Saver([w], max_to_keep=2, options=ckpt.SaveOptions(format=name))
        w += 1
        path = saver.save(None, tmp_path / "m", global_step=step)
    files = {file.partition(".")[0] for file in _names(tmp_path)} - {"checkpoint"}
    assert files == {"m-2", "m-3"}
    w += 1
    saver.restore(None, path)
    assert w.value.tolist() == [4.0] * 3


def test_a_saver_leaves_those_of_tensorflow_alone(tmp_path: Path) -> None:
    """A saver of the native format deletes nothing that TensorFlow's saver has listed."""
    directory = _copy("name_based_v2", tmp_path)
    before = {*_names(directory)}
    w = ckpt.Variable(np.zeros(3), name="w")
    saver = ckpt.Saver([w], max_to_keep=1)
    for step in (44, 45):
        saver.save(None, directory / "model.ckpt", global_step=step)
    assert before <= {*_names(directory)}
    assert not ckpt.checkpoint_exists(directory / "model.ckpt-44")


def test_a_missing_package_makes_no_checkpoint_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that only a missing package could read exists, and is the latest."""
    directory = _copy("checkpoint_manager/run", tmp_path)

    def missing() -> None:
        raise MissingDependencyError("pip install it")

    monkeypatch.setattr("checkpointable.interop.tensorflow.checksums.crc32c", missing)
    monkeypatch.setattr("checkpointable.interop.tensorflow.messages.protobuf", missing)
    assert packages.crc32c is not missing
    assert ckpt.checkpoint_exists(directory / "ckpt-4")
    assert ckpt.latest_checkpoint(directory) == str(directory / "ckpt-4")
    with pytest.raises(MissingDependencyError):
        ckpt.load_checkpoint(directory)


class _Replacing(WrappedStorage):
    """Replaces a checkpoint by one of another format each time that its files are looked at."""

    def __init__(self, path: str, times: int) -> None:
        super().__init__(LOCAL)
        self._path = path
        self._left = times
        self._saved = 0

    def status(self, path: str) -> FileStatus | None:
        found = super().status(path)
        if self._left and found is not None:
            self._left -= 1
            self._saved += 1
            name = FORMATS[self._saved % 3]
            ckpt.Checkpoint(step=self._saved).write(self._path, format=name, durable=False)
        return found


@pytest.mark.parametrize("times", range(1, 12))
def test_a_checkpoint_that_changes_its_format_is_opened(tmp_path: Path, times: int) -> None:
    """Whatever replaces it while it is opened, a reader gets one whole checkpoint."""
    path = ckpt.Checkpoint(step=0).write(tmp_path / "x", format=FORMATS[times % 3])
    source = open_resolved(path, storage=_Replacing(path, times))
    assert source.verify() == []
    source.close()


def _put_theirs(directory: Path, form: str) -> Path:
    """Put a checkpoint of another program under the prefix `x`."""
    directory.mkdir(exist_ok=True)
    if form == "safetensors":
        save_file({"theirs": np.arange(3)}, directory / "x.safetensors", {"format": "pt"})
        return directory / "x.safetensors"
    return Path(shutil.copy(FIXTURES / "name_based_v1" / "model.ckpt-42", directory / "x"))


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("safetensors", {"format": "native"}),
        ("safetensors", {"format": "tensorflow"}),
        ("table", {"format": "native"}),
        ("table", {"format": "tensorflow"}),
        ("table", {"format": "safetensors"}),
    ],
)
def test_what_others_wrote_and_a_save_hides_stays(
    tmp_path: Path, form: str, fields: dict[str, str]
) -> None:
    """A file of another program stays beside the new checkpoint, which readers take."""
    theirs = _put_theirs(tmp_path, form)
    before = theirs.read_bytes()
    for step in (1, 2):
        path = ckpt.Checkpoint(step=step).write(tmp_path / "x", **fields)
        assert ckpt.load(path) == {"step": step}
    assert theirs.read_bytes() == before


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("safetensors", {"format": "safetensors"}),
        ("safetensors", {"single_file": True}),
        ("table", {"single_file": True}),
    ],
)
def test_what_others_wrote_in_the_place_of_a_save_goes(
    tmp_path: Path, form: str, fields: dict[str, Any]
) -> None:
    """A file of another program is replaced if it is the file of the save, or would hide it."""
    _put_theirs(tmp_path, form)
    path = ckpt.Checkpoint(step=1).write(tmp_path / "x", **fields)
    assert ckpt.load(path) == {"step": 1}
    assert len(_names(tmp_path)) == 1


def test_a_conversion_in_place_leaves_what_others_wrote(tmp_path: Path) -> None:
    """The file of a hub is still there after it was converted under its own prefix."""
    theirs = _put_theirs(tmp_path, "safetensors")
    before = theirs.read_bytes()
    with pytest.warns(CheckpointWarning, match="no checksums"):
        ckpt.convert(tmp_path / "x", tmp_path / "x")
    assert theirs.read_bytes() == before
    assert ckpt.verify(tmp_path / "x") == []


@pytest.mark.parametrize("form", ["safetensors", "table", "parts"])
def test_retention_leaves_what_others_wrote(tmp_path: Path, form: str) -> None:
    """A saver that deletes its checkpoint leaves what another program had under that prefix."""
    theirs = _parts(tmp_path, "x") if form == "parts" else [_put_theirs(tmp_path, form)]
    saver = ckpt.Saver([ckpt.Variable(np.zeros(3), name="w")], max_to_keep=1)
    saver.save(None, tmp_path / "x")
    saver.save(None, tmp_path / "y")
    assert {path.name for path in theirs} == {n for n in _names(tmp_path) if n[0] == "x"}


def test_a_directory_means_what_readers_take_there(tmp_path: Path) -> None:
    """The file of a hub that a newer checkpoint hides is not the model of its directory."""
    _put_theirs(tmp_path, "safetensors")
    path = ckpt.Checkpoint(step=1).write(tmp_path / "x")
    with pytest.warns(CheckpointWarning, match="is missing"):
        assert resolve(tmp_path) == path


def test_a_file_of_ours_is_known_under_any_name(tmp_path: Path) -> None:
    """What this library wrote in safetensors is replaced also where it was given another name."""
    path = ckpt.Checkpoint(step=1).write(tmp_path / "x", format="safetensors")
    (tmp_path / "x.safetensors").rename(path)
    ckpt.Checkpoint(step=2).write(path)
    assert "x" not in _names(tmp_path)
