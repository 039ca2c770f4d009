"""How much work an action is, told by the number of calls rather than by the clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def effort(action: Callable[[], object]) -> int:
    """Run an action, and return how many Python functions it has called."""
    calls = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def grows_linearly(effort_of: Callable[[int], int], size: int = 50) -> bool:
    """Tell whether four times the size is about four times the work, and not sixteen times."""
    return effort_of(4 * size) < 7 * effort_of(size)
