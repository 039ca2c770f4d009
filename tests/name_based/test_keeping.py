"""Which checkpoints a `Saver` keeps, what the state file says, and what a restart remembers."""

from __future__ import annotations

import errno
import itertools
import math
import os
import pathlib
import shutil
import warnings
from contextlib import suppress
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.bundle.files import read_name
from checkpointable.checkpoint import save_checkpoint
from checkpointable.directory.removal import remove_checkpoints
from checkpointable.directory.state_file import CheckpointState, read_state, write_state
from checkpointable.name_based.keeping import Keeping
from checkpointable.name_based.listed import Place
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.faults import Fault, FaultyStorage
from tests.harness.wrapping import WrappedStorage

FAST = ckpt.SaveOptions(durable=False)
HOUR = 3600.0


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def on_disk(disk: MemoryStorage) -> set[str]:
    """The names of the checkpoints in `/run`."""
    names = [os.path.basename(path) for path in disk.image().files]
    return {read_name(name).prefix for name in names if name.endswith(".index")}


def bases(paths) -> list[str]:
    """The last parts of paths."""
    return [os.path.basename(path) for path in paths]


class Run:
    """Savers over one directory in memory, one after the other."""

    def __init__(self, **fields: Any) -> None:
        self.disk, self.clock = MemoryStorage(), Clock()
        self.start(**fields)

    def start(self, **fields: Any) -> None:
        """Begin a new program: a new Saver."""
        fields.setdefault("options", FAST)
        self.saver = ckpt.Saver({"w": np.zeros(1)}, storage=self.disk, clock=self.clock, **fields)

    def save(self, *names: str, hours: float = 0.0, **fields: Any) -> None:
        """Save under each of some names, so many hours after another."""
        for name in names:
            self.clock.now += hours * HOUR
            self.saver.save(None, f"/run/{name}", **fields)

    @property
    def last(self) -> list[str]:
        """What the Saver keeps."""
        return bases(self.saver.last_checkpoints)

    @property
    def there(self) -> list[str]:
        """What is on the disk."""
        return sorted(on_disk(self.disk))

    @property
    def state(self) -> CheckpointState:
        """What the state file says."""
        state = read_state(self.disk, "/run")
        assert state is not None
        return state


