"""What every storage promises: the same tests for the local and the in-memory one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpointable.errors import CheckpointNotFoundError, StorageError
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
