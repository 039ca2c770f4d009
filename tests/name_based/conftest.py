"""The two modes of execution, for tests that must hold in both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt


class Mode:
    """A mode of execution: how variables are made, read and written in it.

    Attributes:
        session: what `sess` is in this mode.
    """

    def __init__(self, session: ckpt.Session | None) -> None:
        self.session = session

    @property
    def is_graph(self) -> bool:
        """Whether a graph is built."""
        return self.session is not None

    def variable(self, value: Any, name: str | None = None, **fields: Any) -> ckpt.Variable:
        """Make a Variable that has its value."""
        variable = ckpt.Variable(value, name=name, **fields)
        if self.session is not None:
            self.session.run(variable.initializer)
        return variable

    def default(self) -> AbstractContextManager[Any]:
        """Return a block in which the session, if any, is the default."""
        return nullcontext() if self.session is None else self.session.as_default()

    def read(self, variable: ckpt.Variable) -> Any:
        """Return the value of a Variable."""
        return variable.fetch(self.session)

    def write(self, variable: ckpt.Variable, value: Any) -> None:
        """Give a Variable a value."""
        operation = variable.assign(np.broadcast_to(value, variable.shape))
        if self.session is not None:
            self.session.run(operation)


@pytest.fixture(params=["eager", "graph"])
def mode(request: pytest.FixtureRequest) -> Iterator[Mode]:
    """Each of the two modes of execution."""
    with ExitStack() as stack:
        session = None
        if request.param == "graph":
            stack.enter_context(ckpt.Graph().as_default())
            session = stack.enter_context(ckpt.Session())
        yield Mode(session)
