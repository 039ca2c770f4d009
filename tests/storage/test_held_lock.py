"""Held locks on a real file system: forks, kills, odd files, and who is named when."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from checkpointable.errors import CheckpointWarning, DirectoryInUseError, StorageError
from checkpointable.storage import held_lock
from checkpointable.storage.local import LOCAL, LocalStorage
from tests.harness.processes import end_of, in_child, kill, start

OWNER = f"pid {os.getpid()} on host"


def _is_free(path: Path) -> bool:
    """Tell whether the lock can be taken now."""
    try:
        LOCAL.hold_lock(str(path), OWNER).close()
    except DirectoryInUseError:
        return False
    return True


def test_a_forked_child_has_no_part_in_the_lock(tmp_path: Path) -> None:
    """A forked child does not hold, free or empty its parent's lock, and is refused like others."""
    held = LOCAL.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)

    def child() -> bool:
        inherited = held.inherited
        held.close()
        return inherited and not _is_free(tmp_path / "ckpt.lock")

    assert in_child(child)
    assert f"{OWNER}\n" == (tmp_path / "ckpt.lock").read_text()
    assert not held.inherited
    held.close()
    assert _is_free(tmp_path / "ckpt.lock")


def test_a_released_lock_is_free_though_a_child_lives(tmp_path: Path) -> None:
    """A close frees the lock at once, though a child forked while it was held lives on."""
    held = LOCAL.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)
    child = start(signal.pause)
    try:
        held.close()
        assert _is_free(tmp_path / "ckpt.lock")
    finally:
        kill(child)
        end_of(child)


def _by_fork() -> int:
    return start(signal.pause)


def _by_multiprocessing() -> int:
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    assert process.pid is not None
    return process.pid


def _by_subprocess() -> int:
    return subprocess.Popen(["sleep", "60"], close_fds=False).pid


@pytest.mark.parametrize("make_child", [_by_fork, _by_multiprocessing, _by_subprocess])
def test_a_killed_holder_frees_the_lock_at_once(
    tmp_path: Path, make_child: Callable[[], int]
) -> None:
    """After `kill -9` the lock is free, though a child of the holder lives on; its line stays."""
    path = tmp_path / "ckpt.lock"
    ready, tell = os.pipe()

    def holder() -> None:
        held = LOCAL.hold_lock(str(path), "pid 1 on host")
        os.write(tell, f"{make_child()}".encode())
        signal.pause()
        held.close()

    process = start(holder)
    child = int(os.read(ready, 100))
    try:
        assert not _is_free(path)
        kill(process)
        assert -signal.SIGKILL == end_of(process)
        os.kill(child, 0)  # it lives
        assert path.read_text() == "pid 1 on host\n"
        assert _is_free(path)
    finally:
        kill(child)
        os.close(ready)
        os.close(tell)


def test_an_exit_frees_the_lock(tmp_path: Path) -> None:
    """A process that ends in any way leaves the lock free."""
    assert in_child(lambda: LOCAL.hold_lock(str(tmp_path / "ckpt.lock"), "pid 1 on host"))
    assert _is_free(tmp_path / "ckpt.lock")


@pytest.mark.parametrize("content", [b"", b"pid 12", b"pid 99 on host, dead\n"])
def test_the_winner_is_named_though_it_has_not_written_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Who comes second a moment after the first, and before its line is written, waits for it."""
    path = tmp_path / "ckpt.lock"
    path.write_bytes(content)
    with path.open("r+b") as winner:
        fcntl.flock(winner, fcntl.LOCK_EX)

        def write(_: float) -> None:
            winner.truncate(0)
            os.pwrite(winner.fileno(), b"pid 12 on host\n", 0)

        monkeypatch.setattr(held_lock.time, "sleep", write)
        with pytest.raises(DirectoryInUseError, match="held by pid 12 on host, expected"):
            LOCAL.hold_lock(str(path), OWNER)


def test_a_holder_that_does_not_say_who_it_is(tmp_path: Path) -> None:
    """Where the line is missing for good (a full disk), the holder is unknown."""
    path = tmp_path / "ckpt.lock"
    path.touch()
    with path.open() as winner:
        fcntl.flock(winner, fcntl.LOCK_EX)
        with pytest.raises(DirectoryInUseError, match="held by another process or object, unknown"):
            LOCAL.hold_lock(str(path), OWNER)


def test_a_lock_that_comes_free_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the holder lets go while its name is looked for, the lock is taken."""
    path = tmp_path / "ckpt.lock"
    path.touch()
    with path.open() as winner:
        fcntl.flock(winner, fcntl.LOCK_EX)
        unlock = lambda _: fcntl.flock(winner, fcntl.LOCK_UN)  # noqa: E731
        monkeypatch.setattr(held_lock.time, "sleep", unlock)
        LOCAL.hold_lock(str(path), OWNER).close()


def test_a_full_disk_does_not_keep_from_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock counts, not the line: where that cannot be written, the lock is held too."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(held_lock.os, "pwrite", refuse)
        held = LOCAL.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)
    assert not _is_free(tmp_path / "ckpt.lock")
    held.close()
    assert _is_free(tmp_path / "ckpt.lock")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.symlink_to("target"), "a symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        (os.mkdir, "a directory"),
    ],
)
def test_an_odd_file_is_no_lock(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    """Whatever is not a regular file is refused by name, at once, and left alone (S-1)."""
    (tmp_path / "target").write_bytes(b"")
    make(tmp_path / "odd")
    descriptors = _descriptors()
    with pytest.raises(StorageError, match=f"is {kind}, expected a regular file"):
        LOCAL.hold_lock(str(tmp_path / "odd"), OWNER)
    assert descriptors == _descriptors()
    assert ["odd", "target"] == sorted(path.name for path in tmp_path.iterdir())
    assert (tmp_path / "target").read_bytes() == b""


def test_a_read_only_directory(tmp_path: Path) -> None:
    """Where the lock file cannot be made there is a StorageError with path and reason."""
    tmp_path.chmod(0o555)

    def child() -> bool:
        os.chdir(tmp_path)
        with suppress(PermissionError):
            os.setuid(65534)
        with pytest.raises(StorageError, match=r"^ckpt.lock: could not take the lock: Permission"):
            LOCAL.hold_lock("ckpt.lock", OWNER)
        return True

    assert in_child(child)
    tmp_path.chmod(0o755)


def test_who_is_refused_keeps_nothing_open(tmp_path: Path) -> None:
    """A refusal closes what was opened, even while the error is looked at."""
    held = LOCAL.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)
    descriptors = _descriptors()
    with pytest.raises(DirectoryInUseError):
        LOCAL.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)
    assert descriptors == _descriptors()
    held.close()


def test_without_locks_there_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that cannot lock gives one warning, whatever is locked, and then no lock."""

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    storage = LocalStorage()
    with pytest.warns(CheckpointWarning, match="cannot lock"):
        first = storage.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)
    second = storage.hold_lock(str(tmp_path / "ckpt.lock"), OWNER)
    with storage.lock_dir(str(tmp_path)) as held:
        assert held is False
    first.close()
    second.close()
    assert (tmp_path / "ckpt.lock").read_bytes() == b""


def _descriptors() -> list[str]:
    return os.listdir("/dev/fd")
