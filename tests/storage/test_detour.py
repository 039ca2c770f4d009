"""Reads give the same bytes whichever way they take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from checkpointable.storage.detour import Reads

PAGE = 4096
SIZE = 1_000_000
CONTENT = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """A file with the content, open."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT.tobytes())
    number = os.open(path, os.O_RDONLY)
    yield number
    os.close(number)


def placed(length: int, into_page: int) -> npt.NDArray[np.uint8]:
    """Return an array that begins so many bytes into a page, zeros."""
    room = np.zeros(length + 2 * PAGE, np.uint8)
    begin = (into_page - room.ctypes.data) % PAGE
    return room[begin : begin + length]


def read_all(reads: Reads, target: npt.NDArray[np.uint8], offset: int) -> int:
    """Read until the target is full or the file ends."""
    done = 0
    while done < len(target):
        count = reads.read(target.data[done:], offset + done)
        if not count:
            break
        done += count
    return done


@pytest.mark.parametrize("offset", [0, 16, PAGE - 1, PAGE, 3 * PAGE + 8, 700_000])
@pytest.mark.parametrize("into_page", [0, 1, 16, 63, 64, 2048, PAGE - 1])
@pytest.mark.parametrize("length", [1, 65_535, 65_536, 262_144, 262_145, 600_000])
def test_any_place_gives_the_bytes_of_the_file(
    descriptor: int, offset: int, into_page: int, length: int
) -> None:
    """Whatever file offset, place in memory and length: what is read is what is there."""
    target = placed(length, into_page)
    expected = CONTENT[offset : offset + length]

    assert len(expected) == read_all(Reads(descriptor), target, offset)
    assert np.array_equal(expected, target[: len(expected)])
    assert not target[len(expected) :].any()


def test_only_the_slow_way_is_left(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target 16 bytes further into its page than the source is never read into directly."""
    used: list[int] = []
    preadv = os.preadv

    def noted(number: int, buffers: list[memoryview], offset: int) -> int:
        address = np.frombuffer(buffers[0], np.uint8).ctypes.data
        used.append((address - offset) % PAGE)
        return preadv(number, buffers, offset)

    monkeypatch.setattr(os, "preadv", noted)
    read_all(Reads(descriptor), placed(300_000, 16), 0)
    read_all(Reads(descriptor), placed(300_000, 2048), 0)

    assert [2048, 16, 2048] == used  # What is left after 256 KiB is too short to matter.


def test_threads_do_not_share_a_buffer(descriptor: int) -> None:
    """Several threads read from one file at a time, each what it asked for."""
    reads = Reads(descriptor)
    wrong: list[int] = []

    def read(offset: int) -> None:
        for _ in range(200):
            target = placed(70_000, 16 + offset % PAGE)
            read_all(reads, target, offset)
            if not np.array_equal(CONTENT[offset : offset + 70_000], target):
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(4096 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong
