"""Real processes: forked children that answer, are held, or are killed."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _run(body: Callable[[], object]) -> int:
    """Run a body in a forked child; return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        code = 0 if body() else 3
    except BaseException:
        traceback.print_exc()
        code = 4
    finally:
        os._exit(code)


def in_child(body: Callable[[], object]) -> bool:
    """Run a body in a forked child; tell whether it returned something true."""
    _, status = os.waitpid(_run(body), 0)
    return os.waitstatus_to_exitcode(status) == 0


def dies_in_child(body: Callable[[], object]) -> int:
    """Run a body in a forked child; return its exit code, negative if a signal ended it."""
    _, status = os.waitpid(_run(body), 0)
    return os.waitstatus_to_exitcode(status)


def kill_myself() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def living_child(body: Callable[[], object] = lambda: True) -> Iterator[int]:
    """Let a forked child run the body and then live on; kill it at the end."""
    ready, tell = os.pipe()

    def child() -> None:
        body()
        os.write(tell, b"x")
        signal.pause()

    number = _run(child)
    try:
        if os.read(ready, 1) != b"x":
            raise AssertionError("the child died")
        yield number
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        os.close(ready)
        os.close(tell)