class TestMaxToKeep:
    def test_saving_again_moves_to_the_end(self):
        """The sequence that users know: 1, 2, 3, 2 keeps 3 and 2; then 1 keeps 2 and 1."""
        run = Run(max_to_keep=2)
        seen = []
        for name in ("s1", "s2", "s3", "s2", "s1"):
            run.save(name)
            seen.append((run.last, run.there))
        expected = [["s1"], ["s1", "s2"], ["s2", "s3"], ["s3", "s2"], ["s2", "s1"]]
        assert [(last, sorted(last)) for last in expected] == seen

    @pytest.mark.parametrize("none", [0, None])
    def test_without_a_limit_nothing_is_deleted(self, none):
        """Nothing is remembered either, and the state file lists the latest alone."""
        run = Run(max_to_keep=none)
        run.save("m-1", "m-2", "m-3")
        assert ([], ["m-1", "m-2", "m-3"]) == (run.last, run.there)
        assert ("m-3", ("m-3",)) == (
            run.state.model_checkpoint_path,
            run.state.all_model_checkpoint_paths,
        )

    def test_five_are_kept_by_default(self):
        """The latest five."""
        run = Run()
        run.save(*(f"m-{n}" for n in range(12)))
        assert [f"m-{n}" for n in range(7, 12)] == run.last == sorted(run.there, key=run.last.index)

    def test_all_that_is_surplus_goes_at_once(self):
        """A list that is longer than the limit shrinks to it with the next save."""
        run = Run(max_to_keep=0)
        run.save(*(f"m-{n}" for n in range(6)))
        run.start(max_to_keep=2)
        run.saver.set_last_checkpoints_with_time([(f"/run/m-{n}", 5.0 + n) for n in range(6)])
        run.save("m-6")
        assert ["m-5", "m-6"] == run.last == run.there

    def test_in_both_modes_and_on_a_real_disk(self, tmp_path, mode):
        """With every file of a checkpoint, whatever its form."""
        w = mode.variable(1.0, "w")
        for version, sharded in ((1, False), (2, False), (2, True)):
            directory = tmp_path / f"{version}{sharded}"
            saver = ckpt.Saver([w], max_to_keep=2, sharded=sharded, write_version=version)
            paths = [saver.save(mode.session, directory / "m", n) for n in range(4)]
            assert paths[2:] == saver.last_checkpoints
            left = {read_name(name).prefix.removesuffix(".meta") for name in os.listdir(directory)}
            assert {"m-2", "m-3", "checkpoint"} == left

    def test_what_is_gone_already_is_no_matter(self):
        """A checkpoint that somebody else has deleted leaves the list like the others."""
        run = Run(max_to_keep=2)
        run.save("m-1", "m-2")
        remove_checkpoints(run.disk, ["/run/m-1"])
        run.save("m-3", "m-4")
        assert ["m-3", "m-4"] == run.last == run.there

    def test_meta_graphs_go_with_their_checkpoint(self, tmp_path):
        """And what explains them, whatever their suffix; nothing of others goes."""
        for suffix in ("meta", "graph"):
            for name in (f"m-1.{suffix}", f"m-1_debug.{suffix}", f"m-10.{suffix}", f"m.{suffix}"):
                (tmp_path / name).write_text("about a graph")
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            session.run(ckpt.Variable(1.0, name="w").initializer)
            saver = ckpt.Saver(max_to_keep=1)
            for step in (1, 2):
                saver.save(session, tmp_path / "m", step, meta_graph_suffix="graph")
        left = {name for name in os.listdir(tmp_path) if name.endswith((".graph", ".meta"))}
        expected = {"m-1.meta", "m-1_debug.meta", "m-10.meta", "m.meta", "m-10.graph", "m.graph"}
        assert {*expected, "m-2.graph"} == left

    def test_without_a_graph_there_are_no_meta_graphs(self, tmp_path):
        """So a file that is called as one is somebody else's, and stays."""
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1)
        saver.save(None, tmp_path / "m", 1)
        notes = ["m-1.meta", "m-1.meta.0123456789abcdef.tmp", "m-1_debug.meta"]
        for name in notes:
            (tmp_path / name).write_text("notes")
        saver.save(None, tmp_path / "m", 2)
        assert notes == sorted(name for name in os.listdir(tmp_path) if ".meta" in name)

    def test_leftovers_of_their_writers_go_too(self, tmp_path):
        """What a program left that died while it wrote the meta graph of what is deleted."""
        names = [f"m-1{rest}.0123456789abcdef.tmp" for rest in (".meta", "_debug.meta", "0.meta")]
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            session.run(ckpt.Variable(1.0, name="w").initializer)
            saver = ckpt.Saver(max_to_keep=1)
            saver.save(session, tmp_path / "m", 1)
            for name in names:
                (tmp_path / name).write_text("half a graph")
            saver.save(session, tmp_path / "m", 2)
        assert names[2:] == [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]

    def test_without_the_state_nothing_is_remembered(self):
        """`write_state=False`: no state file, no list, nothing deleted."""
        run = Run(max_to_keep=1)
        run.save("m-1", "m-2", "m-3", write_state=False)
        assert ([], ["m-1", "m-2", "m-3"]) == (run.last, run.there)
        assert read_state(run.disk, "/run") is None


class TestOtherPaths:
    def test_the_working_directory_may_change(self, tmp_path, monkeypatch):
        """What was saved is deleted where it was saved, and nothing where it was not."""
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=2)
        for directory in ("a", "b"):
            (tmp_path / directory).mkdir()
            monkeypatch.chdir(tmp_path / directory)
            ckpt.Saver({"w": np.zeros(1)}).save(None, "run/m", 1, write_state=False)
        monkeypatch.chdir(tmp_path / "a")
        saver.save(None, "run/m", 1)
        monkeypatch.chdir(tmp_path / "b")
        saver.save(None, "run/m", 2)
        assert ["run/m-1", "run/m-2"] == saver.last_checkpoints
        state = read_state(LOCAL, "run")
        assert (str(tmp_path / "a/run/m-1"), "m-2") == state.all_model_checkpoint_paths
        saver.save(None, "run/m", 3)
        left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.index")]
        assert [f"b/run/m-{n}.index" for n in (1, 2, 3)] == sorted(left)

    def test_the_working_directory_may_go(self, tmp_path, monkeypatch):
        """What was saved from there before is still found, by its absolute path."""
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1)
        monkeypatch.chdir(tmp_path)
        saver.save(None, "run/m", 1)
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        saver.save(None, tmp_path / "run/m", 2)
        assert ["m-2.index"] == [path.name for path in tmp_path.glob("run/*.index")]

    def test_relative_paths_are_deleted_in_memory_too(self):
        """A storage without a working directory is asked for them as they were given."""
        disk = MemoryStorage()
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1, storage=disk)
        for step in range(3):
            saver.save(None, "run/m", step)
        assert {"m-2"} == on_disk(disk)

    def test_what_is_kept_is_not_deleted_under_another_path(self, tmp_path):
        """A directory that is reached through a link too, by names with numbers and without."""
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1, write_version=1)
        for directory in ("real", "link", "real"):
            path = saver.save(None, tmp_path / directory / "m")
            assert ckpt.checkpoint_exists(path)
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=3)
        for step, directory in enumerate(("real", "real", "link", "real", "link", "link")):
            saver.save(None, tmp_path / directory / "n", step)
            assert all(ckpt.checkpoint_exists(path) for path in saver.last_checkpoints)
        assert ["n-3", "n-4", "n-5"] == bases(saver.last_checkpoints)
        assert [f"n-{n}.index" for n in (3, 4, 5)] == sorted(
            path.name for path in tmp_path.glob("real/*.index")
        )


