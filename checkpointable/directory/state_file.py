"""The state file `checkpoint`: which checkpoint of a directory is the latest.

It is TensorFlow's text format, read and written. It is a hint: renamed into place without a sync,
and whoever reads it looks at the directory too (`directory/latest.py`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.directory.numbers import commit_status
from checkpointable.directory.replace import replace_file
from checkpointable.errors import CheckpointError, CheckpointNotFoundError
from checkpointable.storage.base import Storage, read_all

#: What the state file is called unless another name is given.
STATE_FILE: Final = "checkpoint"

#: One piece of protocol buffer text: a comment, or a field with its (perhaps divided) value.
_PIECE: Final = re.compile(
    r"""\#[^\n]*
    | \b (?P<name>[A-Za-z_]\w*+) \s* : \s*
      (?P<value> (?: (?: "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' ) \s* )+ | [-+.\w]+ )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_QUOTED: Final = re.compile(r""""((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'""", re.DOTALL)
_ESCAPE: Final = re.compile(
    rb"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})"
    rb"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS: Final = {
    bytes([a]): bytes([b]) for a, b in zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True)
}
_LITERAL: Final = (b"\\", b"'", b'"', b"?")
_WRITTEN: Final = {b: f"\\{c}" for b, c in zip(b"\n\r\t\"'\\", "nrt\"'\\", strict=True)}


@attrs.frozen
class CheckpointState:
    """What a state file says. Paths are as they stand there: relative to its directory or not.

    Attributes:
        model_checkpoint_path: the latest checkpoint.
        all_model_checkpoint_paths: all that are kept, the oldest first.
        all_model_checkpoint_timestamps: when each was written, in seconds since 1970.
        last_preserved_timestamp: when the last one to be kept for good was written.
    """

    model_checkpoint_path: str
    all_model_checkpoint_paths: tuple[str, ...] = ()
    all_model_checkpoint_timestamps: tuple[float, ...] = ()
    last_preserved_timestamp: float | None = None


def change_state(
    storage: Storage,
    directory: str,
    change: Callable[[CheckpointState | None], CheckpointState | None],
    filename: str = STATE_FILE,
) -> None:
    """Read a state file, change what it says, and replace it, all in one turn.

    A crash leaves the old one, the new one, or a damaged one.

    Args:
        storage: where the directory is.
        directory: where the state file is.
        change: given what the file says (`None`: it is missing, empty or damaged), returns what it
            is to say; `None`: it is left as it is. It is called under the directory's lock.
        filename: what the state file is called.

    Raises:
        CheckpointExistsError: what stands under that name is a checkpoint.
        StorageError: the storage failed, in reading too; the old state file is intact.
    """
    path = files.in_directory(directory, filename)
    with storage.lock_dir(directory) as locked:
        state = change(_state_to_change(storage, path))
        if state is not None:
            _replace(storage, path, state, locked=locked)


def _state_to_change(storage: Storage, path: str) -> CheckpointState | None:
    """Return what a state file says; where that cannot be found out, it may not be replaced."""
    status = storage.status(path)
    if status is None or not status.is_file:
        return None
    try:
        return decode_state(read_all(storage, path))
    except CheckpointNotFoundError:
        return None


def write_state(
    storage: Storage, directory: str, state: CheckpointState, filename: str = STATE_FILE
) -> None:
    """Replace a state file, whatever it said; a crash leaves what `change_state` does.

    Raises:
        CheckpointExistsError: what stands under that name is a checkpoint.
        StorageError: the storage failed; the old state file is intact.
    """
    with storage.lock_dir(directory) as locked:
        _replace(storage, files.in_directory(directory, filename), state, locked=locked)


def _replace(storage: Storage, path: str, state: CheckpointState, *, locked: bool) -> None:
    content = encode_state(state).encode()
    replace_file(storage, path, content, durable=False, locked=locked)


def record_latest(storage: Storage, prefix: str) -> None:
    """Let the state file beside a checkpoint say that it is the latest, and the only one kept.

    What the file lists under other names stays, so a `Saver` or a `CheckpointManager` that keeps
    its own there loses nothing.

    Raises:
        CheckpointExistsError: what is called `checkpoint` there is itself a checkpoint.
        StorageError: the storage failed; the old state file is intact.
    """
    directory, base = files.split_path(prefix)
    status = commit_status(storage, prefix)
    mtime = None if status is None else status.mtime
    change_state(storage, directory, lambda old: _with_latest(directory, base, mtime, old))


def _with_latest(
    directory: str, base: str, time: float | None, old: CheckpointState | None
) -> CheckpointState:
    """Return a state in which a checkpoint takes the place of all of its name."""
    if old is None:
        return CheckpointState(base, (base,))
    paths, times = old.all_model_checkpoint_paths, old.all_model_checkpoint_timestamps
    name = files.in_directory(directory, files.split_number(base)[0])
    others = [i for i, p in enumerate(paths) if _name(inside(directory, p)) != name]
    kept_times = [*(times[i] for i in others), time] if len(times) == len(paths) else []
    return CheckpointState(
        base,
        (*(paths[i] for i in others), base),
        tuple(t for t in kept_times if t is not None) if times and time is not None else (),
        old.last_preserved_timestamp,
    )


def inside(directory: str, entry: str) -> str:
    """Return the path of a state file's entry; nothing outside the directory is looked at (S-1).

    An absolute path is taken for one of this directory, which may have been moved.
    """
    entry = files.without_pattern(entry)
    if entry.startswith("/") or ".." in entry.split("/"):
        entry = posixpath.basename(entry)
    return files.in_directory(directory, posixpath.normpath(entry))


def _name(path: str) -> str:
    """Return what a checkpoint is called, with its directory but without its number."""
    directory, base = files.split_path(path)
    return files.in_directory(directory, files.split_number(base)[0])


def read_state(
    storage: Storage, directory: str, filename: str = STATE_FILE
) -> CheckpointState | None:
    """Return what a state file says; `None` if it is missing, empty, damaged or unreadable."""
    try:
        content = read_all(storage, files.in_directory(directory, filename))
    except CheckpointError:
        return None
    return decode_state(content)


def encode_state(state: CheckpointState) -> str:
    r"""Return the text of a state file.

    >>> encode_state(CheckpointState("a\nb"))
    'model_checkpoint_path: "a\\nb"\n'
    """
    lines = [f'model_checkpoint_path: "{_escape(state.model_checkpoint_path)}"']
    lines += [
        f'all_model_checkpoint_paths: "{_escape(path)}"'
        for path in state.all_model_checkpoint_paths
    ]
    lines += [
        f"all_model_checkpoint_timestamps: {time!r}"
        for time in state.all_model_checkpoint_timestamps
    ]
    if state.last_preserved_timestamp is not None:
        lines.append(f"last_preserved_timestamp: {state.last_preserved_timestamp!r}")
    return "\n".join(lines) + "\n"


def decode_state(content: bytes) -> CheckpointState | None:
    """Return what the text of a state file says, unknown fields left out; `None` if damaged.

    >>> decode_state(b'model_checkpoint_path: "ckpt-2"').model_checkpoint_path
    'ckpt-2'
    """
    try:
        fields = list(_fields(content.decode("utf-8", "surrogateescape")))
        latest = [_unquote(value) for name, value in fields if name == "model_checkpoint_path"]
        preserved = [float(value) for name, value in fields if name == "last_preserved_timestamp"]
        if not latest or not latest[-1]:
            return None
        return CheckpointState(
            latest[-1],
            tuple(_unquote(v) for name, v in fields if name == "all_model_checkpoint_paths"),
            tuple(float(v) for name, v in fields if name == "all_model_checkpoint_timestamps"),
            preserved[-1] if preserved else None,
        )
    except ValueError:
        return None


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for piece in _PIECE.finditer(text):
        if piece["name"] is not None:
            yield piece["name"], piece["value"]


def _escape(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return "".join(
        _WRITTEN.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in data
    )


def _unquote(value: str) -> str:
    """Read a quoted value; adjacent quoted pieces are one."""
    pieces = _QUOTED.findall(value)
    if not pieces:
        raise ValueError(f"expected a quoted text, found {value[:40]!r}")
    text = "".join(double or single for double, single in pieces)
    data = _ESCAPE.sub(_unescape, text.encode("utf-8", "surrogateescape"))
    return data.decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[bytes]) -> bytes:
    if match["octal"] is not None:
        return bytes([int(match["octal"], 8) & 0xFF])
    if match["hex"] is not None:
        return bytes([int(match["hex"], 16)])
    code = match["short"] or match["long"]
    if code is not None:
        return chr(int(code, 16)).encode()
    letter = match["letter"]
    if letter in _LITERAL:
        return letter
    if letter not in _LETTERS:
        raise ValueError(f"unknown escape {match[0]!r}")
    return _LETTERS[letter]
