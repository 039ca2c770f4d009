"""What programs read in state files, and what they write into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.directory.checkpoint_state import get_checkpoint_state, update_checkpoint_state
from checkpointable.directory.state_file import CheckpointState, read_state, write_state
from checkpointable.errors import CheckpointExistsError, CheckpointWarning, StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.bundles import BundleDriver

DRIVER = BundleDriver(shards=1, shard_bytes=100)


def _memory(*names: str) -> MemoryStorage:
    return MemoryStorage(DiskImage({f"/run/{name}": b"" for name in ("x", *names)}))


class TestReading:
    def test_paths_are_joined_with_the_directory(self) -> None:
        """Relative entries come joined, with their times; `./` and patterns are kept."""
        storage = _memory()
        entries = ("ckpt-1", "./ckpt-2", "m-3-?????-of-00002")
        write_state(storage, "/run", CheckpointState("ckpt-1", entries, (1.0, 2.0, 3.0), 0.5))
        joined = ("/run/ckpt-1", "/run/./ckpt-2", "/run/m-3-?????-of-00002")
        expected = CheckpointState("/run/ckpt-1", joined, (1.0, 2.0, 3.0), 0.5)
        assert expected == get_checkpoint_state("/run", storage=storage)

    @pytest.mark.parametrize(
        ("there", "entry", "found"),
        [
            ("ckpt-1.index", "/old/place/ckpt-1", "/run/ckpt-1"),
            ("ckpt-1.index", "/old/place/ckpt-1-?????-of-00002", "/run/ckpt-1-?????-of-00002"),
            ("ckpt-1.safetensors", "/old/place/ckpt-1", "/run/ckpt-1"),
            ("ckpt-2.index", "/old/place/ckpt-1", "/old/place/ckpt-1"),
            ("ckpt-1", "/old/place/ckpt-1", "/old/place/ckpt-1"),
            ("ckpt-1.index", "/run/ckpt-1", "/run/ckpt-1"),
            ("ckpt-2.index", "/run/ckpt-1", "/run/ckpt-1"),
        ],
    )
    def test_absolute_paths_of_a_directory_that_was_moved(
        self, there: str, entry: str, found: str
    ) -> None:
        """What lies beside the state file counts, if a checkpoint is there."""
        storage = _memory(there)
        write_state(storage, "/run", CheckpointState(entry, (entry,)))
        assert CheckpointState(found, (found,)) == get_checkpoint_state("/run", storage=storage)

    def test_a_missing_state_file_is_none(self, tmp_path: Path) -> None:
        """No directory, no file, or something else of that name: there is none, and no warning."""
        (tmp_path / "directory").mkdir()
        ckpt.Checkpoint(step=1).write(tmp_path / "one", single_file=True)
        assert get_checkpoint_state(tmp_path / "missing") is None
        assert get_checkpoint_state(tmp_path) is None
        assert get_checkpoint_state(tmp_path, "directory") is None
        assert get_checkpoint_state(tmp_path, "one") is None

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "checkpoint: is empty"),
            (b"\n", "checkpoint: is empty"),
            (b"x", "checkpoint: is damaged"),
            (b'model_checkpoint_path: ""', "checkpoint: is damaged"),
        ],
    )
    def test_a_damaged_state_file_gives_a_warning(
        self, tmp_path: Path, content: bytes, says: str
    ) -> None:
        """A file that says nothing is `None`, and the warning says why."""
        (tmp_path / "checkpoint").write_bytes(content)
        with pytest.warns(CheckpointWarning, match=says):
            assert get_checkpoint_state(tmp_path) is None

    def test_another_state_file_can_be_named(self, tmp_path: Path) -> None:
        """The file may have another name."""
        update_checkpoint_state(tmp_path, tmp_path / "a", latest_filename="mine")
        assert get_checkpoint_state(tmp_path) is None
        path = str(tmp_path / "a")
        assert CheckpointState(path, (path,)) == get_checkpoint_state(tmp_path, "mine")


class TestWriting:
    @pytest.mark.parametrize(
        ("directory", "path", "written"),
        [
            ("/run", "/run/ckpt-1", "ckpt-1"),
            ("/run/", "/run/./sub/../ckpt-1", "ckpt-1"),
            ("/run", "/run/sub/ckpt-1", "sub/ckpt-1"),
            ("/run", "/other/ckpt-1", "/other/ckpt-1"),
            ("/run", "/runs/ckpt-1", "/runs/ckpt-1"),
            ("/run", "ckpt-1", "ckpt-1"),
            ("run", "run/ckpt-1", "ckpt-1"),
            ("./run", "run/ckpt-1", "ckpt-1"),
            ("run", "ckpt-1", "../ckpt-1"),
            (".", "ckpt-1", "ckpt-1"),
            ("run", "run/m-?????-of-00002", "m-?????-of-00002"),
        ],
    )
    def test_paths_in_the_directory_are_written_relative(
        self, directory: str, path: str, written: str
    ) -> None:
        """So that the directory can be moved; those outside it stay what they are."""
        storage = _memory()
        update_checkpoint_state(directory, path, [path], storage=storage)
        assert CheckpointState(written, (written,)) == read_state(storage, directory)

    def test_absolute_and_relative_paths_meet(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An absolute path in a directory that is given relative is written relative too."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "run").mkdir()
        update_checkpoint_state("run", tmp_path / "run" / "a")
        assert CheckpointState("a", ("a",)) == read_state(LOCAL, "run")

    @pytest.mark.parametrize(
        ("given", "written"),
        [
            (None, ("c",)),
            ([], ("c",)),
            (["a", "b"], ("a", "b", "c")),
            (["a", "c"], ("a", "c")),
            (["c", "a"], ("c", "a", "c")),
        ],
    )
    def test_the_latest_is_appended(self, given: list[str] | None, written: tuple[str]) -> None:
        """The latest stands last; the list that was given is not changed."""
        storage, before = _memory(), list(given or [])
        update_checkpoint_state("/run", "c", given, storage=storage)
        assert CheckpointState("c", written) == read_state(storage, "/run")
        assert before == list(given or [])

    @pytest.mark.parametrize("given", ["a", b"a", Path("a"), 5, [5]], ids=repr)
    def test_one_path_is_no_list_of_paths(self, given: Any) -> None:
        """Its letters are not taken for paths; nothing is written."""
        storage = _memory()
        with pytest.raises(TypeError, match=r"all_model_checkpoint_paths is|the path 5"):
            update_checkpoint_state("/run", "c", given, storage=storage)
        assert ["x"] == storage.list_dir("/run")

    def test_times_are_written(self) -> None:
        """One for each path, the latest included; numpy numbers are taken."""
        storage = _memory()
        times = np.array([1.5, 2.5])
        update_checkpoint_state("/run", "b", ("a",), None, times, np.float32(0.5), storage=storage)
        assert CheckpointState("b", ("a", "b"), (1.5, 2.5), 0.5) == read_state(storage, "/run")

    @pytest.mark.parametrize("times", [[1.0], [1.0, 2.0, 3.0]])
    def test_another_number_of_times_is_refused(self, times: list[float]) -> None:
        """There must be one time for each path; nothing is written."""
        storage = _memory()
        with pytest.raises(ValueError, match=f"{len(times)} timestamps are given for 2 check"):
            update_checkpoint_state(
                "/run", "b", ["a"], all_model_checkpoint_timestamps=times, storage=storage
            )
        assert ["x"] == storage.list_dir("/run")

    @pytest.mark.parametrize(
        ("path", "filename"),
        [("/run/checkpoint", None), ("checkpoint", None), ("/run/./mine", "mine")],
    )
    def test_the_path_of_the_state_file_itself_is_refused(
        self, path: str, filename: str | None
    ) -> None:
        """A checkpoint cannot be called exactly as the state file beside it."""
        with pytest.raises(RuntimeError, match="called exactly as the checkpoint"):
            update_checkpoint_state("/run", path, latest_filename=filename, storage=_memory())

    @pytest.mark.parametrize(
        ("path", "filename"), [("", None), ("/run", None), ("/run/", None), ("a", "sub/state")]
    )
    def test_what_is_no_name_is_refused(self, path: str, filename: str | None) -> None:
        """An empty path, the directory itself, a state file elsewhere: nothing is written."""
        storage = _memory()
        with pytest.raises(ValueError, match="expected the"):
            update_checkpoint_state("/run", path, latest_filename=filename, storage=storage)
        assert ["x"] == storage.list_dir("/run")

    def test_a_missing_directory_and_a_checkpoint_are_refused(self) -> None:
        """A directory is not made, and a checkpoint in one file is not replaced."""
        storage = _memory()
        with pytest.raises(StorageError):
            update_checkpoint_state("/missing", "a", storage=storage)
        DRIVER.save(storage, "/run/checkpoint", 1, SaveOptions(single_file=True))
        with pytest.raises(CheckpointExistsError):
            update_checkpoint_state("/run", "a", storage=storage)

    def test_what_is_written_decides(self, tmp_path: Path) -> None:
        """`latest_checkpoint` and a restore of the directory follow it, also once it was moved."""
        checkpoint = ckpt.Checkpoint(step=0)
        for checkpoint.step, name in enumerate(["a", "b", "c"]):
            checkpoint.write(tmp_path / "run" / name)
        update_checkpoint_state(tmp_path / "run", tmp_path / "run" / "b")
        (tmp_path / "run").rename(tmp_path / "moved")
        assert str(tmp_path / "moved" / "b") == ckpt.latest_checkpoint(tmp_path / "moved")
        checkpoint.restore(tmp_path / "moved").assert_consumed()
        assert 1 == checkpoint.step
