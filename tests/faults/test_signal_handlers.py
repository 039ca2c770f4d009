"""A signal handler that saves, in the middle of a save of the same thread."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import checkpointable as ckpt
from checkpointable.storage.local import LocalStorage


def _manager(directory: Path) -> Callable[[], object]:
    return ckpt.CheckpointManager(ckpt.Checkpoint(x=1), directory, max_to_keep=1).save


def _checkpoint(directory: Path) -> Callable[[], object]:
    checkpoint = ckpt.Checkpoint(x=1)
    return lambda: checkpoint.save(directory / "ckpt")


def _saver(directory: Path) -> Callable[[], object]:
    saver = ckpt.Saver([ckpt.Variable(1, name="x")], max_to_keep=1)
    return lambda: saver.save(None, directory / "ckpt")


@pytest.fixture
def signal_at_rename(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a signal come before each renaming, which is always done under the directory's lock."""
    rename = LocalStorage.rename

    def interrupted(storage: LocalStorage, source: str, destination: str) -> None:
        signal.raise_signal(signal.SIGUSR1)
        rename(storage, source, destination)

    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(LocalStorage, "rename", interrupted)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("signal_at_rename")
@pytest.mark.parametrize("make", [_manager, _checkpoint, _saver])
def test_a_handler_that_saves(tmp_path: Path, make: Callable[[Path], Callable[[], object]]) -> None:
    """It is refused instead of waiting for ever, and the save that it interrupts goes on."""
    save = make(tmp_path)
    refusals: list[str] = []

    def handle(*_: object) -> None:
        try:
            save()
        except ckpt.StorageError as error:
            refusals.append(str(error))

    signal.signal(signal.SIGUSR1, handle)
    save()
    save()
    assert len(refusals) >= 4
    assert {True} == {f"{tmp_path}: this thread holds the lock" in text for text in refusals}
    newest = ckpt.latest_checkpoint(tmp_path)
    assert newest is not None
    ckpt.verify(newest)
    assert [] == [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"]
