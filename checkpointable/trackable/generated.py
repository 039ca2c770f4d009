"""Methods that attrs and dataclasses generate, and that would bypass tracking: wrapped here.

attrs gives a class with validators or converters a `__setattr__` that stores directly, resets an
inherited one to `object.__setattr__`, and lets `__init__` and the pickling of slots store directly
too. A frozen dataclass stores directly in `__init__`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import attrs

from checkpointable.trackable.tracking import (
    NoDependency,
    Owner,
    assigned,
    incoming_state,
    outgoing_state,
    tracking_of,
    unwrapped,
)

_Method = Callable[..., Any]


def wrap_attrs_class(cls: type[Owner]) -> None:
    """Let the methods that attrs generated for a class track what they store."""
    own = cls.__dict__
    stores = own.get("__setattr__")
    if stores is object.__setattr__ or (stores is not None and own.get("__attrs_own_setattr__")):
        _replace(cls, "__setattr__", _tracking_setattr)
    # Where the class body has an `__init__`, attrs calls its own `__attrs_init__`.
    init = "__attrs_init__" if "__attrs_init__" in own else "__init__"
    if init in own:
        _replace(cls, init, functools.partial(_tracking_init, cls))
    if "__getstate__" in own and "__setstate__" in own:
        _replace(cls, "__getstate__", _tracking_getstate)
        _replace(cls, "__setstate__", _tracking_setstate)


def wrap_post_init(cls: type[Owner]) -> None:
    """Let the `__post_init__` of a class, if it has its own, see no `NoDependency`."""
    if "__post_init__" in cls.__dict__:
        _replace(cls, "__post_init__", _unwrapping_post_init)


def check_base_order(cls: type[Owner]) -> None:
    """Refuse a base before Trackable whose attrs-made `__setattr__` would bypass tracking."""
    first = next(base for base in cls.__mro__ if "__setattr__" in base.__dict__)
    if not issubclass(first, Owner) and first.__dict__.get("__attrs_own_setattr__"):
        raise TypeError(
            f"{cls.__qualname__}: the base {first.__qualname__} stores attributes directly, so"
            " that nothing could be tracked. Name Trackable before it."
        )


def unwrap_frozen_fields(obj: Any) -> None:
    """Take the values out of each `NoDependency` that a frozen dataclass has stored."""
    if not obj.__dataclass_params__.frozen:
        return
    for name in obj.__dataclass_fields__:
        _unwrap_stored(obj, name)


def _replace(cls: type[Owner], name: str, wrap: Callable[[_Method], _Method]) -> None:
    generated = cls.__dict__[name]
    setattr(cls, name, functools.wraps(generated)(wrap(generated)))


def _tracking_setattr(generated: _Method) -> _Method:
    def store(self: Owner, name: str, value: Any) -> None:
        generated(self, name, unwrapped(value))
        assigned(self, name, value)

    return store


def _tracking_init(cls: Any, generated: _Method) -> _Method:
    fields = {field.alias: field.name for field in cls.__attrs_attrs__}
    with_default = [f.name for f in cls.__attrs_attrs__ if f.default is not attrs.NOTHING]
    parameters = list(inspect.signature(generated).parameters)[1:]

    def init(self: Owner, *args: Any, **kwargs: Any) -> None:
        if NoDependency in map(type, (*args, *kwargs.values())):
            given = {**dict(zip(parameters, args, strict=False)), **kwargs}
            marked = [fields[n] for n, value in given.items() if type(value) is NoDependency]
            tracking_of(self).untracked.update(marked)
            args = tuple(map(unwrapped, args))
            kwargs = {name: unwrapped(value) for name, value in kwargs.items()}
        generated(self, *args, **kwargs)
        for name in with_default:
            _unwrap_stored(self, name)

    return init


def _tracking_getstate(generated: _Method) -> _Method:
    def state(self: Owner) -> Any:
        return outgoing_state(self, generated(self))

    return state


def _tracking_setstate(generated: _Method) -> _Method:
    def set_state(self: Owner, state: Any) -> None:
        generated(self, incoming_state(self, state))

    return set_state


def _unwrapping_post_init(own: _Method) -> _Method:
    def post_init(self: Owner, *args: Any, **kwargs: Any) -> None:
        unwrap_frozen_fields(self)
        own(self, *args, **kwargs)

    return post_init


def _unwrap_stored(obj: Owner, name: str) -> None:
    value = getattr(obj, name, None)
    if type(value) is NoDependency:
        object.__setattr__(obj, name, value.value)
        tracking_of(obj).untracked.add(name)
