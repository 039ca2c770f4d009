"""What every storage promises: the same tests for the local and the in-memory one."""

from __future__ import annotations

import errno
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpointable.errors import CheckpointNotFoundError, DirectoryInUseError, StorageError
from checkpointable.storage.base import Storage, read_all
from checkpointable.storage.local import LocalStorage
from checkpointable.storage.memory import MemoryStorage


@pytest.fixture(params=[LocalStorage, MemoryStorage])
def storage(request: pytest.FixtureRequest) -> Storage:
    """Return each storage in turn."""
    made: Storage = request.param()
    return made


@pytest.fixture
def directory(storage: Storage, tmp_path: Path) -> str:
    """Return an existing directory."""
    storage.make_dirs(str(tmp_path), durable=False)
    return str(tmp_path)


def _put(storage: Storage, path: str, data: bytes = b"") -> None:
    file = storage.create(path)
    file.write([data])
    file.close()


def test_written_bytes_are_read_back(storage: Storage, directory: str) -> None:
    """All buffers, of any type, shape and length, arrive in order."""
    file = storage.create(f"{directory}/a")
    wide = memoryview(bytes(range(6))).cast("B", (2, 3))
    file.write([b"one", b"", bytearray(b"two"), wide, memoryview(b"")])
    file.write([bytes([n % 251]) for n in range(5000)])
    file.sync()
    file.close()
    file.close()
    expected = b"onetwo" + bytes(range(6)) + bytes(n % 251 for n in range(5000))
    assert expected == read_all(storage, f"{directory}/a")


def test_reading_stops_at_the_end(storage: Storage, directory: str) -> None:
    """A read tells how many bytes there were before the end of the file."""
    _put(storage, f"{directory}/a", b"0123456789")
    file = storage.open_read(f"{directory}/a")
    buffer = bytearray(6)
    assert file.read_into(2, memoryview(buffer)) == 6
    assert bytes(buffer) == b"234567"
    assert file.read_into(8, memoryview(buffer)) == 2
    assert file.read_into(10, memoryview(buffer)) == 0
    assert file.read_into(0, memoryview(b"")) == 0
    file.close()
    file.close()
    with pytest.raises(StorageError, match="closed"):
        file.read_into(0, memoryview(buffer))


def test_an_open_file_outlives_its_name(storage: Storage, directory: str) -> None:
    """A file that is removed or replaced can still be read by whoever has it open."""
    _put(storage, f"{directory}/a", b"old")
    _put(storage, f"{directory}/b", b"new")
    file = storage.open_read(f"{directory}/a")
    storage.rename(f"{directory}/b", f"{directory}/a")
    storage.remove(f"{directory}/a")
    buffer = bytearray(3)
    file.read_into(0, memoryview(buffer))
    file.close()
    assert bytes(buffer) == b"old"


def test_create_refuses_a_taken_name(storage: Storage, directory: str) -> None:
    """A file is created only where nothing stands, and only in a directory that exists."""
    _put(storage, f"{directory}/a")
    with pytest.raises(StorageError, match="File exists"):
        storage.create(f"{directory}/a")
    with pytest.raises(StorageError, match="No such file or directory"):
        storage.create(f"{directory}/missing/a")


def test_rename_replaces(storage: Storage, directory: str) -> None:
    """A rename takes the old name away and replaces what stood under the new one."""
    _put(storage, f"{directory}/a", b"a")
    _put(storage, f"{directory}/b", b"b")
    storage.rename(f"{directory}/a", f"{directory}/b")
    assert storage.list_dir(directory) == ["b"]
    assert read_all(storage, f"{directory}/b") == b"a"
    with pytest.raises(StorageError, match="could not rename"):
        storage.rename(f"{directory}/a", f"{directory}/b")


def test_remove_is_content_with_nothing(storage: Storage, directory: str) -> None:
    """Removing what is gone is no error; removing a directory is."""
    _put(storage, f"{directory}/a")
    storage.remove(f"{directory}/a")
    storage.remove(f"{directory}/a")
    assert storage.list_dir(directory) == []
    with pytest.raises(StorageError, match="could not remove"):
        storage.remove(directory)


@pytest.mark.parametrize("durable", [True, False])
def test_directories_are_made_with_parents(storage: Storage, directory: str, durable: bool) -> None:
    """Missing parents are made; what exists is left alone; a file in the way is an error."""
    storage.make_dirs(f"{directory}/x/y/z", durable=durable)
    storage.make_dirs(f"{directory}/x/y/z/", durable=durable)
    storage.sync_dir(f"{directory}/x/y/z")
    assert storage.list_dir(f"{directory}/x") == ["y"]
    _put(storage, f"{directory}/file")
    with pytest.raises(StorageError, match="could not make"):
        storage.make_dirs(f"{directory}/file/sub", durable=durable)


