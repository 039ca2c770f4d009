"""What only a real file system shows: short writes, odd files, links, full disks, forks."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkpointable.errors import CheckpointWarning, StorageError
from checkpointable.storage import local
from checkpointable.storage.base import read_all
from checkpointable.storage.local import LOCAL, LocalStorage
from tests.harness.processes import end_of, in_child, kill, kill_myself, living_child, start


@pytest.mark.parametrize("most", [1, 7, 100])
def test_short_writes_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However little the system takes at a time, all bytes arrive (here: 1, 7 or 100 at most)."""
    real = os.writev

    def short(number: int, buffers: list[memoryview]) -> int:
        return real(number, [b"".join(buffers)[:most]])

    monkeypatch.setattr(local.os, "writev", short)
    data = [bytes([n]) * n for n in range(60)]
    file = LOCAL.create(str(tmp_path / "a"))
    file.write(data)
    file.close()
    assert (tmp_path / "a").read_bytes() == b"".join(data)


def test_no_call_gets_more_than_the_system_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call is handed more buffers or bytes than the limits; here they are 3 and 100."""
    real = os.writev
    calls: list[tuple[int, int]] = []

    def noting(number: int, buffers: list[memoryview]) -> int:
        calls.append((len(buffers), sum(map(len, buffers))))
        return real(number, buffers)

    monkeypatch.setattr(local.os, "writev", noting)
    monkeypatch.setattr(local, "_MOST_BUFFERS", 3)
    monkeypatch.setattr(local, "_MOST_BYTES", 100)
    file = LOCAL.create(str(tmp_path / "a"))
    file.write([b"x" * 250, b"y", b"z", b"1", b"2", b"3"])
    file.close()
    assert (tmp_path / "a").read_bytes() == b"x" * 250 + b"yz123"
    assert max(count for count, _ in calls) <= 3
    assert max(size for _, size in calls) <= 100


def test_a_system_that_takes_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write of nothing, again and again, is not waited for."""
    monkeypatch.setattr(local.os, "writev", lambda *_: 0)
    file = LOCAL.create(str(tmp_path / "a"))
    with pytest.raises(StorageError, match="took no byte"):
        file.write([b"x"])
    file.close()


def test_a_file_is_abandoned_after_a_failed_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed sync (D-7) neither another sync nor a write is tried."""
    file = LOCAL.create(str(tmp_path / "a"))
    file.write([b"x"])

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(local, "_full_sync", fail)
        with pytest.raises(StorageError, match="could not sync"):
            file.sync()
    with pytest.raises(StorageError, match="an earlier operation on it failed"):
        file.sync()
    with pytest.raises(StorageError, match="an earlier operation on it failed"):
        file.write([b"y"])
    file.close()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_full_sync_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The drive's cache is flushed where that is possible (macOS); else fsync is used."""
    calls: list[str] = []
    monkeypatch.setattr(local.fcntl, "F_FULLFSYNC", 51, raising=False)

    def refuse(*_: int) -> None:
        calls.append("full")
        raise OSError(number, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(local.fcntl, "fcntl", refuse)
        patch.setattr(local.os, "fsync", lambda _: calls.append("fsync"))
        LOCAL.sync_dir(str(tmp_path))
        patch.setattr(local.fcntl, "fcntl", lambda *_: calls.append("full"))
        LOCAL.sync_dir(str(tmp_path))
    assert calls == ["full", "fsync", "full"]


@pytest.mark.parametrize("durable", [True, False])
def test_directories_are_synced_into_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    """Each directory that is made is synced into its parent before the next one is made (D-2)."""
    synced: list[tuple[int, list[str]]] = []

    def note(number: int) -> None:
        synced.append((os.fstat(number).st_ino, os.listdir(number)))

    monkeypatch.setattr(local, "_full_sync", note)
    LOCAL.make_dirs(str(tmp_path / "a" / "b"), durable=durable)
    assert (tmp_path / "a" / "b").is_dir()
    parents = [(tmp_path, ["a"]), (tmp_path / "a", ["b"])]
    expected = [(path.stat().st_ino, names) for path, names in parents]
    assert synced == (expected if durable else [])


def _link(path: Path) -> None:
    path.with_name("target").write_bytes(b"secret")
    path.symlink_to("target")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices can be made by root only")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_link, "a symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
        (lambda path: path.symlink_to(path.name), "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        (_socket, "a socket"),
        (_device, "a device"),
        (os.mkdir, "a directory"),
    ],
)
def test_odd_files_are_not_read(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    """Whatever is not a regular file is refused by name, at once, and nothing blocks (S-1)."""
    make(tmp_path / "odd")
    with pytest.raises(StorageError, match=f"is {kind}, expected a regular file"):
        LOCAL.open_read(str(tmp_path / "odd"))
    status = LOCAL.status(str(tmp_path / "odd"))
    assert status is not None
    assert not status.is_file


def test_a_refused_link_says_what_to_do(tmp_path: Path) -> None:
    """Caches of model hubs hold links: the error says how to come to the file."""
    (tmp_path / "model.safetensors").symlink_to("blob")
    with pytest.raises(StorageError, match=r"os\.path\.realpath.*cp -RL"):
        LOCAL.open_read(str(tmp_path / "model.safetensors"))


def test_create_follows_no_link(tmp_path: Path) -> None:
    """A link in the place of a new file is not followed, dangling or not."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="File exists"):
        LOCAL.create(str(tmp_path / "link"))
    assert not (tmp_path / "elsewhere").exists()


def test_the_directory_may_be_a_link(tmp_path: Path) -> None:
    """A directory reached through a link works with every verb."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    LOCAL.make_dirs(str(tmp_path / "link"), durable=True)
    LOCAL.make_dirs(str(tmp_path / "link" / "sub"), durable=True)
    file = LOCAL.create(str(tmp_path / "link" / "a"))
    file.write([b"x"])
    file.close()
    with LOCAL.lock_dir(str(tmp_path / "link")) as held:
        assert held
    LOCAL.sync_dir(str(tmp_path / "link"))
    assert LOCAL.list_dir(str(tmp_path / "link")) == ["a", "sub"]
    assert read_all(LOCAL, str(tmp_path / "link" / "a")) == b"x"


def test_identity_tells_a_new_file_on_an_old_inode(tmp_path: Path) -> None:
    """A file that replaces a removed one has another identity, though the inode may be the same."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    first = LOCAL.status(str(path))
    path.unlink()
    time.sleep(0.02)  # one tick of a file system's clock
    path.write_bytes(b"new")
    second = LOCAL.status(str(path))
    assert first is not None
    assert second is not None
    assert first.identity != second.identity


@pytest.fixture
def cannot_lock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the file system have no locks."""

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        yield


@pytest.mark.usefixtures("cannot_lock")
def test_without_locks_there_is_one_warning(tmp_path: Path) -> None:
    """A file system that cannot lock gives one warning; then everything works without."""
    storage = LocalStorage()
    with pytest.warns(CheckpointWarning, match="cannot lock"), storage.lock_dir(str(tmp_path)) as h:
        assert h is False
    with storage.lock_dir(str(tmp_path)) as held:
        assert held is False
    file = storage.create(str(tmp_path / "a"))
    assert file.lock() is False
    assert storage.is_locked(str(tmp_path / "a"))  # nobody can tell, so it is left alone
    file.close()


def test_a_dropped_file_gives_its_lock_back(tmp_path: Path) -> None:
    """A file that is forgotten without being closed is closed when it is collected."""
    file = LOCAL.create(str(tmp_path / "a"))
    file.lock()
    del file
    gc.collect()
    assert not LOCAL.is_locked(str(tmp_path / "a"))


def test_a_forked_child_does_not_release_locks(tmp_path: Path) -> None:
    """A child forked while locks are held has none of them, and leaves its parent's alone."""
    file = LOCAL.create(str(tmp_path / "a"))
    file.lock()

    def child() -> bool:
        inherited = file.inherited
        file.close()
        return inherited

    with LOCAL.lock_dir(str(tmp_path)):
        assert in_child(child)
        assert LOCAL.is_locked(str(tmp_path / "a"))
    assert not file.inherited
    file.close()


def test_a_lock_goes_with_its_process_though_its_children_live(tmp_path: Path) -> None:
    """After `kill -9` the locks of a process are free, though a child it forked lives on."""
    pid_file = tmp_path / "grandchild"

    def child() -> None:
        file = LOCAL.create(str(tmp_path / "a"))
        file.lock()
        with LOCAL.lock_dir(str(tmp_path)), living_child() as grandchild:
            pid_file.write_text(str(grandchild))
            kill_myself()

    assert end_of(start(child)) == -signal.SIGKILL
    try:
        assert not LOCAL.is_locked(str(tmp_path / "a"))
        with LOCAL.lock_dir(str(tmp_path)) as held:
            assert held
    finally:
        kill(int(pid_file.read_text()))


def test_the_disk_is_full_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """A write that the system cuts short and then refuses is an error with path and errno."""

    def child() -> bool:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        file = LOCAL.create(str(tmp_path / "a"))
        try:
            file.write([b"x" * 3000, b"y" * 9000])
        except StorageError as error:
            expected = f"{tmp_path}/a: could not write 12,000 bytes at offset 0: File too large."
            return (error.errno, str(error)) == (errno.EFBIG, expected)
        return False

    assert in_child(child)
    assert (tmp_path / "a").stat().st_size == 5000
