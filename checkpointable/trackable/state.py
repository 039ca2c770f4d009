"""`PythonState`: state that an object turns into bytes and back by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod

from checkpointable.trackable.base import Trackable


class PythonState(Trackable, ABC):
    """An object that is saved as bytes of its own making.

    Both methods are called in the thread that saves or restores. The bytes are stored as they
    are: reading them must be safe whoever wrote the file, so never unpickle them.

    Example:
        >>> import json
        >>> class Settings(PythonState):
        ...     def __init__(self):
        ...         self.values = {}
        ...
        ...     def serialize(self):
        ...         return json.dumps(self.values).encode()
        ...
        ...     def deserialize(self, data):
        ...         self.values = json.loads(data)
        >>> Settings().serialize()
        b'{}'
    """

    __slots__ = ()

    @abstractmethod
    def serialize(self) -> bytes:
        """Return the state as bytes; called once at each save."""

    @abstractmethod
    def deserialize(self, data: bytes) -> None:
        """Take the state back; called once at each restore."""