def test_status_tells_kind_size_and_identity(storage: Storage, directory: str) -> None:
    """A status knows files from directories; a renamed file keeps its identity."""
    _put(storage, f"{directory}/a", b"123")
    _put(storage, f"{directory}/b", b"123")
    first, second = storage.status(f"{directory}/a"), storage.status(f"{directory}/b")
    assert first is not None
    assert second is not None
    assert (first.is_file, first.is_dir, first.size) == (True, False, 3)
    assert first.identity != second.identity
    storage.rename(f"{directory}/a", f"{directory}/c")
    renamed = storage.status(f"{directory}/c")
    assert renamed is not None
    assert renamed.identity == first.identity
    assert storage.status(directory).is_dir  # type: ignore[union-attr]
    assert storage.status(f"{directory}/a") is None
    assert storage.status(f"{directory}/c/below") is None
    assert storage.status(f"{directory}/{'n' * 300}") is None


def test_what_is_missing(storage: Storage, directory: str) -> None:
    """A missing file is a CheckpointNotFoundError, a missing directory has no names."""
    for path in (f"{directory}/a", f"{directory}/no/a"):
        with pytest.raises(CheckpointNotFoundError, match="no such file"):
            storage.open_read(path)
    assert storage.list_dir(f"{directory}/no") == []
    _put(storage, f"{directory}/a")
    with pytest.raises(StorageError, match="Not a directory"):
        storage.list_dir(f"{directory}/a")


def test_a_directory_is_not_read(storage: Storage, directory: str) -> None:
    """Opening a directory says what it is and what was expected."""
    with pytest.raises(StorageError, match="is a directory, expected a regular file"):
        storage.open_read(directory)


@pytest.mark.parametrize(
    "verb",
    [
        lambda storage, path: storage.create(path),
        lambda storage, path: storage.open_read(path),
        lambda storage, path: storage.remove(path),
        lambda storage, path: storage.status(path),
        lambda storage, path: storage.make_dirs(path, durable=False),
        lambda storage, path: storage.rename(path, path),
        lambda storage, path: storage.sync_dir(path),
    ],
)
def test_a_nul_in_a_path_is_a_storage_error(
    storage: Storage, verb: Callable[[Storage, str], object]
) -> None:
    """A path that no system can hold gives the error of the library, not one of Python."""
    with pytest.raises(StorageError):
        verb(storage, "/a\0b")


def test_a_file_is_locked_until_it_is_closed(storage: Storage, directory: str) -> None:
    """The lock of a file is seen under each of its names, and ends when it is closed."""
    file = storage.create(f"{directory}/a")
    assert not storage.is_locked(f"{directory}/a")
    assert file.lock()
    assert not file.inherited
    assert storage.is_locked(f"{directory}/a")
    storage.rename(f"{directory}/a", f"{directory}/b")
    assert storage.is_locked(f"{directory}/b")
    assert not storage.is_locked(f"{directory}/a")
    file.close()
    assert not storage.is_locked(f"{directory}/b")


def test_a_closed_file_refuses_everything(storage: Storage, directory: str) -> None:
    """Writing to, syncing or locking a closed file is a StorageError."""
    file = storage.create(f"{directory}/a")
    file.close()
    for verb in (lambda: file.write([b"x"]), file.sync, file.lock):
        with pytest.raises(StorageError, match="closed"):
            verb()


def test_the_directory_lock_excludes_threads(storage: Storage, directory: str) -> None:
    """Of several threads, one at a time holds a directory's lock."""
    inside = 0
    most = 0

    def enter() -> None:
        nonlocal inside, most
        for _ in range(20):
            with storage.lock_dir(directory) as held:
                assert held
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert most == 1


def test_the_directory_lock_ends_with_an_error(storage: Storage, directory: str) -> None:
    """An exception inside gives the lock back."""
    with pytest.raises(ZeroDivisionError), storage.lock_dir(directory):
        raise ZeroDivisionError
    with storage.lock_dir(directory) as held:
        assert held
    with pytest.raises(StorageError), storage.lock_dir(f"{directory}/missing"):
        pass


def test_a_thread_never_waits_for_itself(storage: Storage, directory: str) -> None:
    """A thread that takes a lock which it holds is refused, keeps it, and may take others."""
    other = f"{directory}/other"
    storage.make_dirs(other, durable=False)
    taken = threading.Event()

    def take() -> None:
        with storage.lock_dir(directory):
            taken.set()

    thread = threading.Thread(target=take)
    with storage.lock_dir(directory):
        for path in (directory, f"{other}/.."):
            with pytest.raises(StorageError, match="this thread holds the lock") as caught:
                storage.lock_dir(path).__enter__()
            assert errno.EDEADLK == caught.value.errno
        with storage.lock_dir(other):
            thread.start()
            assert not taken.wait(0.05)
    thread.join(30)
    assert taken.is_set()
    take()


OWNER = "pid 7 on host"


