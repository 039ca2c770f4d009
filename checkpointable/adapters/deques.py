"""`collections.deque`: restored in place, like a list."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, final

from checkpointable.trackable.registry import Adapter


@final
class DequeAdapter(Adapter):
    """The items of a deque are a list under the name `items`; `maxlen` is the program's."""

    def children(self, items: deque[Any]) -> Mapping[str, object]:
        """Return the items as a new list."""
        return {"items": list(deque.__iter__(items))}

    def restore(self, items: deque[Any], tensors: Mapping[str, Any]) -> deque[Any]:
        """Put the restored items in place of those that were there."""
        restored = tensors["items"]
        if items.maxlen is not None and len(restored) > items.maxlen:
            raise ValueError(
                f"there are {len(restored)} items, more than the deque's maxlen of {items.maxlen}"
            )
        items.clear()
        items.extend(restored)
        return items
