"""Many checkpoints in one directory: numbers, what is listed, what is refused, who owns what."""

from __future__ import annotations

import datetime
import gc
import math
import os
import shutil
import signal
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.checkpoint import save_checkpoint
from checkpointable.directory.state_file import read_state
from checkpointable.manager.stamp import STAMP_KEY
from checkpointable.storage.base import read_all
from checkpointable.storage.local import LOCAL
from tests.harness.processes import in_child
from tests.manager.managers import DIRECTORY, World, bare

SCRATCH = ckpt.SaveOptions(durable=False)


def manage(directory: Path, max_to_keep: int | None = 3, **arguments: Any) -> Any:
    """Make a manager of a small checkpoint."""
    arguments.setdefault("save_options", SCRATCH)
    return ckpt.CheckpointManager(ckpt.Checkpoint(x=1), directory, max_to_keep, **arguments)


class TestNumbers:
    def test_saves_count_from_one_and_the_oldest_goes(self, tmp_path: Path) -> None:
        """Of three saves with two to keep the last two are there, with all their files."""
        manager = manage(tmp_path, 2)
        paths = [manager.save() for _ in range(3)]

        assert [str(tmp_path / f"ckpt-{n}") for n in (1, 2, 3)] == paths
        assert paths[1:] == manager.checkpoints
        assert paths[2] == manager.latest_checkpoint
        assert [] == [n for n in os.listdir(tmp_path) if n.startswith("ckpt-1")]
        assert [[], []] == [ckpt.verify(path) for path in paths[1:]]

    def test_numbers_may_be_given(self, tmp_path: Path) -> None:
        """Any number from 0 on; a number that is saved again moves to the end."""
        manager = manage(tmp_path)
        assert str(tmp_path / "ckpt-7") == manager.save(7)
        manager.save(np.int16(3))
        manager.save(ckpt.Variable(7))
        assert ["ckpt-3", "ckpt-7"] == bare(manager.checkpoints)
        assert str(tmp_path / "ckpt-0") == manager.save(0)
        assert ["ckpt-3", "ckpt-7", "ckpt-0"] == bare(manager.checkpoints)
        assert str(tmp_path / "ckpt-8") == manager.save()

    @pytest.mark.parametrize("number", [True, 1.0, "1", ckpt.Variable(1.5), ckpt.Variable([1])])
    def test_other_numbers_are_refused(self, tmp_path: Path, number: Any) -> None:
        """What is no integer is no number."""
        with pytest.raises(TypeError, match="checkpoint_number"):
            manage(tmp_path).save(number)

    @pytest.mark.parametrize("number", [-1, 10**18])
    def test_numbers_out_of_range_are_refused(self, tmp_path: Path, number: int) -> None:
        """Negative numbers, and those of more than 18 digits, are refused."""
        with pytest.raises(ValueError, match="checkpoint_number"):
            manage(tmp_path).save(number)

    def test_a_program_that_restored_nothing_replaces_nothing(self, tmp_path: Path) -> None:
        """A second run without a restore goes on above the highest number, with a warning."""
        manage(tmp_path).save()
        with pytest.warns(ckpt.CheckpointWarning, match="numbers up to 1"):
            assert str(tmp_path / "ckpt-2") == manage(tmp_path).save()