class TestEveryHours:
    def test_one_is_kept_for_good_for_so_many_hours(self):
        """Judged when it leaves the latest, from the last one that was kept for good on."""
        run = Run(max_to_keep=2, keep_checkpoint_every_n_hours=2)
        run.save(*(f"m-{n:02d}" for n in range(1, 13)), hours=0.75)
        # Saved after 0.75, 1.5, 2.25 ... hours: the first after 2 hours, the first 2 after that.
        assert ["m-03", "m-06", "m-09", "m-11", "m-12"] == run.there
        assert ["m-11", "m-12"] == run.last

    def test_after_a_long_pause_one_is_kept_not_several(self):
        """The hours are counted from the one that was kept: they do not drift."""
        run = Run(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        run.save("m-1")
        run.save("m-2", hours=10)
        run.save("m-3", "m-4", "m-5", "m-6", hours=0.1)
        assert ["m-2", "m-6"] == run.there

    def test_by_default_it_never_happens(self):
        """10,000 hours are more than a year."""
        run = Run(max_to_keep=1)
        run.save("m-1", "m-2", "m-3", hours=4000)
        assert ["m-3"] == run.there

    def test_a_clock_that_was_set_back_errs_toward_keeping(self):
        """The hours are counted from then on."""
        run = Run(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        run.save("m-1", "m-2", hours=2)
        run.clock.now -= 100 * HOUR
        run.save("m-3", "m-4", "m-5", "m-6", "m-7", hours=1)
        assert ["m-1", "m-2", "m-5", "m-6", "m-7"] == run.there


class TestTheList:
    def test_it_is_a_new_list(self):
        """What a caller does with it changes nothing."""
        run = Run()
        run.save("m-1")
        run.saver.last_checkpoints.append("x")
        assert ["/run/m-1"] == run.saver.last_checkpoints

    def test_it_can_be_replaced_by_what_is_never_deleted(self):
        """Without times; when such a one is no longer among the latest it leaves the list."""
        run = Run(max_to_keep=0)
        run.save("a", "b")
        run.start(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        run.saver.set_last_checkpoints(["/run/a", "/run/b"])
        assert ["a", "b"] == run.last
        run.save("c", "d", hours=0.1)
        assert (["d"], ["a", "b", "d"]) == (run.last, run.there)
        run.save("e", "f", hours=1)
        assert ["a", "b", "e", "f"] == run.there, "the hours go on being counted"

    def test_it_can_be_replaced_by_what_has_times(self):
        """Of one path given twice the last counts; the state file is not asked any more."""
        run = Run(max_to_keep=3)
        run.save("m-1", "m-2", "m-3")
        run.start(max_to_keep=3)
        run.saver.set_last_checkpoints_with_time([("/run/m-2", 1.0), ("/run/m-1", 2.0)])
        run.save("m-4", "m-5")
        assert ["m-1", "m-4", "m-5"] == run.last
        assert ["m-1", "m-3", "m-4", "m-5"] == run.there
        run.saver.set_last_checkpoints_with_time([("/run/m-5", 1.0), ("/run/./m-5", 2.0)])
        assert ["m-5"] == run.last

    @pytest.mark.parametrize("none", [0, None])
    def test_without_a_limit_the_latest_is_still_listed_last(self, none):
        """After what the list was replaced by, in which it may stand already."""
        run = Run(max_to_keep=none)
        run.save("m-1", "m-2")
        for again in ("m-3", "m-1"):
            run.saver.set_last_checkpoints_with_time([("/run/m-1", 1.0), ("/run/m-2", 2.0)])
            run.save(again)
            listed = [name for name in ("m-1", "m-2") if name != again]
            assert (
                CheckpointState(
                    again,
                    (*listed, again),
                    (*(float(name[-1]) for name in listed), run.clock.now),
                    run.clock.now,
                )
                == run.state
            )
            assert again == os.path.basename(ckpt.latest_checkpoint("/run", storage=run.disk))

    def test_only_lists_are_taken(self):
        """Anything else is an AssertionError; what is in the list must be pairs."""
        saver = Run().saver
        for wrong in (None, "m-1", ("m-1",), {"m-1": 1.0}):
            with pytest.raises(AssertionError, match="expected a list"):
                saver.set_last_checkpoints(wrong)
            with pytest.raises(AssertionError, match="expected a list"):
                saver.set_last_checkpoints_with_time(wrong)
        for wrong in (["m-1"], [("m-1", "now")], [(5, 1.0)]):
            with pytest.raises((TypeError, ValueError)):
                saver.set_last_checkpoints_with_time(wrong)
        for wrong in ("m-1", b"m-1", pathlib.Path("m-1"), None, [5]):
            with pytest.raises(TypeError, match=r"expected a list of paths|path 5"):
                saver.recover_last_checkpoints(wrong)
        assert [] == saver.last_checkpoints

    def test_it_can_be_recovered_from_what_is_there(self, tmp_path):
        """With the times of the files; what is missing is left out, sharded patterns count."""
        first = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=0, sharded=True)
        paths = [first.save(None, tmp_path / "m", n) for n in range(3)]
        for number, path in enumerate(sorted(tmp_path.glob("*.index"))):
            os.utime(path, (number, 1000.0 + number))
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=2)
        saver.recover_last_checkpoints([*paths, tmp_path / "missing"])
        assert paths == saver.last_checkpoints
        last = saver.save(None, tmp_path / "m", 3)
        assert [paths[2], last] == saver.last_checkpoints
        state = read_state(LOCAL, str(tmp_path))
        assert 1002.0 == state.all_model_checkpoint_timestamps[0]


class TestStateFile:
    def test_it_lists_what_is_kept(self):
        """The oldest first, with times, relative to its directory, and the time of the rule."""
        run = Run(max_to_keep=2)
        began = run.clock.now
        run.save("m-1", "m-2", "m-3", hours=1)
        times = (began + 2 * HOUR, began + 3 * HOUR)
        assert CheckpointState("m-3", ("m-2", "m-3"), times, began) == run.state

    def test_sharded_savers_list_plain_prefixes(self, tmp_path):
        """So every reader of state files finds them."""
        saver = ckpt.Saver({"w": np.zeros(1)}, sharded=True)
        saver.save(None, tmp_path / "m", 1)
        text = (tmp_path / "checkpoint").read_text()
        assert text.startswith('model_checkpoint_path: "m-1"\nall_model_checkpoint_paths: "m-1"\n')

    @pytest.mark.parametrize(
        ("relative", "expected"), [(False, "/other/m-1"), (True, "../other/m-1")]
    )
    def test_other_directories_are_named_as_asked(self, relative, expected):
        """Absolutely, or relatively with `save_relative_paths`."""
        run = Run(save_relative_paths=relative)
        run.saver.save(None, "/other/m-1")
        run.save("n-2")
        assert (expected, "n-2") == run.state.all_model_checkpoint_paths

    def test_the_directory_may_be_copied_elsewhere(self, tmp_path):
        """The copy has a latest checkpoint of its own, and a Saver there goes on."""
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=2)
        for step in range(3):
            saver.save(None, tmp_path / "a" / "m", step)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        assert str(tmp_path / "b" / "m-2") == ckpt.latest_checkpoint(tmp_path / "b")
        again = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=2)
        again.save(None, tmp_path / "b" / "m", 3)
        assert ["m-2", "m-3"] == bases(again.last_checkpoints)
        assert ["m-1.index", "m-2.index"] == sorted(p.name for p in tmp_path.glob("a/*.index"))

    def test_what_it_lists_of_other_names_stays(self):
        """Two savers of different names share a directory and its state file."""
        run = Run(max_to_keep=1)
        other = ckpt.Saver(
            {"w": np.zeros(1)}, max_to_keep=1, storage=run.disk, clock=run.clock, options=FAST
        )
        for step in range(3):
            run.save(f"a-{step}")
            other.save(None, "/run/b", step)
        assert ("a-2", "b-2") == run.state.all_model_checkpoint_paths
        assert ["a-2", "b-2"] == run.there

    def test_what_is_deleted_is_not_listed(self):
        """Not under another name either that the saver has used before."""
        run = Run(max_to_keep=1)
        run.save("a-1", "b-1")
        assert (["b-1"], ("b-1",)) == (run.there, run.state.all_model_checkpoint_paths)

    def test_a_damaged_one_is_replaced(self):
        """Whatever stands in it; nothing is known of older checkpoints then."""
        for damaged in (b"", b"\0\xff garbage", b'model_checkpoint_path: "'):
            run = Run(max_to_keep=1)
            run.save("m-1")
            files = {**run.disk.image().files, "/run/checkpoint": damaged}
            run.disk = MemoryStorage(DiskImage(files))
            run.start(max_to_keep=1)
            run.save("m-2", "m-3")
            assert (["m-1", "m-3"], ("m-3",)) == (run.there, run.state.all_model_checkpoint_paths)


