"""The state file: TensorFlow's text, read with tolerance, written so that TensorFlow reads it."""

from __future__ import annotations

import errno
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.directory.state_file import (
    CheckpointState,
    change_state,
    decode_state,
    encode_state,
    look_at_state,
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
        (b'model_checkpoint_path: "a", model_checkpoint_path: "b",', "b"),
        (b'model_checkpoint_path: [ "a", "b" ]', "b"),
        (b'model_checkpoint_path: "a" # "b"\n "c"', "ac"),
        (rb'model_checkpoint_path: "\1" "2" ' + b"'\\3'", "\x012\x03"),
        (rb'model_checkpoint_path: "\303" "\274"', "ü"),
        (rb'model_checkpoint_path: "\x41\x4a1\X7e"', "AJ1~"),
        (rb'model_checkpoint_path: "\a\b\f\v\?\ud83d\ude00"', "\a\b\f\v?😀"),
        (b'other { model_checkpoint_path: "no" } model_checkpoint_path: "yes"', "yes"),
        (b'model_checkpoint_path: "yes" other { a { } model_checkpoint_path: "no" }', "yes"),
        (b'other { a { } } model_checkpoint_path: "yes"', "yes"),
        (b'}} model_checkpoint_path: "yes"', "yes"),
        (b'new: ["model_checkpoint_path: \'x\'"] model_checkpoint_path: "yes"', "yes"),
        (b"\xef\xbb\xbfmodel_checkpoint_path: 'yes'\r\n", "yes"),
        (b'all_model_checkpoint_paths: "cut sho\nmodel_checkpoint_path: "ckpt-5"', "ckpt-5"),
    ],
)
def test_escapes_and_unknown_fields_are_read(text: bytes, path: str) -> None:
    """C escapes, divided strings, comments and unknown fields are read as protocol buffers do."""
    state = decode_state(text)
    assert state is not None
    assert state.model_checkpoint_path == path


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (b"1e3, 1.5f; 2.5F .5 1. -3 - 4", "1000.0 1.5 2.5 0.5 1.0 -3.0 -4.0"),
        (b"inf -inf nan Infinity NaN", "inf -inf nan inf nan"),
        (b"1e400 1E-3 1.25e+2f", "inf 0.001 125.0"),
    ],
)
@pytest.mark.parametrize("in_list", [False, True])
def test_numbers_are_read(text: bytes, times: str, *, in_list: bool) -> None:
    """Numbers are read as protocol buffers write them, one by one or as a list."""
    numbers = text.replace(b"- 4", b"-4").replace(b",", b"").replace(b";", b"").split()
    name = b"all_model_checkpoint_timestamps: "
    fields = b"[" + b" , ".join(numbers) + b"]" if in_list else (b" " + name).join(numbers)
    state = decode_state(b'model_checkpoint_path: "a"\n' + name + fields)
    assert state is not None
    assert times == " ".join(map(repr, state.all_model_checkpoint_timestamps))


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (b'["a", "b" \'c\', "d"]', ("a", "bc", "d")),
        (b'[]\nall_model_checkpoint_paths: "a"', ("a",)),
        (b'["a"]\nall_model_checkpoint_paths: ["b"]', ("a", "b")),
        (b'["a", # "no"\n "b"]', ("a", "b")),
        (b'["a", "b', ("a",)),
        (b'["a" "b', ("a",)),
    ],
)
def test_lists_are_read(text: bytes, paths: tuple[str, ...]) -> None:
    """A repeated field may be written as a list; of one that breaks off the beginning is kept."""
    content = b'model_checkpoint_path: "x"\nall_model_checkpoint_paths: ' + text
    assert CheckpointState("x", paths) == decode_state(content)


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (
            'model_checkpoint_path: "we\\"ird é\\\\n-7"\n'
            'all_model_checkpoint_paths: "we\\"ird é\\\\n-7"\n'
            "all_model_checkpoint_timestamps: 1795189868.6369052\n"
            "last_preserved_timestamp: 1795189867.6343422\n",
            CheckpointState(
                'we"ird é\\n-7', ('we"ird é\\n-7',), (1795189868.6369052,), 1795189867.6343422
            ),
        ),
        (
            'model_checkpoint_path: "model.ckpt-43"\n'
            'all_model_checkpoint_paths: "model.ckpt-42"\n'
            'all_model_checkpoint_paths: "model.ckpt-43"\n',
            CheckpointState("model.ckpt-43", ("model.ckpt-42", "model.ckpt-43")),
        ),
    ],
)
def test_files_that_tensorflow_wrote(content: str, state: CheckpointState) -> None:
    """The files that TensorFlow's manager and its saver wrote are read."""
    assert state == decode_state(content.encode())


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


