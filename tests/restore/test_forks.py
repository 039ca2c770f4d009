"""Forked children, and what waits."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import checkpointable as ckpt
from checkpointable.trackable import waiting
from tests.harness.processes import in_child


def _restores(path: str) -> bool:
    """Restore something that comes only afterwards; tell whether its value has come."""
    root = ckpt.Checkpoint()
    root.read(path).expect_partial()
    root.x = ckpt.Variable(0)
    return bool(root.x.value == 7)


def test_a_child_forked_while_another_thread_settles(tmp_path: Path) -> None:
    """The thread that holds the lock is not in the child, which restores all the same."""
    path = ckpt.Checkpoint(x=ckpt.Variable(7)).write(tmp_path / "x")
    holds, ends = threading.Event(), threading.Event()

    def settle() -> None:
        with waiting.quiet():
            holds.set()
            ends.wait(60)

    thread = threading.Thread(target=settle)
    thread.start()
    try:
        assert holds.wait(60)
        assert in_child(lambda: signal.alarm(30) == 0 and _restores(path))  # or it ends by that
    finally:
        ends.set()
        thread.join()
    assert _restores(path)


def test_a_child_forked_by_the_thread_that_settles(tmp_path: Path) -> None:
    """It goes on where its parent was: nothing comes before the settling ends, and then all."""
    path = ckpt.Checkpoint(x=ckpt.Variable(7)).write(tmp_path / "x")

    def child() -> bool:
        return not _restores(path)

    with waiting.quiet():
        assert in_child(child)
    assert _restores(path)
