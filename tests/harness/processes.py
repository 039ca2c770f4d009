"""Real processes: forked children that answer, are held, or are killed."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from checkpointable.errors import CheckpointWarning


def start(body: Callable[[], object]) -> int:
    """Run a body in a forked child; return its process id. Warnings of the library are dropped."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        warnings.simplefilter("ignore", CheckpointWarning)
        code = 0 if body() else 3
    except BaseException:
        traceback.print_exc()
        code = 4
    finally:
        os._exit(code)


def end_of(child: int) -> int:
    """Wait for a child; return its exit code, negative if a signal ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def in_child(body: Callable[[], object]) -> bool:
    """Run a body in a forked child; tell whether it returned something true."""
    return end_of(start(body)) == 0


def kill(process: int) -> None:
    """End a process as `kill -9` does."""
    os.kill(process, signal.SIGKILL)


def kill_myself() -> None:
    """End this process as `kill -9` does."""
    kill(os.getpid())


@contextmanager
def living_child(body: Callable[[], object] = lambda: True) -> Iterator[int]:
    """Let a forked child run the body and then live on; kill it at the end."""
    ready, tell = os.pipe()

    def child() -> None:
        body()
        os.write(tell, b"x")
        signal.pause()

    number = start(child)
    try:
        if os.read(ready, 1) != b"x":
            raise AssertionError("the child died")
        yield number
    finally:
        kill(number)
        end_of(number)
        os.close(ready)
        os.close(tell)