class TestRestarts:
    def test_a_new_saver_goes_on_where_the_older_ended(self):
        """It takes over what the state file lists under its name."""
        run = Run(max_to_keep=3)
        run.save("m-1", "m-2", "m-3")
        run.start(max_to_keep=3)
        assert [] == run.last, "nothing is read before the first save"
        run.save("m-4")
        assert ["m-2", "m-3", "m-4"] == run.last == run.there

    def test_a_smaller_limit_holds_from_the_first_save_on(self):
        """All that is surplus goes then."""
        run = Run(max_to_keep=5)
        run.save(*(f"m-{n}" for n in range(5)))
        run.start(max_to_keep=2)
        run.save("m-5")
        assert ["m-4", "m-5"] == run.last == run.there

    def test_the_hours_go_on_being_counted(self):
        """From the last one that was kept for good, before the restart."""
        plain, restarted = (Run(max_to_keep=1, keep_checkpoint_every_n_hours=2) for _ in range(2))
        for number in range(20):
            plain.save(f"m-{number:02d}", hours=0.7)
            restarted.start(max_to_keep=1, keep_checkpoint_every_n_hours=2)
            restarted.save(f"m-{number:02d}", hours=0.7)
        assert plain.there == restarted.there
        assert 5 < len(plain.there) < 10

    def test_the_hours_are_those_of_the_first_directory(self):
        """A saver that has begun to count does not take over the time of another directory."""
        run = Run(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        run.save("../other/m-1")
        run.clock.now += 10 * HOUR
        run.start(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        run.save("n-1", "../other/m-2", "../other/m-3", hours=0.1)
        found = [path for path in run.disk.image().files if path.endswith(".index")]
        assert ["/other/m-3.index"] == found

    def test_without_times_those_of_the_files_count(self, tmp_path):
        """A state file that another library wrote may have none."""
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=0)
        for step in range(2):
            saver.save(None, tmp_path / "m", step)
        text = 'model_checkpoint_path: "m-1"\n' + "".join(
            f'all_model_checkpoint_paths: "{name}"\n' for name in ("m-0", "m-1")
        )
        (tmp_path / "checkpoint").write_text(text)
        os.utime(tmp_path / "m-1.index", (5.0, 5.0))
        again = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=2)
        again.save(None, tmp_path / "m", 2)
        assert ["m-1", "m-2"] == bases(again.last_checkpoints)
        assert "all_model_checkpoint_timestamps: 5.0" in (tmp_path / "checkpoint").read_text()

    def test_only_its_own_name_counts(self):
        """Checkpoints of other names, and those that are not there, are not taken over."""
        run = Run(max_to_keep=5)
        run.save("m-1", "m-2", "x-1", "m-3")
        remove_checkpoints(run.disk, ["/run/m-2"])
        run.start(max_to_keep=5)
        run.save("m-4")
        assert ["m-1", "m-3", "m-4"] == run.last
        assert ("x-1", "m-1", "m-3", "m-4") == run.state.all_model_checkpoint_paths

    @pytest.mark.parametrize("relative", [False, True])
    def test_what_is_listed_of_another_directory_is_not_taken_for_one_here(self, relative):
        """A checkpoint of the same name, which only stands beside the state file, stays."""
        run = Run(save_relative_paths=relative)
        run.save("m-1", write_state=False)
        run.save("../other/m-1", "m-2")
        assert run.state.all_model_checkpoint_paths[0].endswith("/other/m-1")
        run.start(max_to_keep=1)
        run.save("m-3")
        left = [path for path in run.disk.image().files if path.endswith(".index")]
        assert ["/other/m-1.index", "/run/m-1.index", "/run/m-3.index"] == sorted(left)
        assert ("m-3",) == run.state.all_model_checkpoint_paths

    def test_absolute_entries_of_the_very_directory_count(self):
        """As another program may write them."""
        run = Run(max_to_keep=0)
        run.save("m-1", "m-2")
        state = CheckpointState("/run/m-2", ("/run/m-1", "/run/m-2"), (1.0, 2.0))
        write_state(run.disk, "/run", state)
        run.start(max_to_keep=2)
        run.save("m-3")
        assert ["m-2", "m-3"] == run.last == run.there

    def test_a_crash_before_the_deletion_leaves_nothing_behind(self):
        """What is to be deleted is listed until it is gone, so the next Saver deletes it."""
        run = Run(max_to_keep=1)
        run.save("m-1")
        broken = _NoRemoval(run.disk)
        run.saver = ckpt.Saver(
            {"w": np.zeros(1)}, max_to_keep=1, storage=broken, clock=run.clock, options=FAST
        )
        with pytest.raises(KeyboardInterrupt):
            run.save("m-2")
        assert ["m-1", "m-2"] == run.there
        run.start(max_to_keep=1)
        run.save("m-3")
        assert ["m-3"] == run.there == run.last

    @pytest.mark.parametrize(
        "kind",
        [{"errno": errno.EIO}, {"errno": errno.EIO, "sticky": True}, {"errno": errno.EMFILE}, {}],
        ids=str,
    )
    def test_no_failure_loses_what_is_to_be_taken_over(self, kind):
        """Whatever fails, or is interrupted, after the first save: the second makes up for it."""
        for at in itertools.count():
            run = Run(max_to_keep=2, keep_checkpoint_every_n_hours=10)
            run.save("m-1", "m-2", "m-3", hours=4)
            fault = Fault(**{"errno": 0, "at": at, "interrupt": not kind, **kind})
            keeping = Keeping(2, 10, "native", FaultyStorage(run.disk, fault), run.clock)
            place = Place("/run", "checkpoint", lambda prefix: (), relative=False)
            run.save("m-4", hours=4, write_state=False)
            with warnings.catch_warnings(), suppress(KeyboardInterrupt):
                warnings.simplefilter("ignore", ckpt.CheckpointWarning)
                keeping.keep("/run/m-4", place)
            fault.at = 10**9
            run.save("m-5", hours=0.1, write_state=False)
            keeping.keep("/run/m-5", place)
            assert ["/run/m-4", "/run/m-5"] == keeping.paths, (at, fault.hit)
            assert ["m-3", "m-4", "m-5"] == run.there, "the third is the first after 10 hours"
            assert ("m-4", "m-5") == run.state.all_model_checkpoint_paths
            if not fault.hit:
                break
        assert at > 10

    def test_a_state_file_that_stays_unreadable_is_left_as_it_is(self):
        """Each save says so; once it is gone or can be read, all goes on."""
        run = Run(max_to_keep=1)
        run.save("m-1")
        run.disk = _Unreadable(run.disk)
        run.start(max_to_keep=1)
        for name in ("m-2", "m-3"):
            with pytest.warns(ckpt.CheckpointWarning, match=r"cannot be read .* stays so, delete"):
                run.save(name)
            assert [name] == run.last
        run.disk.is_broken = False
        assert (["m-1", "m-3"], ("m-1",)) == (run.there, run.state.all_model_checkpoint_paths)
        run.save("m-4")
        assert (["m-4"], ("m-4",)) == (run.there, run.state.all_model_checkpoint_paths)


