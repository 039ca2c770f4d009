"""Foreign types: how objects that are no Trackables take part, told by one adapter for a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.plain import PLAIN_CONTAINERS, PLAIN_SCALARS
from checkpointable.trackable.tracking import Owner


class Adapter:
    """What the library asks about the objects of a class that it does not know.

    Subclass it, override what the class needs, and give an instance to `register_adapter`.
    """

    def children(self, obj: Any) -> Mapping[str, object]:
        """Return what `obj` leads to, by name: whatever could be an attribute of a Trackable.

        Containers and plain values may be made anew at each call: `restore` takes them back.
        """
        return {}

    def serialize(self, obj: Any) -> Mapping[str, npt.ArrayLike | Callable[[], npt.ArrayLike]]:
        """Return arrays of the object's own by name, or functions that return one."""
        return {}

    def restore(self, obj: Any, tensors: Mapping[str, Any]) -> Any:
        """Take back what was restored, and return the object.

        It is called after a restore has given new values to anything here that is no Trackable.

        Args:
            obj: the object as it is.
            tensors: all that `serialize` and `children` give, by name, as it is now: new arrays,
                children that were replaced, and what was left as it was.

        Returns:
            `obj` itself, or another object, which then takes its place in all its owners.
        """
        return obj


#: What was registered, by class.
_adapters: Final[dict[type[Any], Adapter]] = {}

_METHODS: Final = ("children", "serialize", "restore")


def register_adapter(cls: type[Any], adapter: Adapter) -> None:
    """Let all objects of a class, and of its subclasses, be saved and restored by an adapter.

    From then on an attribute that holds such an object is state, without being declared. The
    latest adapter for a class counts. It may be called from any thread, at any time; a save or
    restore under way goes on as it began.

    Args:
        cls: the class. It is found in the program; a checkpoint never names it.
        adapter: an `Adapter`, or another object with its three methods.

    Raises:
        TypeError: `cls` is no class, or the adapter lacks a method.
        ValueError: objects of the class are saved already, without an adapter.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import checkpointable as ckpt
        >>> class Camera:  # somebody else's class
        ...     gain = np.ones(2)
        >>> class CameraAdapter(ckpt.Adapter):
        ...     def serialize(self, camera):
        ...         return {"gain": camera.gain}
        ...
        ...     def restore(self, camera, tensors):
        ...         camera.gain = tensors["gain"]
        ...         return camera
        >>> ckpt.register_adapter(Camera, CameraAdapter())
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(camera=Camera()).write(directory + "/camera")
        ...     ckpt.list_variables(path)
        [('camera/.ATTRIBUTES/gain', (2,))]
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_adapter: expected a class, found {cls!r}")
    missing = [name for name in _METHODS if not callable(getattr(adapter, name, None))]
    if missing:
        raise TypeError(
            f"the adapter for {cls.__qualname__} has no method {' and no '.join(missing)}: an"
            f" adapter needs {', '.join(_METHODS)}."
        )
    if cls is object or issubclass(cls, Owner) or cls in PLAIN_SCALARS or cls in PLAIN_CONTAINERS:
        raise ValueError(
            f"{cls.__qualname__} needs no adapter and can have none: see docs/objects.md."
        )
    _adapters[cls] = adapter


def registered_adapter(cls: type[Any]) -> Adapter | None:
    """Return the adapter registered for a class, or for the nearest of its bases."""
    for base in cls.__mro__:
        if base in _adapters:
            return None if issubclass(cls, Owner) else _adapters[base]
    return None


def adapter_of(value: object) -> Adapter | None:
    """Return the adapter of an object: the registered one, or that of all dataclasses."""
    cls = type(value)
    adapter = registered_adapter(cls)
    if adapter is None and is_plain_dataclass(cls):
        return _DATACLASSES
    return adapter


def is_plain_dataclass(cls: type[Any]) -> bool:
    """Tell whether a class is a dataclass that is nothing else which could be saved."""
    return dataclasses.is_dataclass(cls) and not issubclass(
        cls, (Owner, *PLAIN_CONTAINERS, *PLAIN_SCALARS)
    )


def adapted_children(obj: object) -> list[tuple[str, object]]:
    """Return the children that an adapter shows.

    Raises:
        NotCheckpointableError: it gave something that is not a mapping of strings.
    """
    adapter = adapter_of(obj)
    if adapter is None:
        return []
    return list(_asked(obj, adapter.children, "children").items())


def own_tensors(obj: object) -> Mapping[str, Any]:
    """Return the arrays of its own that an adapter gives for an object.

    Raises:
        NotCheckpointableError: it gave something that is not a mapping of strings.
    """
    adapter = adapter_of(obj)
    return {} if adapter is None else _asked(obj, adapter.serialize, "serialize")


def restore_adapted(obj: object, values: Mapping[str, Any]) -> Any:
    """Give an object to its adapter, with its children and tensors; those not given as they are.

    Returns:
        the object, or what takes its place.
    """
    adapter = adapter_of(obj)
    if adapter is None:
        return obj
    complete = dict(values)
    for name, tensor in own_tensors(obj).items():
        if name not in complete:
            complete[name] = np.asarray(tensor() if callable(tensor) else tensor)
    result = adapter.restore(obj, complete)
    if result is None:
        raise TypeError(
            f"restore() of the adapter for {type(obj).__qualname__} returned None, expected the"
            " object, or another one to take its place"
        )
    return result


def _asked(obj: object, question: Callable[[Any], object], method: str) -> Mapping[str, Any]:
    """Return what an adapter gives, if it is a mapping of names; what it raises names it."""
    try:
        given = question(obj)
    except Exception as error:
        error.add_note(f"in {method}() of the adapter for {type(obj).__qualname__}")
        raise
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        return given
    raise NotCheckpointableError(
        f"{method}() of the adapter for {type(obj).__qualname__} returned a"
        f" {type(given).__name__}, expected a mapping of names (str)."
    )


@final
class _DataclassAdapter(Adapter):
    """Dataclasses that are no Trackables: every field is a child."""

    def children(self, obj: Any) -> Mapping[str, object]:
        """Return the fields that have a value."""
        names = [field.name for field in dataclasses.fields(obj)]
        return {name: getattr(obj, name) for name in names if hasattr(obj, name)}

    def restore(self, obj: Any, tensors: Mapping[str, Any]) -> Any:
        """Put the fields that were replaced."""
        store = object.__setattr__ if obj.__dataclass_params__.frozen else setattr
        present = self.children(obj)
        for name, value in tensors.items():
            if present.get(name, self) is not value:
                store(obj, name, value)
        return obj


_DATACLASSES: Final = _DataclassAdapter()