def test_a_held_lock_excludes_others(storage: Storage, directory: str) -> None:
    """Who comes second is told which lock is held, by whom and what to do, until it is free."""
    path = f"{directory}/ckpt.lock"
    first = storage.hold_lock(path, OWNER)
    assert b"pid 7 on host\n" == read_all(storage, path)
    assert storage.is_locked(path)
    assert not first.inherited
    with pytest.raises(DirectoryInUseError) as caught:
        storage.hold_lock(path, "pid 8 on other")
    expected = (
        f"{path}: the lock of this name is held by pid 7 on host, expected it to be free. Close"
        " the other manager or end its process, or use another name or another directory. Reading"
        " needs no lock."
    )
    assert expected == str(caught.value)
    assert b"pid 7 on host\n" == read_all(storage, path)
    first.close()
    first.close()
    assert b"" == read_all(storage, path)
    second = storage.hold_lock(path, "pid 8 on other")
    first.close()
    assert b"pid 8 on other\n" == read_all(storage, path)
    assert storage.is_locked(path)
    second.close()


def test_a_held_lock_excludes_its_own_process(storage: Storage, directory: str) -> None:
    """The same owner is refused too, and told that it is itself; other names are free."""
    path = f"{directory}/ckpt.lock"
    held = storage.hold_lock(path, OWNER)
    with pytest.raises(DirectoryInUseError, match="7 on host, which is this very process, exp"):
        storage.hold_lock(path, OWNER)
    storage.hold_lock(f"{directory}/other.lock", OWNER).close()
    held.close()


def test_a_held_lock_knows_its_file(storage: Storage, directory: str) -> None:
    """A lock file that was removed, or made anew, is not the one that is held."""
    path = f"{directory}/ckpt.lock"
    held = storage.hold_lock(path, OWNER)
    assert held.is_in_place()
    storage.rename(path, f"{path}-away")
    assert not held.is_in_place()
    _put(storage, path, b"")
    assert not held.is_in_place()
    storage.rename(f"{path}-away", path)
    assert held.is_in_place()


def test_a_dropped_lock_is_free(storage: Storage, directory: str) -> None:
    """A lock that is forgotten without being closed is free once it is collected."""
    path = f"{directory}/ckpt.lock"
    held = storage.hold_lock(path, OWNER)
    del held
    gc.collect()
    assert not storage.is_locked(path)
    storage.hold_lock(path, "pid 8").close()


def test_what_a_dead_holder_wrote_does_not_matter(storage: Storage, directory: str) -> None:
    """A lock file that nobody holds is taken and overwritten, whatever name is left in it."""
    _put(storage, f"{directory}/ckpt.lock", b"pid 12345 on a host with a long name\n")
    before = storage.status(f"{directory}/ckpt.lock")
    held = storage.hold_lock(f"{directory}/ckpt.lock", OWNER)
    assert b"pid 7 on host\n" == read_all(storage, f"{directory}/ckpt.lock")
    held.close()
    after = storage.status(f"{directory}/ckpt.lock")
    assert before is not None
    assert after is not None
    assert before.identity[:2] == after.identity[:2]
    assert ["ckpt.lock"] == storage.list_dir(directory)


@pytest.mark.parametrize("content", [b"# dependencies\nnumpy\n", b"x" * 513])
def test_a_file_of_something_else_is_no_lock(
    storage: Storage, directory: str, content: bytes
) -> None:
    """What is no lock file (such as `poetry.lock`) is refused, and stays as it is, unlocked."""
    path = f"{directory}/poetry.lock"
    _put(storage, path, content)
    with pytest.raises(StorageError, match="holds something else, expected an empty file or one"):
        storage.hold_lock(path, OWNER)
    assert content == read_all(storage, path)
    assert not storage.is_locked(path)


def test_an_owner_is_one_line(storage: Storage, directory: str) -> None:
    """Whatever an owner is called, the file holds one printable line of at most 512 bytes."""
    path = f"{directory}/ckpt.lock"
    held = storage.hold_lock(path, "pid 7\non \x1b[31m" + "h" * 600)
    expected = b"pid 7?on ?[31m" + b"h" * 497 + b"\n"
    assert expected == read_all(storage, path)
    assert 512 == len(expected)
    with pytest.raises(DirectoryInUseError, match=r"held by pid 7\?on"):
        storage.hold_lock(path, OWNER)
    held.close()


def test_a_lock_needs_its_directory(storage: Storage, directory: str) -> None:
    """No lock is made where there is no directory, or where a directory stands."""
    with pytest.raises(StorageError, match="could not take the lock: No such file or directory"):
        storage.hold_lock(f"{directory}/missing/ckpt.lock", OWNER)
    storage.make_dirs(f"{directory}/sub.lock", durable=False)
    with pytest.raises(StorageError, match="is a directory, expected a regular file"):
        storage.hold_lock(f"{directory}/sub.lock", OWNER)
    with pytest.raises(StorageError):
        storage.hold_lock("/a\0b", OWNER)


def test_of_many_threads_one_gets_the_lock(storage: Storage, directory: str) -> None:
    """Of threads that take a lock at the same moment, exactly one gets it, each time."""
    path = f"{directory}/ckpt.lock"
    barrier = threading.Barrier(4, timeout=30)
    winners: list[int] = []

    def race() -> None:
        for number in range(10):
            barrier.wait()
            try:
                held = storage.hold_lock(path, OWNER)
            except DirectoryInUseError:
                barrier.wait()
            else:
                winners.append(number)
                barrier.wait()
                held.close()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert list(range(10)) == winners
