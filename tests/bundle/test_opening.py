"""Finding a checkpoint: by its prefix, by its content, and what is said when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xxhash

from checkpointable.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    StorageError,
    UnsupportedFormatError,
)
from checkpointable.interop.opening import open_checkpoint, verify_files
from checkpointable.storage.base import ReadableFile
from checkpointable.storage.local import LocalStorage
from checkpointable.storage.memory import MemoryStorage
from tests.bundle.checkpoints import stored, write, written

FILES = written([np.arange(5.0)])
SINGLE = written([np.arange(5.0)], single_file=True)
(SHARD,) = [name for name in FILES if ".data-" in name]


def open_in(files: dict[str, bytes], path: str = "/run/ckpt") -> list[float]:
    """Open a checkpoint in these files and read its tensor."""
    source = open_checkpoint(stored(files), path)
    return list(source.read(0).tolist())


def test_the_index_comes_before_the_one_file_form() -> None:
    """F-4: where both forms are there, the index is taken."""
    other = written([np.arange(7.0)], single_file=True)

    assert [0, 1, 2, 3, 4] == open_in(FILES | other)
    assert list(range(7)) == open_in(other)


def test_files_can_be_renamed_together() -> None:
    """F-2: the index holds no file name, so a new prefix for all files is a checkpoint."""
    renamed = {name.replace("ckpt", "best"): data for name, data in FILES.items()}

    assert [0, 1, 2, 3, 4] == open_in(renamed, "/run/best")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/run/other",
            "/run/other: there is no checkpoint.*'/run' holds ckpt-1, ..., ckpt-9, ckpt-10",
        ),
        ("/run/ckpt", "holds ckpt-1, ..., ckpt-9, ckpt-10; give one of these"),
        ("/run/best", "holds best-3; give one of these"),
        ("/run", "/run: this is a directory, expected the prefix of a checkpoint.*ckpt-1"),
        ("/elsewhere/ckpt", "'/elsewhere' holds none; check the path"),
        ("/run/lost", "shards of this checkpoint but no index: it was never finished"),
        ("/run/ckpt-2.index", "this is one file of a checkpoint.*Give '/run/ckpt-2'"),
        ("/run/ckpt-2" + SHARD.removeprefix("/run/ckpt"), "Give '/run/ckpt-2'"),
    ],
)
def test_what_is_missing_is_explained(path: str, message: str) -> None:
    """The message says what is there instead, and what to give."""
    names = {n.replace("ckpt", f"ckpt-{i}"): d for i in range(1, 11) for n, d in FILES.items()}
    names |= {n.replace("ckpt", "best-3"): d for n, d in FILES.items()}
    names[SHARD.replace("ckpt", "lost")] = FILES[SHARD]

    for read in (open_checkpoint, verify_files):
        with pytest.raises(CheckpointNotFoundError, match=f"(?s){message}"):
            read(stored(names), path)


@pytest.mark.parametrize(
    ("files", "rule", "message"),
    [
        (FILES | {"/run/ckpt.index": b""}, "F-5", "no index of a checkpoint"),
        ({"/run/ckpt": b""}, "F-3", "an empty file"),
        ({"/run/ckpt": b"hello"}, "F-3", "no checkpoint in one file"),
        ({"/run/ckpt": SINGLE["/run/ckpt"][:-1]}, "F-3", "or its end is lost"),
        ({"/run/ckpt": b"x" + SINGLE["/run/ckpt"]}, "F-3", "cut short, or longer"),
        ({"/run/ckpt.index": FILES["/run/ckpt.index"]}, "F-2", "a shard is missing"),
        (FILES | {SHARD: FILES[SHARD][:-1]}, "F-2", "cut short: expected 40 bytes, found 39"),
        (FILES | {SHARD: FILES[SHARD] + b"x"}, "F-2", "too long: expected 40 bytes, found 41"),
    ],
)
def test_damaged_files_are_refused_when_opened(
    files: dict[str, bytes], rule: str, message: str
) -> None:
    """The index, the footer and the lengths of all files are checked before anything is read."""
    with pytest.raises(CorruptCheckpointError, match=message) as raised:
        open_in(files)

    assert rule == raised.value.rule
    assert [rule] == [finding.rule for finding in verify_files(stored(files), "/run/ckpt")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"/run/ckpt": b"PK\x03\x04" + bytes(60)}, "zip archive"),
        ({"/run/ckpt": b'model_checkpoint_path: "ckpt-1"\n' * 2}, "Give the directory"),
        ({"/run/ckpt": b"\x89HDF\r\n\x1a\n" + bytes(60)}, "HDF5"),
        ({"/run/ckpt": b"\x93NUMPY" + bytes(60)}, ".npy"),
    ],
)
def test_other_formats_are_recognised(files: dict[str, bytes], message: str) -> None:
    """A file of another format is no damaged checkpoint: the message says what it is."""
    for read in (open_checkpoint, verify_files):
        with pytest.raises(UnsupportedFormatError, match=message):
            read(stored(files), "/run/ckpt")


def test_an_index_that_ends_before_the_shard_is_refused() -> None:
    """F-3: in the one-file form the index begins where the shard ends."""
    data = SINGLE["/run/ckpt"]
    place = (40 + 1).to_bytes(8, "little") + (len(data) - 80).to_bytes(8, "little")
    longer = data[:40] + b"\0" + data[40:-40] + place
    longer += xxhash.xxh3_128_digest(place) + data[-8:]

    with pytest.raises(CorruptCheckpointError, match="does not begin where the shard ends"):
        open_in({"/run/ckpt": longer})


def test_a_shard_of_another_checkpoint_is_noticed() -> None:
    """D-4: a shard that was swapped with one of another save has other checksums."""
    files = FILES | {SHARD: np.arange(1.0, 6.0).tobytes()}

    with pytest.raises(CorruptCheckpointError) as raised:
        open_in(files)
    assert ("F-32", SHARD) == (raised.value.rule, raised.value.file)


class Replacing(MemoryStorage):
    """A storage in which the checkpoint is replaced between its index and its shards."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        write(self, [np.array([0.0])])

    def open_read(self, path: str) -> ReadableFile:
        if ".data-" in path and self.times:
            self.times -= 1
            write(self, [np.array([float(self.times)]), np.zeros(self.times)])
        return super().open_read(path)


