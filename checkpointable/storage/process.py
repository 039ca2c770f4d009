"""This process, as the operating system knows it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Final, NoReturn

#: How many seconds are waited for a stderr that takes nothing.
_PATIENCE: Final = 1.0


def process_id() -> int:
    """Return the number of this process; a forked child has another than its parent."""
    return os.getpid()


def end_at_once(code: int) -> NoReturn:
    """End the process now: no `finally` block runs, nothing that is buffered is written."""
    os._exit(code)


def tell(line: str) -> None:
    """Write a line to stderr where that is possible; it never raises nor waits for long."""
    with suppress(Exception):
        writer = threading.Thread(target=_write, args=(line,), name="stderr", daemon=True)
        writer.start()
        writer.join(_PATIENCE)


def _write(line: str) -> None:
    with suppress(Exception):
        stream = sys.stderr
        if stream is None:  # print would take stdout
            return
        stream.flush()
        raw = getattr(getattr(stream, "buffer", None), "raw", None)
        if raw is None:
            print(line, file=stream, flush=True)
        else:
            # What stays in a buffer fails once more at the end, and changes the exit code then.
            raw.write(f"{line}\n".encode(stream.encoding, "backslashreplace"))
