"""Disks that are full or read-only, with the real system calls and real checkpoints."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkpointable.errors import StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.harness.bundles import BundleDriver
from tests.harness.processes import in_child

DRIVER = BundleDriver(shards=2, shard_bytes=20_000)
OPTIONS = SaveOptions()
SINGLE = SaveOptions(single_file=True)

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return a function that mounts a small disk, or mounts it again with other options."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted: list[str] = []

    def mount(options: str) -> Path:
        again = f"remount,{options}" if mounted else options
        command = ["mount", "-t", "tmpfs", "-o", again, "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here: that needs root")
        mounted.append(options)
        return disk

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _save(directory: Path, value: int, options: SaveOptions = OPTIONS) -> None:
    DRIVER.save(LOCAL, str(directory / "ckpt"), value, options)


def _load(directory: Path) -> int:
    return DRIVER.load(LOCAL, str(directory / "ckpt"))


@pytest.mark.parametrize("options", [OPTIONS, SINGLE])
def test_a_full_disk(mount: Mount, options: SaveOptions) -> None:
    """However little space there is, the save says so and the old checkpoint stays.

    With more space the same save succeeds, and no file is left but those of the checkpoint.
    """
    disk = mount("size=1m")
    _save(disk, 1, options)
    used = sum(-(-path.stat().st_size // 4096) * 4096 for path in disk.iterdir())
    files = len(list(disk.iterdir()))
    for free in range(0, used, 4096):
        mount(f"size={used + free}")
        with pytest.raises(StorageError) as caught:
            _save(disk, 2, options)
        assert caught.value.errno == errno.ENOSPC
        assert str(disk) in str(caught.value)
        assert (_load(disk), len(list(disk.iterdir()))) == (1, files)
    mount("size=1m")
    _save(disk, 2, options)
    assert (_load(disk), len(list(disk.iterdir()))) == (2, files)


def test_no_inodes_left(mount: Mount) -> None:
    """Where no further file can be created, the save says so and the old checkpoint stays."""
    disk = mount("nr_inodes=6")  # the directory, three files, two more
    _save(disk, 1)
    with pytest.raises(StorageError) as caught:
        _save(disk, 2)
    assert caught.value.errno == errno.ENOSPC
    assert _load(disk) == 1
    assert len(list(disk.iterdir())) == 3


def test_a_read_only_disk(mount: Mount) -> None:
    """On a read-only disk a save is refused; reading works."""
    disk = mount("size=1m")
    _save(disk, 1)
    mount("size=1m,ro")
    for prefix in ("ckpt", "new", "dir/new"):
        with pytest.raises(StorageError) as caught:
            DRIVER.save(LOCAL, str(disk / prefix), 2, OPTIONS)
        assert caught.value.errno == errno.EROFS
    assert _load(disk) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only directories")
def test_a_read_only_directory(tmp_path: Path) -> None:
    """In a directory without write permission a save is refused; reading works."""
    _save(tmp_path, 1)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            _save(tmp_path, 2)
        assert _load(tmp_path) == 1
    finally:
        tmp_path.chmod(0o755)


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    """Where a parent of the prefix is a file, the save says so."""
    (tmp_path / "file").write_text("text")
    for prefix in ("file/ckpt", "file/sub/ckpt"):
        with pytest.raises(StorageError, match="file"):
            DRIVER.save(LOCAL, str(tmp_path / prefix), 1, OPTIONS)


@pytest.mark.parametrize("options", [OPTIONS, SINGLE])
def test_a_limit_on_file_sizes(tmp_path: Path, options: SaveOptions) -> None:
    """Where the system cuts writes short at a limit, the old checkpoint stays."""
    _save(tmp_path, 1, options)
    files = sorted(path.name for path in tmp_path.iterdir())

    def save_limited(limit: int) -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            _save(tmp_path, 2, options)
        except StorageError as error:
            return error.errno == errno.EFBIG
        return False

    largest = max(path.stat().st_size for path in tmp_path.iterdir())
    for limit in range(0, largest, 4096):
        assert in_child(lambda limit=limit: save_limited(limit))
        assert _load(tmp_path) == 1
        assert files == sorted(path.name for path in tmp_path.iterdir())
