"""Reads by a detour where the direct way is several times slower.

The kernel copies out of the page cache with one instruction, which some processors carry out
slowly when the target lies a few bytes further into its page than the source does into its own.
Large numpy arrays lie 16 bytes into a page, and large tensors often begin at a page of their file.
Such reads go through a small buffer, which stays in the cache of the processor.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Final, final

_PAGE: Final = 4096
#: How much further into its page a target must lie for the direct way to be good again.
_FAR: Final = 64
#: The size of the buffer; shorter reads take the direct way.
_PIECE: Final = 256 * 1024
_SHORTEST: Final = 64 * 1024


class _Scratch(threading.local):
    """The buffer of each thread, made when it is first needed."""

    def __init__(self) -> None:
        self.buffer = bytearray(_PIECE + _PAGE)


@final
class Reads:
    """The reads from one descriptor. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._scratch: _Scratch | None = None

    def read(self, buffer: memoryview, offset: int) -> int:
        """Read once into a flat buffer of bytes; return how many there were."""
        if len(buffer) >= _SHORTEST and 0 < (_address(buffer) - offset) % _PAGE < _FAR:
            return self._read_by_detour(buffer[:_PIECE], offset)
        return os.preadv(self._descriptor, [buffer], offset)

    def _read_by_detour(self, buffer: memoryview, offset: int) -> int:
        if self._scratch is None:
            self._scratch = _Scratch()
        scratch = memoryview(self._scratch.buffer)
        begin = (offset + _PAGE // 2 - _address(scratch)) % _PAGE
        piece = scratch[begin : begin + len(buffer)]
        count = os.preadv(self._descriptor, [piece], offset)
        buffer[:count] = piece[:count]
        return count


def _address(buffer: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
