"""Values that wait for objects: the small protocol between tracking and the restore engine.

Tracking knows *when* something may have come, the restore engine (`restore/`) knows *what* waits.
The page is kept here, by identity, so that copies of an object never inherit what waits at it.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, Final, Protocol


class Waiting(Protocol):
    """What waits at one object. It never refers to the object strongly."""

    def assigned(self, owner: Any, name: str) -> None:
        """React to `name` having been assigned, or tracked, on `owner`."""

    def settle(self, owner: Any) -> None:
        """Look for what has come into the containers of `owner`."""


#: Guards every settling, which any thread may trigger.
lock: Final = threading.RLock()

#: The objects at which something waits, by identity. Empty: nothing waits anywhere.
_owners: Final[dict[int, tuple[weakref.ref[Any], Waiting]]] = {}

_settling: list[bool] = []


def anything() -> bool:
    """Tell whether anything waits anywhere."""
    return bool(_owners)


def get(owner: Any) -> Waiting | None:
    """Return what waits at an object."""
    entry = _owners.get(id(owner))
    return entry[1] if entry is not None else None


def put(owner: Any, waiting: Waiting) -> None:
    """Let something wait at an object, until it is dropped or the object dies."""
    identity = id(owner)

    def forget(_: object) -> None:
        _owners.pop(identity, None)

    _owners[identity] = (weakref.ref(owner, forget), waiting)


def drop(owner: Any) -> None:
    """Note that nothing waits at an object any more."""
    _owners.pop(id(owner), None)


def assigned(owner: Any, name: str) -> None:
    """Give what waits at `owner` under `name` to the value just assigned there."""
    entry = _owners.get(id(owner))
    if entry is not None:
        with lock:
            entry[1].assigned(owner, name)


def settle() -> None:
    """Give every waiting value whose object has come since to that object.

    Raises:
        IncompatibleCheckpointError: an object has come that its value does not fit. It is raised
            once; the report keeps it.
    """
    if not _owners:
        return
    with lock:
        if _settling:
            return
        _settling.append(True)
        try:
            for reference, waiting in list(_owners.values()):
                owner = reference()
                if owner is not None:
                    waiting.settle(owner)
        finally:
            _settling.clear()