class TestArguments:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_to_keep", 0),
            ("max_to_keep", -1),
            ("keep_checkpoint_every_n_hours", 0),
            ("keep_checkpoint_every_n_hours", math.nan),
            ("keep_best", 0),
            ("keep_best", 1),  # without a metric
            ("mode", "most"),
            ("keep_every_n_steps", 0),
            ("checkpoint_interval", 3),  # without a step counter
            ("checkpoint_interval", datetime.timedelta(0)),
            ("checkpoint_name", ""),
            ("checkpoint_name", "a/b"),
            ("checkpoint_name", "a.index"),
            ("checkpoint_name", "a.safetensors"),
            ("checkpoint_name", "a.data-00000-of-00001"),
            ("max_to_keep", np.int64(0)),
            ("keep_checkpoint_every_n_hours", np.float32(0)),
            ("step_counter", ckpt.Variable([1])),
            ("step_counter", ckpt.Variable(1.0)),
            ("save_options", ckpt.SaveOptions(metadata={STAMP_KEY: 1})),
        ],
    )
    def test_wrong_values_are_refused(self, tmp_path: Path, name: str, value: Any) -> None:
        """A value out of range is a ValueError that names its argument; nothing is made."""
        named = "metadata" if name == "save_options" else name
        with pytest.raises(ValueError, match=named):
            manage(tmp_path / "new", **{name: value})
        assert [] == os.listdir(tmp_path)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("max_to_keep", v) for v in (1.0, "1", True)),
            ("keep_checkpoint_every_n_hours", "1"),
            ("keep_best", True),
            ("keep_every_n_steps", 2.0),
            ("checkpoint_interval", 3.0),
            ("checkpoint_name", 3),
            ("step_counter", 3),
            ("init_fn", 3),
            ("save_options", {}),
        ],
    )
    def test_wrong_types_are_refused(self, tmp_path: Path, name: str, value: Any) -> None:
        """A value of another type is a TypeError that names its argument; nothing is made."""
        named = "options" if name == "save_options" else name
        with pytest.raises(TypeError, match=named):
            manage(tmp_path / "new", **{name: value})
        assert [] == os.listdir(tmp_path)

    def test_numbers_of_numpy_are_numbers(self, tmp_path: Path) -> None:
        """Counts, intervals and hours may come from numpy, and are then what they say."""
        manager = manage(
            tmp_path,
            np.int32(2),
            keep_best=np.uint8(1),
            metric="acc",
            keep_every_n_steps=np.int64(3),
            keep_checkpoint_every_n_hours=np.float32(1.5),
            step_counter=ckpt.Variable(0),
            checkpoint_interval=np.uint8(200),
        )
        assert (200, int) == (manager.checkpoint_interval, type(manager.checkpoint_interval))
        manager.save(metrics={"acc": 1})
        assert "one of the latest 2, best by acc (1)" in str(manager.plan())

    def test_metric_must_be_a_name(self, tmp_path: Path) -> None:
        """A metric is named by a str."""
        with pytest.raises(TypeError, match="metric"):
            manage(tmp_path, metric=3)

    def test_only_a_checkpoint_is_managed(self, tmp_path: Path) -> None:
        """Another object is refused, with a hint."""
        with pytest.raises(TypeError, match="expected a Checkpoint"):
            ckpt.CheckpointManager(ckpt.Variable(1), tmp_path, 1)  # type: ignore[arg-type]

    @pytest.mark.parametrize("metrics", [3, {"a": "1"}, {"a": True}, {3: 1.0}, {"a": [1.0]}])
    def test_metrics_are_names_and_real_numbers(self, tmp_path: Path, metrics: Any) -> None:
        """Anything else is a TypeError, and nothing is saved."""
        manager = manage(tmp_path)
        with pytest.raises(TypeError, match="metric"):
            manager.save(metrics=metrics)
        assert [] == manager.checkpoints

    def test_metrics_of_any_real_type(self, tmp_path: Path) -> None:
        """Integers, fractions and numpy numbers become floats, beside the user's metadata."""
        metrics = {
            "a": 1,
            "b": Fraction(1, 2),
            "c": np.float32(0.25),
            "d": np.array(2),
            "e": math.nan,
        }
        options = ckpt.SaveOptions(metadata={"run": 7})
        path = manage(tmp_path).save(metrics=metrics, options=options)
        metadata = ckpt.load_checkpoint(path).metadata

        assert 7 == metadata["run"]
        found = metadata[STAMP_KEY]["metrics"]
        assert [1.0, 0.5, 0.25, 2.0] == [found[k] for k in "abcd"]
        assert math.isnan(found["e"])

    def test_a_metric_beyond_floats_is_refused(self, tmp_path: Path) -> None:
        """An integer that no float can hold is a ValueError."""
        with pytest.raises(ValueError, match="too large"):
            manage(tmp_path).save(metrics={"a": 10**400})


