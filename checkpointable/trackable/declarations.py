"""What a class says about its state, checked when the class is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_declarations(cls: type[Any]) -> None:
    """Refuse what a class body declares, if it cannot be meant.

    Raises:
        TypeError: `state_attributes` are no names, or `renamed` is no mapping of paths.
        ValueError: a path in `renamed` cannot be one.
    """
    names = cls.__dict__.get("state_attributes", ())
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"{cls.__qualname__}.state_attributes is {names!r}, expected a tuple of names"
        )
    _check_renamed(f"{cls.__qualname__}.renamed", cls.__dict__.get("renamed", {}))


def _check_renamed(where: str, renamed: object) -> None:
    if not isinstance(renamed, Mapping):
        raise TypeError(f"{where} is {renamed!r}, expected a mapping of paths to older paths")
    for today, older in renamed.items():
        paths = (today, *older) if isinstance(older, tuple) else (today, older)
        if not all(isinstance(path, str) for path in paths):
            raise TypeError(
                f"{where}: {today!r}: {older!r} is no path and its older path, or a tuple of these"
            )
        if not all(path and "" not in path.split("/") for path in paths):
            raise ValueError(
                f"{where}: {today!r}: {older!r}: a path is local names joined with '/', without a"
                " slash at either end, relative to the object"
            )
