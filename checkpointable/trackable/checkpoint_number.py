"""The number that a caller gives to a checkpoint: an integer, or what has one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from checkpointable.session.graph import Operation
from checkpointable.session.session import get_default_session
from checkpointable.trackable.base import Variable


def checkpoint_number_of(given: Any, argument: str) -> int:
    """Return a number that was given as an integer, a Variable, or an operation that returns one.

    Args:
        given: what was given; Variables of a graph and operations are read in the default session.
        argument: how messages call it.

    Raises:
        TypeError: it is no integer.
        ValueError: it is negative.
        RuntimeError: it has no value, or there is no session to read it in.
    """
    found = _fetched(given, argument) if isinstance(given, (Variable, Operation)) else given
    is_integer = isinstance(found, (int, np.integer)) and not isinstance(found, bool)
    is_array = isinstance(found, np.ndarray) and found.dtype.kind in "iu" and found.shape == ()
    if not is_integer and not is_array:
        raise TypeError(
            f"{argument} is {given!r}, expected an integer, or a Variable of one, such as a"
            " step. Convert it with int()."
        )
    number = operator.index(found)
    if number < 0:
        raise ValueError(f"{argument} is {number}, expected at least 0")
    return number


def _fetched(number: Variable | Operation, argument: str) -> Any:
    session = get_default_session()
    try:
        if isinstance(number, Variable):
            return number.fetch()
        if session is None:
            raise RuntimeError(
                f"{number!r} is run in a session, and there is no session. Create one: `with"
                " Session() as session:`, or give one as an argument."
            )
        return session.run(number)
    except RuntimeError as error:
        raise RuntimeError(f"{argument}: {error}") from None