MUTATIONS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.binary(max_size=4)))


@given(MUTATIONS)
def test_no_damage_raises(mutations: list[tuple[int, int, bytes]]) -> None:
    """A file with pieces replaced, left out and put in never raises, nor does writing it again."""
    content = TENSORFLOW
    for place, length, piece in mutations:
        content = content[:place] + piece + content[place + length :]
    state = decode_state(content)
    if state is not None:
        assert repr(state) == repr(decode_state(encode_state(state).encode()))


PATHS = st.text(st.characters(codec="utf-8"), min_size=1)
TIMES = st.floats(width=64)


@given(
    st.builds(
        CheckpointState,
        PATHS,
        st.lists(PATHS).map(tuple),
        st.lists(TIMES).map(tuple),
        st.none() | TIMES,
    )
)
def test_every_state_comes_back(state: CheckpointState) -> None:
    """Paths, times (nan and infinite ones too) and their order come back as they were written."""
    assert repr(state) == repr(decode_state(encode_state(state).encode()))


@given(st.text(st.characters(codec=None, exclude_categories=["Cs"]), min_size=1))
def test_every_path_comes_back(path: str) -> None:
    """Whatever path is written is read back, and the text is plain ASCII on one line a field."""
    text = encode_state(CheckpointState(path, (path, "x")))
    assert text.isascii()
    assert text.count("\n") == 3
    assert decode_state(text.encode()) == CheckpointState(path, (path, "x"))


def test_numpy_numbers_are_written_plainly() -> None:
    """Times that are numpy scalars are written as any number."""
    text = encode_state(CheckpointState("a", ("a",), (np.float64(1.5),), np.float32(0.5)))
    assert text.endswith("_timestamps: 1.5\nlast_preserved_timestamp: 0.5\n")


@pytest.mark.parametrize(
    "piece", [b"a", b'"",', b'all_model_checkpoint_paths:["",""]', b"a:1,", b"{", b"'ab'"]
)
def test_reading_takes_memory_for_what_is_read(piece: bytes) -> None:
    """Whatever a file holds, reading it takes no more than 40 times its length (S-2)."""
    length = 50_000
    content = b"all_model_checkpoint_paths: [" + piece * (length // len(piece))
    tracemalloc.start()
    try:
        decode_state(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * length


def test_a_file_that_is_too_long_is_not_read() -> None:
    """A state file of more than 16 MiB is taken for damaged, unread (S-2)."""
    content = TENSORFLOW + b"#" * (16 * 2**20)
    for length, is_read in ((16 * 2**20, True), (16 * 2**20 + 1, False)):
        storage = MemoryStorage(DiskImage({"/run/checkpoint": content[:length]}))
        assert is_read == (read_state(storage, "/run") == STATE)
        assert is_read == ("bytes long" not in look_at_state(storage, "/run").problem)


def test_undecodable_paths_come_back() -> None:
    """A path with bytes that are no UTF-8, as the system hands them over, is kept."""
    assert decode_state(encode_state(CheckpointState("a\udcff")).encode()) == CheckpointState(
        "a\udcff"
    )


@pytest.mark.parametrize(
    "piece",
    [
        b"a",
        b'a: "',
        b"a:",
        b'"',
        b"\\",
        b'a: "\\\n',
        b"'",
        b"a: b ",
        b"a:[",
        b"{",
        b"1",
        b"a:1,",
        b"a:-",
    ],
)
def test_reading_takes_time_linear_in_the_length(piece: bytes) -> None:
    """200,000 bytes of anything ends before the alarm does: no pattern backtracks."""
    assert decode_state(piece * (200_000 // len(piece))) is None


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
        left = 1

        def open_read(self, path: str) -> ReadableFile:
            self.left -= 1
            if self.left == 0:
                raise StorageError(f"{path}: too many open files", errno=errno.EMFILE, path=path)
            return super().open_read(path)

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