class TestDirectory:
    def test_it_is_made_and_holds_the_lock_alone(self, tmp_path: Path) -> None:
        """Missing directories are made; nothing else is before the first save."""
        manager = manage(tmp_path / "a" / "b")
        assert str(tmp_path / "a" / "b") == manager.directory
        assert ["ckpt.lock"] == os.listdir(tmp_path / "a" / "b")
        assert (None, None, []) == (
            manager.latest_checkpoint,
            manager.best_checkpoint,
            manager.checkpoints,
        )

    @pytest.mark.parametrize("directory", ["", ".", "run/", "run//", "./run"])
    def test_it_may_be_written_in_many_ways(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
    ) -> None:
        """Relative directories, and slashes too many, change nothing."""
        monkeypatch.chdir(tmp_path)
        for _ in range(2):
            with manage(directory, 2) as manager:  # type: ignore[arg-type]
                manager.restore_or_initialize()
                paths = [manager.save() for _ in range(3)]
                assert paths[1:] == manager.checkpoints
                assert ckpt.checkpoint_exists(paths[2])

    def test_one_manager_of_a_name(self, tmp_path: Path) -> None:
        """A second one is refused until the first is closed, or dropped; other names are free."""
        manager = manage(tmp_path)
        with pytest.raises(ckpt.DirectoryInUseError, match=f"pid {os.getpid()} on "):
            manage(tmp_path)
        manage(tmp_path, checkpoint_name="other")
        manager.close()
        second = manage(tmp_path)
        gc.collect()
        gc.disable()
        try:
            del second
            manage(tmp_path).close()
        finally:
            gc.enable()

    @pytest.mark.parametrize("how", ["chdir", "link", "moved", "removed", "lock removed"])
    def test_another_directory_is_not_touched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """A path that leads to another directory than it did is refused; nothing is touched."""
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        with manage(tmp_path / "b" / "run", 1) as other:
            other.save(pin=True)
            other.save()
        (tmp_path / "link").symlink_to("a")
        monkeypatch.chdir(tmp_path / "a")
        directory = {"chdir": "run", "link": tmp_path / "link" / "run"}
        manager = manage(directory.get(how, tmp_path / "a" / "run"), 1)  # type: ignore[arg-type]
        manager.save()
        if how == "chdir":
            monkeypatch.chdir(tmp_path / "b")
        elif how == "link":
            (tmp_path / "link").unlink()
            (tmp_path / "link").symlink_to("b")
        elif how == "moved":
            (tmp_path / "a" / "run").rename(tmp_path / "a" / "away")
        elif how == "removed":
            shutil.rmtree(tmp_path / "a" / "run")
        else:
            (tmp_path / "a" / "run" / "ckpt.lock").unlink()
        before = sorted(map(str, tmp_path.rglob("*")))
        for call in (
            manager.save,
            manager.plan,
            manager.restore_latest,
            manager.restore_or_initialize,
            lambda: manager.pin(1),
            lambda: manager.unpin(1),
            lambda: manager.checkpoints,
        ):
            with pytest.raises(ckpt.StorageError, match="moved, removed or replaced, or the work"):
                call()
        assert before == sorted(map(str, tmp_path.rglob("*")))
        manager.close()

    def test_a_manager_that_cannot_begin_gives_the_lock_back(self, tmp_path: Path) -> None:
        """If the record cannot be read, the error is raised and the directory is free."""
        (tmp_path / "ckpt.manager").mkdir()
        errors = []  # Their tracebacks keep the managers alive.
        for _ in range(2):
            with pytest.raises(ckpt.StorageError, match=r"ckpt\.manager") as raised:
                manage(tmp_path)
            errors.append(raised.value)

    def test_a_forked_child_leaves_saving_to_its_parent(self, tmp_path: Path) -> None:
        """A child may look, but neither save nor restore, and the parent's lock stays held."""
        manager = manage(tmp_path)
        path = manager.save()

        def look() -> bool:
            for call in (manager.save, manager.restore_latest, lambda: manager.pin(1)):
                with pytest.raises(RuntimeError, match="forked"):
                    call()
            manager.close()
            return path == manager.latest_checkpoint

        assert in_child(look)
        with pytest.raises(ckpt.DirectoryInUseError):
            manage(tmp_path)
        assert str(tmp_path / "ckpt-2") == manager.save()

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_waits_for_nobody(self, tmp_path: Path) -> None:
        """While a thread of the parent saves, a child reads the properties, and closes."""
        holding, done = threading.Event(), threading.Event()

        class Slow(ckpt.PythonState):
            def serialize(self) -> bytes:
                holding.set()
                done.wait()
                return b""

            def deserialize(self, serialized: bytes) -> None: ...

        slow = ckpt.CheckpointManager(ckpt.Checkpoint(x=Slow()), tmp_path, 1, checkpoint_name="s")
        saving = threading.Thread(target=slow.save)
        saving.start()
        holding.wait()

        def read_and_close() -> bool:
            signal.alarm(20)  # instead of waiting for ever
            read = slow.checkpoints, slow.latest_checkpoint, slow.best_checkpoint
            with pytest.raises(RuntimeError, match="forked"):
                slow.plan()
            slow.close()
            return read == ([], None, None)

        assert in_child(read_and_close)
        done.set()
        saving.join()
        assert ["s-1"] == bare(slow.checkpoints)

    def test_threads_take_turns(self, tmp_path: Path) -> None:
        """Saves of several threads each get a number, and the count holds at the end."""
        manager = manage(tmp_path, 2)
        paths: list[str] = []
        threads = [threading.Thread(target=lambda: paths.append(manager.save())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [f"ckpt-{n}" for n in range(1, 7)] == sorted(bare(paths))
        assert ["ckpt-5", "ckpt-6"] == bare(manager.checkpoints)

    def test_a_closed_manager_works_no_more(self, tmp_path: Path) -> None:
        """After close, everything but reading its properties is refused."""
        with manage(tmp_path) as manager:
            path = manager.save()
        manager.close()
        for call in (
            manager.save,
            manager.plan,
            manager.restore_latest,
            manager.restore_or_initialize,
            lambda: manager.pin(1),
            lambda: manager.unpin(1),
        ):
            with pytest.raises(RuntimeError, match="closed"):
                call()
        assert [path] == manager.checkpoints
        assert path == manager.latest_checkpoint

    def test_a_copied_directory_goes_on(self, tmp_path: Path) -> None:
        """A copy under another path has the same order, pins and best."""
        options = {"keep_best": 1, "metric": "acc"}
        with manage(tmp_path / "a", 1, **options) as manager:
            for accuracy in (3, 1, 2):
                manager.save(metrics={"acc": accuracy}, pin=accuracy == 1)
            before = str(manager.plan())
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        shutil.rmtree(tmp_path / "a")
        manager = manage(tmp_path / "b", 1, **options)

        assert before == str(manager.plan())
        assert ["ckpt-1", "ckpt-2", "ckpt-3"] == bare(manager.checkpoints)
        assert str(tmp_path / "b" / "ckpt-3") == manager.restore_or_initialize()
        assert str(tmp_path / "b" / "ckpt-1") == manager.best_checkpoint


class TestOwnership:
    def test_what_no_manager_saved_is_left_alone(self) -> None:
        """Checkpoints of the same name by other means are neither listed nor deleted, but told."""
        world = World(max_to_keep=1)
        world.manager.save()
        plain = ckpt.Checkpoint(x=2)
        for number in (5, 6):
            options = ckpt.SaveOptions()
            save_checkpoint(
                plain,
                f"{DIRECTORY}/ckpt-{number}",
                options,
                numbered=False,
                storage=world.storage,
            )
        with pytest.warns(ckpt.CheckpointWarning, match="numbers up to 6"):
            world.manager.save()
        world.restart()
        world.manager.save()

        assert ["ckpt-8"] == world.names()
        assert ["ckpt-5", "ckpt-6", "ckpt-8"] == world.on_disk()
        assert [
            "keep    ckpt-5  left alone: no manager of this name saved it",
            "keep    ckpt-6  left alone: no manager of this name saved it",
            "keep    ckpt-8  the latest",
        ] == str(world.manager.plan()).splitlines()

    def test_somebody_elses_number_is_not_replaced(self, tmp_path: Path) -> None:
        """A number under which a checkpoint stands that no manager saved is refused."""
        ckpt.Checkpoint(x=2).write(tmp_path / "ckpt-5")
        manager = manage(tmp_path)
        with pytest.raises(ckpt.CheckpointExistsError, match="ckpt-5"):
            manager.save(5)
        assert {"x": 2} == ckpt.load(tmp_path / "ckpt-5")
        assert [] == manager.checkpoints

    def test_somebody_elses_damaged_number_is_not_replaced(self, tmp_path: Path) -> None:
        """Though a shard of it is damaged: its index is whole, and says that it is not ours."""
        ckpt.Checkpoint(x=np.arange(999)).write(tmp_path / "ckpt-5")
        shard = next(tmp_path.glob("ckpt-5.data-*"))
        shard.write_bytes(shard.read_bytes()[:-8])
        with pytest.raises(ckpt.CheckpointExistsError, match="ckpt-5"):
            manage(tmp_path).save(5)

    def test_a_damaged_number_can_be_saved_again(self, tmp_path: Path) -> None:
        """A program that comes back to a step replaces what was damaged there; it counts as new."""
        with manage(tmp_path) as manager:
            manager.save(5)
            manager.save(6)
        index = tmp_path / "ckpt-6.index"
        index.write_bytes(index.read_bytes()[:-3])
        manager = manage(tmp_path)
        assert ["ckpt-5"] == bare(manager.checkpoints)
        manager.save(6)
        assert ["ckpt-5", "ckpt-6"] == bare(manager.checkpoints)
        assert [] == ckpt.verify(tmp_path / "ckpt-6")

    def test_a_checkpoint_replaced_by_somebody_else_is_not_the_managers(
        self, tmp_path: Path
    ) -> None:
        """What is written over a managed checkpoint by other means is left alone from then on."""
        manager = manage(tmp_path, 1)
        manager.save()
        ckpt.Checkpoint(x=2).write(tmp_path / "ckpt-1")
        manager.save()
        manager.save()
        assert {"x": 2} == ckpt.load(tmp_path / "ckpt-1")
        assert ["ckpt-3"] == bare(manager.checkpoints)

    def test_a_damaged_index_is_left_alone(self, tmp_path: Path) -> None:
        """What cannot be read is neither adopted nor deleted; the plan says why."""
        with manage(tmp_path) as manager:
            paths = [manager.save() for _ in range(3)]
        Path(paths[0] + ".index").write_bytes(b"damaged")
        manager = manage(tmp_path, 1)
        manager.restore_latest()
        manager.save()

        assert b"damaged" == Path(paths[0] + ".index").read_bytes()
        assert ["ckpt-4"] == bare(manager.checkpoints)
        assert "ckpt-1  left alone: cannot be read: " in str(manager.plan())

    def test_what_the_user_deletes_is_gone(self, tmp_path: Path) -> None:
        """A checkpoint that somebody deleted is not listed, and no older one goes in its place."""
        manager = manage(tmp_path, 3)
        paths = [manager.save() for _ in range(3)]
        ckpt.remove_checkpoint(paths[2])
        assert paths[1] == manager.latest_checkpoint
        assert paths[:2] == manager.checkpoints
        manager.save(4)
        assert ["ckpt-1", "ckpt-2", "ckpt-4"] == bare(manager.checkpoints)

    def test_two_names_share_a_directory(self, tmp_path: Path) -> None:
        """Neither touches the other's checkpoints, nor what the state file lists of them."""
        a = manage(tmp_path, 1, checkpoint_name="a")
        b = manage(tmp_path, 2, checkpoint_name="b")
        for _ in range(3):
            a.save()
            b.save()
        state = read_state(LOCAL, str(tmp_path))
        assert state is not None
        assert ("a-3", "b-2", "b-3") == state.all_model_checkpoint_paths
        assert "b-3" == state.model_checkpoint_path
        a.save()
        state = read_state(LOCAL, str(tmp_path))
        assert state is not None
        assert ("b-2", "b-3", "a-4") == state.all_model_checkpoint_paths
        assert 3 == len(state.all_model_checkpoint_timestamps)
        assert str(tmp_path / "a-4") == ckpt.latest_checkpoint(tmp_path)
        assert (["a-4"], ["b-2", "b-3"]) == (bare(a.checkpoints), bare(b.checkpoints))

    def test_renamed_files_are_left_alone(self, tmp_path: Path) -> None:
        """What a manager of another name saved stays its own, whatever it is called now."""
        manage(tmp_path, checkpoint_name="a").save()
        for file in tmp_path.glob("a-1.*"):
            file.rename(tmp_path / file.name.replace("a-1", "ckpt-1"))
        manager = manage(tmp_path)
        assert [] == manager.checkpoints
        assert "no manager of this name saved it" in str(manager.plan())

    def test_padded_numbers_are_left_alone(self, tmp_path: Path) -> None:
        """A number with zeros before it is not what a manager calls its checkpoints."""
        manager = manage(tmp_path, 1)
        manager.save(7)
        for file in tmp_path.glob("ckpt-7.*"):
            file.rename(tmp_path / file.name.replace("ckpt-7", "ckpt-007"))
        assert [] == manager.checkpoints
        assert str(tmp_path / "ckpt-007") == manager.latest_checkpoint
        for number in (8, 7, 9):
            manager.save(number)
        assert [str(tmp_path / "ckpt-9")] == manager.checkpoints
        assert [str(tmp_path / "ckpt-007")] == [
            d.path for d in manager.plan().decisions if "left alone" in str(d)
        ]

    def test_names_with_numbers_are_told_apart(self, tmp_path: Path) -> None:
        """A manager `run` leaves alone what a manager `run-1` has saved."""
        a = manage(tmp_path, 1, checkpoint_name="run")
        b = manage(tmp_path, 1, checkpoint_name="run-1")
        for _ in range(2):
            a.save()
            b.save()
        assert ["run-2"] == bare(a.checkpoints)
        assert ["run-1-2"] == bare(b.checkpoints)


class TestOpening:
    def test_fewer_to_keep_deletes_at_the_next_save(self) -> None:
        """A new manager with a smaller number deletes nothing before its first save."""
        world = World(max_to_keep=None)
        for _ in range(4):
            world.manager.save()
        world.restart(max_to_keep=2)
        assert ["ckpt-1", "ckpt-2", "ckpt-3", "ckpt-4"] == world.names() == world.on_disk()
        assert ["ckpt-1", "ckpt-2"] == bare(world.manager.plan().deleted)
        world.manager.save()
        assert ["ckpt-4", "ckpt-5"] == world.names() == world.on_disk()

    def test_order_is_that_of_the_state_file(self) -> None:
        """Numbers saved out of order stay so over a restart."""
        world = World(max_to_keep=3)
        for number in (7, 3, 5):
            world.manager.save(number)
        world.restart()
        assert ["ckpt-7", "ckpt-3", "ckpt-5"] == world.names()
        assert "run/ckpt-5" == world.manager.latest_checkpoint

    @pytest.mark.parametrize("content", [None, b"", b"damaged"])
    def test_order_without_a_state_file_is_that_of_the_numbers(self, content: bytes | None) -> None:
        """Without a state file numbers decide; times of files say nothing."""
        world = World(max_to_keep=5)
        for number in (7, 3, 9, 8):
            world.manager.save(number)
            world.clock.tick(0 if number == 9 else 1)
        world.remove("checkpoint")
        if content is not None:
            file = world.storage.create(f"{DIRECTORY}/checkpoint")
            file.write([content])
            file.close()
        world.restart()
        assert ["ckpt-3", "ckpt-7", "ckpt-8", "ckpt-9"] == world.names()
        assert "run/ckpt-9" == world.manager.latest_checkpoint

    def test_what_is_not_listed_stands_by_its_number(self) -> None:
        """It comes after the last listed one with a lower number, however old its file seems."""
        world = World(max_to_keep=None)
        for number in (8, 4, 6):
            world.manager.save(number, pin=True)
        state = read_all(world.storage, f"{DIRECTORY}/checkpoint")
        world.clock.tick(-30)
        for number in (9, 5, 2, 7):
            world.manager.save(number)
        world.remove("checkpoint")
        file = world.storage.create(f"{DIRECTORY}/checkpoint")
        file.write([state])
        file.close()
        world.restart()
        assert [2, 8, 4, 5, 6, 7, 9] == [int(n.removeprefix("ckpt-")) for n in world.names()]

    def test_a_touched_checkpoint_keeps_its_place(self) -> None:
        """A file whose time changed is looked into again; its checkpoint stays where it was."""
        world = World(max_to_keep=3)
        for _ in range(3):
            world.manager.save()
            world.clock.tick(1)
        index = f"{DIRECTORY}/ckpt-1.index"
        world.storage.rename(index, index)
        assert ["ckpt-1", "ckpt-2", "ckpt-3"] == world.names()
        world.manager.save()
        assert ["ckpt-2", "ckpt-3", "ckpt-4"] == world.names()

    def test_readers_need_no_lock(self, tmp_path: Path) -> None:
        """Beside a manager the directory is read as ever, and the state file is TensorFlow's."""
        manager = manage(tmp_path, 2)
        paths = [manager.save() for _ in range(3)]
        text = (tmp_path / "checkpoint").read_text().splitlines()
        assert paths[2] == ckpt.latest_checkpoint(tmp_path)
        assert [
            'model_checkpoint_path: "ckpt-3"',
            'all_model_checkpoint_paths: "ckpt-2"',
            'all_model_checkpoint_paths: "ckpt-3"',
        ] == text[:3]
        assert ["all_model_checkpoint_timestamps"] * 2 + ["last_preserved_timestamp"] == [
            line.split(":")[0] for line in text[3:]
        ]
