"""The state file: TensorFlow's text, read with tolerance, written so that TensorFlow reads it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.directory.state_file import (
    CheckpointState,
    change_state,
    decode_state,
    encode_state,
    read_state,
    record_latest,
    write_state,
)
from checkpointable.errors import CheckpointExistsError, StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.base import ReadableFile
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.bundles import BundleDriver
from tests.harness.wrapping import WrappedStorage

#: As TensorFlow 2.21 writes it.
TENSORFLOW = b"""model_checkpoint_path: "ckpt-5"
all_model_checkpoint_paths: "ckpt-4"
all_model_checkpoint_paths: "ckpt-5"
all_model_checkpoint_timestamps: 1795188859.83
all_model_checkpoint_timestamps: 1795188860.11
last_preserved_timestamp: 1795188858.82
"""
STATE = CheckpointState(
    "ckpt-5", ("ckpt-4", "ckpt-5"), (1795188859.83, 1795188860.11), 1795188858.82
)


def test_tensorflows_file_is_read_and_written() -> None:
    """The file of TensorFlow is understood whole, and written again to the letter."""
    assert decode_state(TENSORFLOW) == STATE
    assert encode_state(STATE).encode() == TENSORFLOW


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (rb'model_checkpoint_path: "a\"b\\c\'d\n\t\r"', "a\"b\\c'd\n\t\r"),
        (rb"model_checkpoint_path: 'single \"quotes\"'", 'single "quotes"'),
        (rb'model_checkpoint_path: "\303\274 \xc3\xbc \u00fc \U000000fc"', "ü ü ü ü"),
        ('model_checkpoint_path: "ü"'.encode(), "ü"),
        (rb'model_checkpoint_path: "\1\12\0031"', "\x01\n\x031"),
        (rb'model_checkpoint_path: "\377"', "\udcff"),
        (b'model_checkpoint_path: "ckpt" "-" \n "5"', "ckpt-5"),
        (b'model_checkpoint_path:"ckpt-5"', "ckpt-5"),
        (b'# model_checkpoint_path: "no"\nmodel_checkpoint_path: "ckpt-5"', "ckpt-5"),
        (b'new_field: 7\nother { x: "y" }\nmodel_checkpoint_path: "ckpt-5" more: true', "ckpt-5"),
        (b'model_checkpoint_path: "a"; model_checkpoint_path: "b"', "b"),
        (b'all_model_checkpoint_paths: "cut sho\nmodel_checkpoint_path: "ckpt-5"', "ckpt-5"),
    ],
)
def test_escapes_and_unknown_fields_are_read(text: bytes, path: str) -> None:
    """C escapes, divided strings, comments and unknown fields are read as protocol buffers do."""
    state = decode_state(text)
    assert state is not None
    assert state.model_checkpoint_path == path


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b'model_checkpoint_path: ""',
        b"model_checkpoint_path: 5",
        b'model_checkpoint_path: "ckpt-1',
        b'model_checkpoint_path: "bad escape \\q"',
        b'model_checkpoint_path: "a" all_model_checkpoint_timestamps: soon',
        b'model_checkpoint_path "no colon"',
        bytes(range(256)),
        bytes(1000),
        b"\xff" * 1000,
    ],
)
def test_damage_is_none(text: bytes) -> None:
    """A file that is empty, damaged, or names nothing gives `None`, never an exception."""
    assert decode_state(text) is None


@given(st.binary(max_size=300))
def test_no_bytes_raise(content: bytes) -> None:
    """No content whatever raises."""
    decode_state(content)


@given(st.text(st.characters(codec=None, exclude_categories=["Cs"]), min_size=1))
def test_every_path_comes_back(path: str) -> None:
    """Whatever path is written is read back, and the text is plain ASCII on one line a field."""
    text = encode_state(CheckpointState(path, (path, "x")))
    assert text.isascii()
    assert text.count("\n") == 3
    assert decode_state(text.encode()) == CheckpointState(path, (path, "x"))


def test_undecodable_paths_come_back() -> None:
    """A path with bytes that are no UTF-8, as the system hands them over, is kept."""
    assert decode_state(encode_state(CheckpointState("a\udcff")).encode()) == CheckpointState(
        "a\udcff"
    )


@pytest.mark.parametrize("piece", [b"a", b'a: "', b"a:", b'"', b"\\", b'a: "\\\n', b"'", b"a: b "])
def test_reading_takes_time_linear_in_the_length(piece: bytes) -> None:
    """Half a megabyte of anything ends before the alarm does: no pattern backtracks."""
    assert decode_state(piece * (500_000 // len(piece))) is None


def test_the_latest_is_recorded_relative_to_its_directory() -> None:
    """`record_latest` names the checkpoint alone, without directory, and leaves no temporary."""
    storage = MemoryStorage(DiskImage({"/run/checkpoint": b"damaged"}))
    record_latest(storage, "/run/ckpt-3")
    assert read_state(storage, "/run") == CheckpointState("ckpt-3", ("ckpt-3",))
    assert storage.list_dir("/run") == ["checkpoint"]


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        (["a-1", "ckpt-1", "b", "ckpt-2"], ["a-1", "b"]),
        (["/run/ckpt-1", "./ckpt-2", "/moved/from/ckpt-9", "ckpt"], []),
        (["sub/ckpt-1", "ckpt2-1", "ckpt-1x"], ["sub/ckpt-1", "ckpt2-1", "ckpt-1x"]),
        (["ckpt-3", "model-7-?????-of-00002"], ["model-7-?????-of-00002"]),
    ],
)
def test_other_names_stay_when_the_latest_is_recorded(listed: list[str], kept: list[str]) -> None:
    """`record_latest` replaces what is listed of its own name, and keeps all other entries."""
    storage = MemoryStorage(DiskImage({"/run/x": b""}))
    write_state(storage, "/run", CheckpointState("a-1", (*listed,), (), 5.0))
    record_latest(storage, "/run/ckpt-3")
    assert read_state(storage, "/run") == CheckpointState("ckpt-3", (*kept, "ckpt-3"), (), 5.0)


def test_times_stay_with_their_paths_when_the_latest_is_recorded() -> None:
    """The times of other names are kept; the new one has the time of its commit file."""
    storage = MemoryStorage(DiskImage({"/run/x": b""}))
    BundleDriver().save(storage, "/run/ckpt-3", 1, SaveOptions())
    status = storage.status("/run/ckpt-3.index")
    assert status is not None
    write_state(storage, "/run", CheckpointState("b", ("ckpt-2", "a", "b"), (1.0, 2.0, 3.0)))
    record_latest(storage, "/run/ckpt-3")
    expected = CheckpointState("ckpt-3", ("a", "b", "ckpt-3"), (2.0, 3.0, status.mtime))
    assert read_state(storage, "/run") == expected


@pytest.mark.parametrize("times", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_times_that_do_not_match_are_dropped(times: tuple[float, ...]) -> None:
    """Where there is not one time for each path, no time is kept."""
    storage = MemoryStorage(DiskImage({"/run/x": b""}))
    BundleDriver().save(storage, "/run/ckpt-3", 1, SaveOptions())
    write_state(storage, "/run", CheckpointState("a", ("ckpt-2", "a"), times))
    record_latest(storage, "/run/ckpt-3")
    assert read_state(storage, "/run") == CheckpointState("ckpt-3", ("a", "ckpt-3"))


def test_a_state_file_is_changed_in_one_turn() -> None:
    """`change_state` hands over what is there, under the lock, and writes what it is given."""
    storage = _Locking(MemoryStorage(DiskImage({"/run/mine": TENSORFLOW})))
    seen: list[CheckpointState | None] = []

    def change(state: CheckpointState | None) -> CheckpointState | None:
        assert storage.held
        seen.append(state)
        return None if state is None else CheckpointState("ckpt-6", ("ckpt-6",))

    change_state(storage, "/run", change, "mine")
    change_state(storage, "/run", change, "missing")
    assert seen == [STATE, None]
    assert read_state(storage, "/run", "mine") == CheckpointState("ckpt-6", ("ckpt-6",))
    assert storage.list_dir("/run") == ["mine"]


def test_what_cannot_be_read_now_is_not_replaced() -> None:
    """Where the state file is there and cannot be read, a change raises, and nothing is lost."""

    class Unreadable(WrappedStorage):
        def open_read(self, path: str) -> ReadableFile:
            raise StorageError(f"{path}: too many open files", errno=errno.EMFILE, path=path)

    storage = MemoryStorage(DiskImage({"/run/checkpoint": TENSORFLOW}))
    with pytest.raises(StorageError, match="too many"):
        record_latest(Unreadable(storage), "/run/ckpt-6")
    assert storage.image().files == {"/run/checkpoint": TENSORFLOW}


class _Locking(WrappedStorage):
    """Knows whether the lock of a directory is held."""

    held = False

    @contextmanager
    def lock_dir(self, path: str) -> Iterator[bool]:
        with super().lock_dir(path) as locked:
            self.held = True
            yield locked
            self.held = False


def test_a_missing_or_odd_state_file_is_none() -> None:
    """No directory, no file, or a directory of that name: there is no state."""
    storage = MemoryStorage(DiskImage({"/run/checkpoint/file": b""}))
    for directory in ("/missing", "/", "/run"):
        assert read_state(storage, directory) is None


def test_a_checkpoint_is_not_replaced_by_a_state_file() -> None:
    """A one-file checkpoint called `checkpoint` is refused as a place for the state file."""
    storage = MemoryStorage()
    BundleDriver().save(storage, "/run/checkpoint", 1, SaveOptions(single_file=True))
    with pytest.raises(CheckpointExistsError, match="is a checkpoint"):
        write_state(storage, "/run", STATE)


def test_leftovers_of_a_state_file_go() -> None:
    """Temporaries of the state file that a dead writer left go, those of other files stay."""
    other = "/run/ckpt.index.00112233445566aa.tmp"
    left = {"/run/checkpoint.00112233445566aa.tmp": b"", other: b""}
    storage = MemoryStorage(DiskImage(left))
    write_state(storage, "/run", STATE)
    assert storage.image().files == {"/run/checkpoint": TENSORFLOW, other: b""}


def test_a_failing_write_keeps_the_old_state_file() -> None:
    """Where the rename fails the old state file is as it was, and no temporary is left."""

    class NoRename(WrappedStorage):
        def rename(self, source: str, destination: str) -> None:
            raise StorageError("no", path=source)

    storage = MemoryStorage(DiskImage({"/run/checkpoint": TENSORFLOW}))
    with pytest.raises(StorageError):
        record_latest(NoRename(storage), "/run/ckpt-6")
    assert storage.image().files == {"/run/checkpoint": TENSORFLOW}
