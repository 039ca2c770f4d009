"""Bad input gives its class of error: where, what, what to do; nothing is lost or changed."""

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt


class Model(ckpt.Trackable):
    state_attributes = ("step",)

    def __init__(self, value: float = 0) -> None:
        self.w = ckpt.Variable(np.full(100, float(value)))
        self.v = ckpt.Variable(np.full(100, float(value)))
        self.step = int(value)

    def values(self) -> tuple[float, float, int]:
        """Everything that a restore may change."""
        return float(self.w.value.sum()), float(self.v.value.sum()), self.step


@pytest.fixture
def saved(tmp_path) -> Path:
    """A checkpoint with an index and two shards."""
    path = ckpt.Checkpoint(m=Model(1)).write(tmp_path / "ckpt", max_shard_bytes=800)
    assert 3 == len(os.listdir(tmp_path))
    return Path(path)


def refuse(path: Any, error: type[Exception], match: str, **fields: Any) -> Exception:
    """Check that a restore raises, and that no live value has changed."""
    live = Model()
    with pytest.raises(error, match=match) as caught:
        ckpt.Checkpoint(m=live).restore(path, **fields)
    assert (0, 0, 0) == live.values()
    assert isinstance(caught.value, ckpt.CheckpointError)
    return caught.value


def shards(saved: Path) -> list[Path]:
    """The shards of a checkpoint, in order."""
    return sorted(p for p in saved.parent.iterdir() if ".data-" in p.name)


class TestPaths:
    def test_a_missing_checkpoint_names_those_that_are_there(self, tmp_path):
        """The error lists the checkpoints in the directory: perhaps a number is missing."""
        checkpoint = ckpt.Checkpoint(m=Model(1))
        for _ in range(3):
            checkpoint.save(tmp_path / "ckpt")
        refuse(tmp_path / "ckpt", ckpt.CheckpointNotFoundError, "ckpt-3")

    def test_of_what_is_there_only_checkpoints_are_named(self, tmp_path):
        """The one-file form is listed too, and files of other kinds are not."""
        ckpt.Checkpoint(m=Model(1)).write(tmp_path / "single-7", single_file=True)
        (tmp_path / "notes").write_text("my own")
        (tmp_path / "junk.index").write_text("my own")
        refuse(tmp_path / "ckpt", ckpt.CheckpointNotFoundError, "holds single-7; give one")

    def test_a_missing_directory_is_not_found(self, tmp_path):
        """It is a FileNotFoundError too."""
        refuse(tmp_path / "no" / "ckpt", FileNotFoundError, "ckpt")

    def test_a_directory_without_a_checkpoint_is_not_found(self, tmp_path):
        """An empty directory has no newest checkpoint."""
        refuse(tmp_path, ckpt.CheckpointNotFoundError, "no checkpoint")
        assert ckpt.latest_checkpoint(tmp_path) is None

    def test_an_empty_path_is_not_found(self):
        """The empty string is no path."""
        refuse("", ckpt.CheckpointError, "checkpoint")

    @pytest.mark.parametrize("path", [3, b"bytes", ["list"]])
    def test_a_path_of_another_type_is_a_type_error(self, path):
        """Only str and os.PathLike are paths."""
        with pytest.raises(TypeError):
            ckpt.Checkpoint(m=Model()).restore(path)

    def test_a_nul_in_a_path_is_refused(self, tmp_path):
        """A path that no file can have raises no internal error."""
        refuse(str(tmp_path / "a\0b"), ckpt.CheckpointError, "null")
        with pytest.raises(ValueError, match="prefix"):
            ckpt.Checkpoint(m=Model()).write(str(tmp_path / "a\0b"))


class TestDamage:
    def test_an_empty_index_is_corrupt(self, saved):
        """A file of no bytes is named."""
        Path(f"{saved}.index").write_bytes(b"")
        refuse(saved, ckpt.CorruptCheckpointError, "ckpt.index")

    def test_a_missing_shard_is_named(self, saved):
        """The index says that it should be there."""
        shards(saved)[1].unlink()
        refuse(saved, ckpt.CorruptCheckpointError, "00001-of-00002")

    def test_a_cut_shard_is_found_before_anything_is_assigned(self, saved):
        """The lengths of all files are checked first."""
        shard = shards(saved)[1]
        shard.write_bytes(shard.read_bytes()[:-1])
        error = refuse(saved, ckpt.CorruptCheckpointError, "bytes")
        assert error.file

    def test_a_shard_of_another_save_is_found(self, saved, tmp_path):
        """A file of the right name and length with other contents is refused (R-20)."""
        other = ckpt.Checkpoint(m=Model(2)).write(tmp_path / "other", max_shard_bytes=800)
        for mine, theirs in zip(
            shards(saved),
            sorted(p for p in tmp_path.iterdir() if p.name.startswith("other.data-")),
            strict=False,
        ):
            if mine.name.startswith("ckpt"):
                shutil.copy(theirs, mine)
        assert ckpt.verify(other) == []
        refuse(saved, ckpt.CorruptCheckpointError, "ckpt", verify="first")

    def test_damage_found_while_reading_lists_what_was_assigned(self, saved):
        """With verify="inline", the error says which values are new already (R-20)."""
        data = bytearray(shards(saved)[1].read_bytes())
        data[-1] ^= 1
        shards(saved)[1].write_bytes(data)
        live = Model()
        with pytest.raises(ckpt.CorruptCheckpointError, match="ckpt") as caught:
            ckpt.Checkpoint(m=live).restore(saved)
        assigned = {entry.path for entry in caught.value.report.restored}
        changed = {name for name in ("w", "v") if getattr(live, name).value.any()}
        assert changed <= {path.removeprefix("m/") for path in assigned}
        assert 0 == live.step
        refuse(saved, ckpt.CorruptCheckpointError, "ckpt", verify="first")

    def test_every_flip_and_every_cut_is_detected_or_harmless(self, tmp_path, figures):
        """verify overlooks no damaged byte, and a restore that passes has the right values."""
        path = Path(ckpt.Checkpoint(m=Small(3)).write(tmp_path / "ckpt"))
        missed, flips = [], 0
        for file in sorted(tmp_path.iterdir()):
            good = file.read_bytes()
            for position in range(len(good)):
                for bit in range(8):
                    damaged = bytearray(good)
                    damaged[position] ^= 1 << bit
                    file.write_bytes(damaged)
                    flips += 1
                    if not ckpt.verify(path) or not restores_rightly_or_raises(path):
                        missed.append((file.name, position, bit))
            for length in range(len(good)):
                file.write_bytes(good[:length])
                flips += 1
                if not ckpt.verify(path):
                    missed.append((file.name, length, "cut"))
            file.write_bytes(good)
        assert [] == missed
        figures["flips and cuts of a whole checkpoint"] = f"{flips:,} ({len(missed)} missed)"


