"""Restoring the newest checkpoint that is whole."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt

SCRATCH = ckpt.SaveOptions(durable=False)


class Model(ckpt.Trackable):
    def __init__(self, value: float, size: int = 3) -> None:
        self.w = ckpt.Variable(np.full(size, value))
        self.step = ckpt.Variable(0)


def manage(directory: Path, model: Model, **arguments: Any) -> ckpt.CheckpointManager:
    """Make a manager of a model."""
    arguments.setdefault("save_options", SCRATCH)
    return ckpt.CheckpointManager(ckpt.Checkpoint(model=model), directory, None, **arguments)


def save_some(directory: Path, count: int = 3) -> list[str]:
    """Save a model with 1.0, 2.0 and so on as its values."""
    model = Model(0)
    with manage(directory, model) as manager:
        paths = []
        for value in range(1, count + 1):
            model.w.assign(np.full(3, value))
            model.step.assign(value)
            paths.append(str(manager.save()))
        return paths


def damage_shard(path: str, offset: int = 0) -> None:
    """Change one byte of the data."""
    shard = next(Path(path).parent.glob(f"{Path(path).name}.data-*"))
    data = bytearray(shard.read_bytes())
    data[offset] ^= 1
    shard.write_bytes(data)


def cut_shard(path: str) -> None:
    """Cut the data short."""
    shard = next(Path(path).parent.glob(f"{Path(path).name}.data-*"))
    shard.write_bytes(shard.read_bytes()[:-1])


def remove_shard(path: str) -> None:
    """Remove the data."""
    next(Path(path).parent.glob(f"{Path(path).name}.data-*")).unlink()


def damage_index(path: str) -> None:
    """Cut the index short."""
    index = Path(f"{path}.index")
    index.write_bytes(index.read_bytes()[:-3])


def to_zip(path: str) -> None:
    """Put a file of another format in place of the checkpoint."""
    Path(f"{path}.index").unlink()
    Path(path).write_bytes(b"PK\x03\x04" + bytes(100))


DAMAGES = [damage_shard, cut_shard, remove_shard, damage_index]


class TestRestoreLatest:
    def test_the_newest_is_restored(self, tmp_path: Path) -> None:
        """The status is that of a restore of the newest checkpoint."""
        save_some(tmp_path)
        model = Model(0)
        status = manage(tmp_path, model).restore_latest()
        status.assert_consumed()
        assert [3.0] * 3 == model.w.value.tolist()

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_damage_is_skipped_with_a_warning(self, tmp_path: Path, damage: Any) -> None:
        """Each damaged checkpoint gives one warning that names it; the next older is restored."""
        paths = save_some(tmp_path)
        damage(paths[2])
        damage_shard(paths[1])
        model = Model(0)
        manager = manage(tmp_path, model)
        with pytest.warns(ckpt.CheckpointWarning) as caught:
            manager.restore_latest().assert_consumed()
        assert [1.0] * 3 == model.w.value.tolist()
        assert 2 == len(caught)
        for warning, path in zip(caught, reversed(paths), strict=False):
            assert str(warning.message).startswith(f"{path}: {path}")
            assert "skipped" in str(warning.message)

    def test_every_byte_is_checked_before_anything_is_assigned(self, tmp_path: Path) -> None:
        """Even what the program does not ask for must be right, and `verify` cannot be weakened."""
        model = Model(0, size=100_000)
        with manage(tmp_path, model) as manager:
            manager.save()
            damage_shard(str(manager.save()), offset=400_000)
        with pytest.warns(ckpt.CheckpointWarning, match="ckpt-2"):
            status = manage(tmp_path, Model(0, size=100_000)).restore_latest(
                ckpt.RestoreOptions(verify="inline"), only="model/step"
            )
        assert ["model/step"] == [entry.path for entry in status.report().restored]
        assert "ckpt-1" in str(status.report())

    def test_if_all_are_damaged_all_are_named(self, tmp_path: Path) -> None:
        """Nothing is restored or initialized, and the error names each checkpoint."""
        paths = save_some(tmp_path)
        for path in paths:
            damage_shard(path)
        called: list[int] = []
        model = Model(7)
        manager = manage(tmp_path, model, init_fn=lambda: called.append(1))
        for restore in (manager.restore_latest, manager.restore_or_initialize):
            with (
                pytest.warns(ckpt.CheckpointWarning),
                pytest.raises(ckpt.CorruptCheckpointError, match="none of the 3") as raised,
            ):
                restore()
            assert all(f"{path}: " in str(raised.value) for path in paths)
        assert [] == called
        assert [7.0] * 3 == model.w.value.tolist()

    def test_what_does_not_fit_is_an_error(self, tmp_path: Path) -> None:
        """A checkpoint that verifies but does not fit is no reason to take an older one."""
        save_some(tmp_path)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="model/w"):
            manage(tmp_path, Model(0, size=4)).restore_latest()

    def test_without_checkpoints_nothing_is_restored(self, tmp_path: Path) -> None:
        """In an empty directory the status is that of `restore(None)`."""
        status = manage(tmp_path, Model(0)).restore_latest()
        assert isinstance(status, ckpt.InitializationOnlyStatus)
        with pytest.raises(ckpt.UnmatchedError):
            status.assert_consumed()

    def test_what_no_manager_saved_counts_too(self, tmp_path: Path) -> None:
        """A run that began without a manager goes on; other names do not count."""
        for value in (1, 2):
            ckpt.Checkpoint(model=Model(value)).write(tmp_path / f"ckpt-{value}", SCRATCH)
        ckpt.Checkpoint(model=Model(9)).write(tmp_path / "other-9", SCRATCH)
        model = Model(0)
        manager = manage(tmp_path, model)
        assert str(tmp_path / "ckpt-2") == manager.latest_checkpoint
        manager.restore_latest()
        assert [2.0] * 3 == model.w.value.tolist()
        assert [] == manager.checkpoints

    def test_other_formats_are_skipped(self, tmp_path: Path) -> None:
        """A file of another format under a number of this name is no checkpoint."""
        paths = save_some(tmp_path)
        to_zip(paths[2])
        model = Model(0)
        manage(tmp_path, model).restore_latest().assert_consumed()
        assert [2.0] * 3 == model.w.value.tolist()

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_damage_by_name_is_skipped(self, tmp_path: Path, damage: Any) -> None:
        """A name-based checkpoint under a number of this name must be right in every byte too."""
        path = save_some(tmp_path, 1)[0]
        model = Model(5)
        saver = ckpt.Saver({"w": model.w})
        damage(saver.save(None, tmp_path / "ckpt", global_step=2))
        manager = manage(tmp_path, model)
        with pytest.warns(ckpt.CheckpointWarning, match="ckpt-2.*skipped"):
            assert path == manager.restore_or_initialize()
        assert [1.0] * 3 == model.w.value.tolist()

    @pytest.mark.parametrize("suffix", ["index", "data-*"])
    @pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
    def test_what_is_no_file_is_skipped(self, tmp_path: Path, suffix: str, kind: str) -> None:
        """A shard or index that is no regular file is damage, and no reason to stop."""
        paths = save_some(tmp_path, 2)
        file = next(tmp_path.glob(f"ckpt-2.{suffix}"))
        file.rename(tmp_path / "away")
        make = {
            "directory": file.mkdir,
            "link": lambda: file.symlink_to("away"),
            "pipe": lambda: os.mkfifo(file),
        }
        make[kind]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ckpt.CheckpointWarning)
            assert paths[0] == manage(tmp_path, Model(0)).restore_or_initialize()

    def test_what_was_skipped_takes_no_place(self, tmp_path: Path) -> None:
        """The damaged are left alone, and not counted, until their files change."""
        paths = save_some(tmp_path, 3)
        shards = [next(tmp_path.glob(f"ckpt-{number}.data-*")) for number in (2, 3)]
        whole = [shard.read_bytes() for shard in shards]
        for path in paths[1:]:
            damage_shard(path)
        manager = ckpt.CheckpointManager(
            ckpt.Checkpoint(model=Model(0)), tmp_path, 2, save_options=SCRATCH
        )
        with pytest.warns(ckpt.CheckpointWarning, match="skipped"):
            assert paths[0] == manager.restore_or_initialize()
        assert paths[:1] == manager.checkpoints
        with pytest.warns(ckpt.CheckpointWarning, match="numbers up to 3"):
            new = str(manager.save())
        assert [paths[0], new] == manager.checkpoints
        assert 2 == str(manager.plan()).count("left alone: it is damaged")
        assert all(ckpt.checkpoint_exists(path) for path in [*paths, new])
        shards[1].write_bytes(whole[1])
        assert [paths[0], paths[2], new] == manager.checkpoints
        manager.save(2)
        assert [new, paths[1]] == manager.checkpoints

    def test_order_of_saving_decides(self, tmp_path: Path) -> None:
        """The newest is the one that was saved last, whatever its number."""
        model = Model(0)
        manager = manage(tmp_path, model)
        for number in (7, 3):
            model.w.assign(np.full(3, number))
            manager.save(number)
        manager.restore_latest()
        assert [3.0] * 3 == model.w.value.tolist()
        assert str(tmp_path / "ckpt-3") == manager.latest_checkpoint

    def test_numbers_go_on(self, tmp_path: Path) -> None:
        """After a restore the next save takes the next number, without a warning."""
        save_some(tmp_path)
        manager = manage(tmp_path, Model(0))
        manager.restore_latest()
        assert str(tmp_path / "ckpt-4") == manager.save()


class TestRestoreOrInitialize:
    def test_it_restores_and_gives_the_path(self, tmp_path: Path) -> None:
        """Where there is a checkpoint, `init_fn` is not called."""
        paths = save_some(tmp_path)
        called: list[int] = []
        manager = manage(tmp_path, Model(0), init_fn=lambda: called.append(1))
        assert paths[2] == manager.restore_or_initialize()
        assert [] == called

    def test_it_initializes_once_and_gives_none(self, tmp_path: Path) -> None:
        """Where there is none, `init_fn` is called; without one nothing happens."""
        called: list[int] = []
        assert (
            None
            is manage(tmp_path, Model(0), init_fn=lambda: called.append(1)).restore_or_initialize()
        )
        assert [1] == called
        assert None is manage(tmp_path, Model(0)).restore_or_initialize()

    def test_an_init_fn_that_raises_is_heard(self, tmp_path: Path) -> None:
        """What `init_fn` raises reaches the caller."""

        def fail() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            manage(tmp_path, Model(0), init_fn=fail).restore_or_initialize()

    def test_the_newest_that_vanished_is_no_obstacle(self, tmp_path: Path) -> None:
        """If the newest was deleted by hand, the one before is restored."""
        paths = save_some(tmp_path)
        ckpt.remove_checkpoint(paths[2])
        assert paths[1] == manage(tmp_path, Model(0)).restore_or_initialize()


class TestGraphs:
    def test_variables_of_a_graph_are_restored_in_the_session(self, tmp_path: Path) -> None:
        """`restore_or_initialize` runs the restore operations in the default session."""
        save_some(tmp_path)
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            model = Model(0)
            manager = manage(tmp_path, model, step_counter=model.step, checkpoint_interval=2)
            assert str(tmp_path / "ckpt-3") == manager.restore_or_initialize()
            assert [3.0] * 3 == session.run(model.w).tolist()
            assert None is manager.save()
            session.run(model.step.assign(4))
            assert None is manager.save()
            session.run(model.step.assign(5))
            assert str(tmp_path / "ckpt-4") == manager.save()
            session.run(model.step.assign(0))
            status = manager.restore_latest()
            status.run_restore_ops()
            assert 5 == session.run(model.step)

    def test_without_a_session_there_is_no_step(self, tmp_path: Path) -> None:
        """A step counter of a graph cannot be read without a session; nothing is saved."""
        with ckpt.Graph().as_default():
            model = Model(0)
            manager = manage(tmp_path, model, step_counter=model.step)
            with pytest.raises(RuntimeError, match="session"):
                manager.save()
        assert [] == manager.checkpoints