def test_a_checkpoint_that_is_being_replaced_is_opened() -> None:
    """Shards that vanish because of a new save make the reader read the new index."""
    assert [0.0] == open_checkpoint(Replacing(3), "/run/ckpt").read(0).tolist()
    assert [] == verify_files(Replacing(3), "/run/ckpt")


def test_a_checkpoint_that_is_always_being_replaced_is_given_up() -> None:
    """The reader does not try for ever."""
    with pytest.raises(CorruptCheckpointError, match="is being replaced all the time"):
        open_checkpoint(Replacing(10_000), "/run/ckpt")


@pytest.mark.parametrize("name", ["ckpt.index", "shard"])
@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str, kind: str) -> None:
    """S-1: a link, a directory or a pipe in the place of a file is refused, and nothing blocks."""
    storage, prefix = LocalStorage(), str(tmp_path / "ckpt")
    write(storage, [np.arange(5.0)], prefix=prefix)
    (path,) = tmp_path.glob("ckpt.data-*" if name == "shard" else name)
    content = tmp_path / "content"
    path.rename(content)
    if kind == "link":
        path.symlink_to(content)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(StorageError, match="expected a regular file"):
        open_checkpoint(storage, prefix)
    assert [str(path)] == [finding.file for finding in verify_files(storage, prefix)]


def test_nothing_stays_open_when_opening_fails(tmp_path: Path) -> None:
    """I-11: the descriptors of a checkpoint that is refused are closed."""
    storage, prefix = LocalStorage(), str(tmp_path / "ckpt")
    write(storage, [np.zeros(3), np.ones(3)], prefix=prefix, max_shard_bytes=1)
    shard = max(tmp_path.glob("ckpt.data-*"))
    shard.write_bytes(b"short")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(3):
        with pytest.raises(CorruptCheckpointError):
            open_checkpoint(storage, prefix)
        assert len(verify_files(storage, prefix)) == 1
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0

    assert before == after