class _Unreadable(WrappedStorage):
    """A storage in memory in which the state file cannot be opened."""

    def image(self):
        """What is there."""
        return self.inner.image()

    is_broken = True

    def open_read(self, path):
        if self.is_broken and path.endswith("/checkpoint"):
            raise ckpt.StorageError(f"{path}: no", errno=errno.EIO, path=path)
        return super().open_read(path)


class _NoRemoval:
    """A storage in which the program dies when an index is to be removed."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def remove(self, path):
        if path.endswith(".index"):
            raise KeyboardInterrupt
        self._inner.remove(path)


class TestForeignFiles:
    def test_what_is_not_name_based_is_never_deleted(self):
        """An object-based checkpoint under a listed path; one warning says that it stays."""
        run = Run(max_to_keep=1)
        run.save("m-1")
        _write_objects(run.disk, "/run/m-1")
        with pytest.warns(ckpt.CheckpointWarning, match="m-1: would be deleted now, but is left"):
            run.save("m-2")
        run.save("m-3")
        assert ["m-1", "m-3"] == run.there

    def test_that_is_told_once_and_then_forgotten(self):
        """Also where warnings are errors: what follows is deleted as ever."""
        run = Run(max_to_keep=1)
        run.save("m-1")
        _write_objects(run.disk, "/run/m-1")
        with pytest.raises(ckpt.CheckpointWarning, match="m-1: would be deleted now"):
            run.save("m-2")
        assert ("m-2",) == run.state.all_model_checkpoint_paths
        run.save("m-3", "m-4")
        assert ["m-1", "m-4"] == run.there

    def test_it_is_not_taken_over_either(self):
        """Although the state file lists it under the very name."""
        run = Run(max_to_keep=1)
        run.save("m-1")
        _write_objects(run.disk, "/run/m-1")
        run.start(max_to_keep=1)
        run.save("m-2")
        assert ["m-1", "m-2"] == run.there

    def test_files_of_other_kinds_stay(self, tmp_path):
        """Notes, damaged checkpoints, those of other libraries: even if they are listed."""
        (tmp_path / "m-1").write_text("notes")
        (tmp_path / "m-2.index").write_bytes(b"\0" * 100)
        (tmp_path / "m-3").mkdir()
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1)
        listed = [(str(tmp_path / f"m-{n}"), 1.0) for n in (1, 2, 3)]
        saver.set_last_checkpoints_with_time(listed)
        with pytest.warns(ckpt.CheckpointWarning, match=r"m-[12]: would be deleted"):
            saver.save(None, tmp_path / "m", 4)
        assert {"m-1", "m-2.index", "m-3", "m-4.index"} <= {*os.listdir(tmp_path)}

    def test_state_files_do_not_lead_out_of_the_directory(self, tmp_path):
        """An entry elsewhere is never taken over, so never deleted."""
        saver = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1)
        outside = saver.save(None, tmp_path / "outside" / "m", 1)
        inside = tmp_path / "inside"
        inside.mkdir()
        for entry in (outside, "../outside/m-1"):
            (inside / "checkpoint").write_text(
                f'model_checkpoint_path: "{entry}"\nall_model_checkpoint_paths: "{entry}"\n'
            )
            again = ckpt.Saver({"w": np.zeros(1)}, max_to_keep=1)
            again.save(None, inside / "m", 2)
            again.save(None, inside / "m", 3)
        assert ckpt.checkpoint_exists(outside)

    def test_a_failing_deletion_is_tried_again(self, tmp_path, monkeypatch):
        """There is a warning, the checkpoint is saved, and the next save deletes both."""
        run = Run(max_to_keep=1)
        run.save("m-1")
        remove = MemoryStorage.remove

        def refuse(self, path):
            raise ckpt.StorageError(f"{path}: no", path=path)

        monkeypatch.setattr(MemoryStorage, "remove", refuse)
        with pytest.warns(ckpt.CheckpointWarning, match="could not be deleted; the next save"):
            run.save("m-2")
        assert (["m-2"], ["m-1", "m-2"]) == (run.last, run.there)
        assert ("m-1", "m-2") == run.state.all_model_checkpoint_paths
        monkeypatch.setattr(MemoryStorage, "remove", remove)
        run.save("m-3")
        assert ["m-3"] == run.there == [*run.state.all_model_checkpoint_paths]


def _write_objects(disk, prefix):
    """Write an object-based checkpoint."""
    from_objects = ckpt.Checkpoint(step=1)
    save_checkpoint(from_objects, prefix, FAST, numbered=False, storage=disk)


@attrs.define
class Model:
    """The retention of savers as users expect it, in plain loops; paths are names in one directory.

    Attributes:
        disk: the checkpoints that are there.
        state: what the state file lists, as (name, time); `None`: there is none.
        state_last: the time that it holds.
    """

    disk: set[str] = attrs.field(factory=set)
    state: list[tuple[str, float]] | None = None
    state_last: float = 0.0
    keep: int = 0
    hours: float = 0.0
    listed: list[tuple[str, float]] = attrs.field(factory=list)
    last: float = 0.0
    names: set[str] = attrs.field(factory=set)
    own_names: set[str] = attrs.field(factory=set)

    def start(self, keep: int, hours: float, now: float) -> None:
        """A new program."""
        self.keep, self.hours, self.last = keep, hours, now
        self.listed, self.names, self.own_names = [], set(), set()

    def save(self, path: str, now: float) -> None:
        """One save, and all that follows from it."""
        name = path.split("-", maxsplit=1)[0]
        self.disk.add(path)
        if self.keep:
            if name not in self.names:
                self._adopt(name)
            self.last = min(self.last, now)
            self.listed = [entry for entry in self.listed if entry[0] != path]
            self.listed.append((path, now))
            while len(self.listed) > self.keep:
                oldest, time = self.listed.pop(0)
                if time - self.hours * HOUR >= self.last:
                    self.last = time
                else:
                    self.disk.discard(oldest)
        own = self.listed or [(path, now)]
        self.own_names.add(name)
        others = [e for e in self.state or [] if e[0].split("-")[0] not in self.own_names]
        self.state, self.state_last = others + own, self.last

    def _adopt(self, name: str) -> None:
        is_first = not self.names and not self.listed
        self.names.add(name)
        present = {entry[0] for entry in self.listed}
        found = [
            entry
            for entry in self.state or []
            if entry[0].split("-")[0] == name and entry[0] in self.disk and entry[0] not in present
        ]
        self.listed = found + self.listed
        if found and is_first:
            self.last = self.state_last


_SAVE = st.tuples(st.just("save"), st.sampled_from(["a", "b"]), st.integers(0, 5))
_STEPS = st.one_of(
    _SAVE,
    _SAVE,
    _SAVE,
    st.tuples(st.just("wait"), st.sampled_from([0.4, 1.0, 2.5, -3.0])),
    st.tuples(
        st.just("restart"), st.integers(0, 3), st.sampled_from([0.0, 1.0, 2.0, 10000.0, math.inf])
    ),
    st.tuples(st.just("remove"), st.sampled_from("ab"), st.integers(0, 5)),
    st.tuples(st.just("lose the state file")),
)


@pytest.mark.parametrize("examples", [80, pytest.param(2000, marks=pytest.mark.campaign)])
def test_a_saver_keeps_what_a_naive_model_keeps(examples: int) -> None:
    """Over saves, saves again, waiting, clocks set back, restarts, removals, lost state files."""

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(_STEPS, min_size=1, max_size=40), st.integers(0, 3))
    def check(steps: list[tuple[Any, ...]], keep: int) -> None:
        run, model = Run(max_to_keep=keep, keep_checkpoint_every_n_hours=1.0), Model()
        model.start(keep, 1.0, run.clock.now)
        for verb, *arguments in steps:
            _do(run, model, verb, arguments)
            assert [name for name, _ in model.listed] == run.last
            assert sorted(model.disk) == run.there
            if model.state:
                paths, times = zip(*model.state, strict=True)
                expected = CheckpointState(paths[-1], paths, times, model.state_last)
                assert expected == run.state

    check()


def _do(run: Run, model: Model, verb: str, arguments: list[Any]) -> None:
    """Do one step with both."""
    if verb == "save":
        path = "{}-{}".format(*arguments)
        run.save(path)
        model.save(path, run.clock.now)
    elif verb == "wait":
        run.clock.now += arguments[0] * HOUR
    elif verb == "restart":
        keep, hours = arguments
        run.start(max_to_keep=keep, keep_checkpoint_every_n_hours=hours)
        model.start(keep, hours, run.clock.now)
    elif verb == "remove":
        path = "{}-{}".format(*arguments)
        remove_checkpoints(run.disk, [f"/run/{path}"])
        model.disk.discard(path)
    else:
        run.disk.remove("/run/checkpoint")
        model.state = None
