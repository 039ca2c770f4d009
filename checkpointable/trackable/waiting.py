"""Values that wait for objects: the small protocol between tracking and the restore engine.

Tracking knows *when* something may have come, the restore engine (`restore/`) knows *what* waits.
The page is kept here, by identity, so that copies of an object never inherit what waits at it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import attrs


class Waiting(Protocol):
    """What waits at one object. It never refers to the object strongly."""

    def assigned(self, owner: Any, name: str) -> None:
        """React to `name` having been assigned, or tracked, on `owner`."""

    def settle(self, owner: Any) -> None:
        """Look for what has come without an assignment, such as items of plain containers."""


@attrs.define
class Guard:
    """What guards every settling, which any thread may trigger."""

    lock: threading.RLock = attrs.field(factory=threading.RLock)


guard: Final = Guard()

#: The objects at which something waits, by identity. Empty: nothing waits anywhere.
_owners: Final[dict[int, tuple[weakref.ref[Any], Waiting]]] = {}

#: Those of them at which something may come without an assignment.
_polled: Final[set[int]] = set()

#: Not empty while the restore engine itself assigns; only touched under the lock.
_quiet: Final[list[None]] = []

#: Not empty while some thread settles, so that looking does not lead to looking again.
_settling: Final[list[None]] = []


def begin_anew() -> None:
    """Forget, in a forked child, the settling of a thread that it does not have."""
    if guard.lock.acquire(blocking=False):  # It was free, or is the forking thread's own.
        guard.lock.release()
        return
    guard.lock = threading.RLock()
    _quiet.clear()
    _settling.clear()


def anything() -> bool:
    """Tell whether anything waits anywhere."""
    return bool(_owners)


def get(owner: Any) -> Waiting | None:
    """Return what waits at an object."""
    entry = _owners.get(id(owner))
    return entry[1] if entry is not None else None


def put(owner: Any, what: Waiting, *, polled: bool) -> None:
    """Let something wait at an object, until it is dropped or the object dies."""
    identity = id(owner)

    def forget(_: object) -> None:
        _owners.pop(identity, None)
        _polled.discard(identity)

    _owners[identity] = (weakref.ref(owner, forget), what)
    (_polled.add if polled else _polled.discard)(identity)


def drop(owner: Any) -> None:
    """Note that nothing waits at an object any more."""
    _owners.pop(id(owner), None)
    _polled.discard(id(owner))


def assigned(owner: Any, name: str) -> None:
    """Give what waits at `owner` under `name` to the value just assigned there.

    Raises:
        IncompatibleCheckpointError: it does not fit. The attribute is set, its value is not.
    """
    entry = _owners.get(id(owner))
    if entry is not None:
        with guard.lock:
            if not _quiet:
                entry[1].assigned(owner, name)


def settle() -> None:
    """Give every waiting value whose object has come since to that object.

    Raises:
        IncompatibleCheckpointError: an object has come that its value does not fit. It is raised
            once; the report keeps it.
    """
    if not _polled:
        return
    with guard.lock:
        if _quiet or _settling:
            return
        _settling.append(None)
        try:
            _settle_all()
        finally:
            _settling.pop()


def _settle_all() -> None:
    for identity in list(_polled):
        entry = _owners.get(identity)
        owner = entry[0]() if entry is not None else None
        if entry is not None and owner is not None:
            entry[1].settle(owner)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold the lock and let nothing come while the restore engine matches and assigns."""
    with guard.lock:
        _quiet.append(None)
        try:
            yield
        finally:
            _quiet.pop()
