"""How long the files of an open checkpoint stay open: a read in progress holds up the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from checkpointable.errors import StorageError


@final
class Lifetime:
    """Lets reads in, and closes the files when no more are wanted and none goes on. Thread-safe."""

    def __init__(self, path: str, close: Callable[[], None]) -> None:
        self._path = path
        self._close = close
        self._lock = threading.Lock()
        self._readers = 0
        self._ended = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the files open meanwhile.

        Raises:
            StorageError: they are closed.
        """
        with self._lock:
            if self._ended:
                raise StorageError(
                    f"{self._path}: the checkpoint was closed, so nothing more can be read from it."
                    " Open it again.",
                    path=self._path,
                )
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if self._ended and not self._readers:
                    self._close()

    def end(self) -> None:
        """Let no more reads in, and close the files when the last has ended; twice is harmless."""
        with self._lock:
            self._ended = True
            if not self._readers:
                self._close()

    @property
    def ended(self) -> bool:
        """Whether no more reads are let in."""
        return self._ended
