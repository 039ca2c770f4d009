"""The default graph and session that `with` blocks set: one stack of each in every thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from checkpointable.session.graph import Graph
    from checkpointable.session.session import Session

_Item = TypeVar("_Item")


class _Items(threading.local):
    """A list of each thread's own."""

    def __init__(self) -> None:
        self.items: list[Any] = []


class DefaultStack(Generic[_Item]):
    """What the `with` blocks of the current thread have made the default, the innermost last."""

    def __init__(self) -> None:
        self._threads = _Items()
        #: Whether there ever was anything in any thread.
        self.is_used = False

    def top(self) -> _Item | None:
        """Return the default; `None` if there is none."""
        items: list[_Item] = self._threads.items
        return items[-1] if items else None

    def push(self, item: _Item) -> None:
        """Make something the default."""
        self.is_used = True
        self._threads.items.append(item)

    def remove(self, item: _Item) -> None:
        """End what `push` began; blocks of suspended generators may end out of order."""
        items = self._threads.items
        for position in reversed(range(len(items))):
            if items[position] is item:
                del items[position]
                return

    @contextmanager
    def entered(self, item: _Item) -> Iterator[_Item]:
        """Make something the default for the duration of a block.

        An interrupt leaves nothing behind: it comes when a function is called, and here none is.
        """
        self.is_used = True
        items = self._threads.items
        try:
            items += [item]
            yield item
        finally:
            if items[-1] is item:
                del items[-1]
            else:
                self.remove(item)


#: The default graphs; `None` among them: execute eagerly.
graphs: Final[DefaultStack[Graph | None]] = DefaultStack()

#: The default sessions.
sessions: Final[DefaultStack[Session]] = DefaultStack()