class Small(ckpt.Trackable):
    """A model of a few bytes."""

    state_attributes = ("note",)

    def __init__(self, value: float = 0) -> None:
        self.w = ckpt.Variable(np.full(3, float(value)))
        self.note = str(value) * 20


def restores_rightly_or_raises(path: Path) -> bool:
    """Restore a damaged checkpoint: it may fail, but never with wrong values."""
    live = Small()
    try:
        ckpt.Checkpoint(m=live).restore(path)
    except ckpt.CheckpointError:
        return True
    return [3, 3, 3] == live.w.value.tolist() and live.note == Small(3).note


class TestKinds:
    @pytest.mark.parametrize("kind", ["directory", "link", "fifo", "socket"])
    def test_what_is_no_regular_file_is_refused_and_never_blocks(self, saved, tmp_path, kind):
        """A shard that is a link, a directory, a pipe or a socket is not opened."""
        shard = shards(saved)[0]
        kept = tmp_path / "kept"
        shard.rename(kept)
        if kind == "directory":
            shard.mkdir()
        elif kind == "link":
            shard.symlink_to(kept)
        elif kind == "fifo":
            os.mkfifo(shard)
        else:
            here = Path.cwd()
            os.chdir(tmp_path)  # a socket's name must be short
            try:
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(shard.name)
            except OSError:
                pytest.skip("the path is too long for a socket")
            finally:
                os.chdir(here)
        refuse(saved, ckpt.CheckpointError, "00000-of-00002")


class TestObjects:
    def test_names_of_every_kind_are_saved_under_escaped_keys(self, tmp_path):
        """Slashes, dots and NUL are legal in local names."""
        model = ckpt.Trackable()
        for name in ("a/b", "..", ".", "", "x\0y", "../../etc"):
            model.track(name, ckpt.Variable(1.0))
        path = ckpt.Checkpoint(m=model).write(tmp_path / "ckpt")
        keys = [key for key, _ in ckpt.list_variables(path)]
        assert "m/a.Sb/.ATTRIBUTES/VARIABLE_VALUE" in keys
        assert "m/.....S.....Setc/.ATTRIBUTES/VARIABLE_VALUE" in keys
        assert {"ckpt.index"} == {p.name for p in tmp_path.iterdir() if ".data-" not in p.name}

    def test_a_name_of_64_kib_is_refused(self, tmp_path):
        """A local name is at most 4 KiB."""
        with pytest.raises(ckpt.NotCheckpointableError, match="65,536 bytes"):
            ckpt.Trackable().track("x" * 65536, 1)
        model = ckpt.Trackable()
        with pytest.raises(ckpt.NotCheckpointableError, match="65,536 bytes"):
            ckpt.Checkpoint(m=model, d={"x" * 65536: ckpt.Variable(1)}).write(tmp_path / "m")
        assert [] == os.listdir(tmp_path)

    def test_a_directory_in_the_place_of_a_checkpoint_is_never_replaced(self, tmp_path):
        """What is not a checkpoint stays."""
        (tmp_path / "ckpt.index").write_text("my own notes")
        with pytest.raises(ckpt.CheckpointExistsError, match=r"ckpt\.index"):
            ckpt.Checkpoint(x=1).write(tmp_path / "ckpt")
        assert "my own notes" == (tmp_path / "ckpt.index").read_text()

    def test_a_file_in_the_place_of_the_directory_is_an_error(self, tmp_path):
        """A prefix below a file cannot be written."""
        (tmp_path / "file").write_text("x")
        with pytest.raises(ckpt.StorageError, match="file") as caught:
            ckpt.Checkpoint(x=1).write(tmp_path / "file" / "ckpt")
        assert caught.value.errno
