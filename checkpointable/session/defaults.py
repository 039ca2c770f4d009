"""The default graph and session that `with` blocks set: one stack of each in every thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from checkpointable.session.graph import Graph
    from checkpointable.session.session import Session

_Item = TypeVar("_Item")


class DefaultStack(threading.local, Generic[_Item]):
    """What the `with` blocks of the current thread have made the default, the innermost last."""

    def __init__(self) -> None:
        self._items: list[_Item] = []

    def top(self) -> _Item | None:
        """Return the default; `None` if there is none."""
        return self._items[-1] if self._items else None

    def push(self, item: _Item) -> None:
        """Make something the default."""
        self._items.append(item)

    def remove(self, item: _Item) -> None:
        """End what `push` began; blocks of suspended generators may end out of order."""
        for position in reversed(range(len(self._items))):
            if self._items[position] is item:
                del self._items[position]
                return

    @contextmanager
    def entered(self, item: _Item) -> Iterator[_Item]:
        """Make something the default for the duration of a block."""
        self.push(item)
        try:
            yield item
        finally:
            self.remove(item)


#: The default graphs; `None` among them: execute eagerly.
graphs: Final[DefaultStack[Graph | None]] = DefaultStack()

#: The default sessions.
sessions: Final[DefaultStack[Session]] = DefaultStack()
