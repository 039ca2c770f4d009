"""Ctrl-C at a chosen moment."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import checkpointable

_PACKAGE = str(Path(checkpointable.__file__).parent)


class Interrupt:
    """Raises KeyboardInterrupt at the n-th moment at which a signal may come; counts them.

    The interpreter lets signals in when a function begins, and after a call of built-in code.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.moments = 0

    def __enter__(self) -> None:
        sys.setprofile(self._moment)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    @property
    def has_come(self) -> bool:
        """Whether what was to be interrupted went on for so long."""
        return self.moments >= self.at

    def _moment(self, frame: FrameType, event: str, _: object) -> None:
        is_ours = frame.f_code.co_filename.startswith(_PACKAGE)
        if is_ours and event in {"call", "c_return"}:
            self.moments += 1
            if self.moments == self.at:
                raise KeyboardInterrupt
