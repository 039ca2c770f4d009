"""The state file: TensorFlow's text, read with tolerance, written so that TensorFlow reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.directory.state_file import (
    CheckpointState,
    decode_state,
    encode_state,
    read_state,
    record_latest,
    write_state,
)
from checkpointable.errors import CheckpointExistsError, StorageError
from checkpointable.options import SaveOptions
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
