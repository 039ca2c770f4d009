"""`Session`: where the values of a graph's variables live."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from checkpointable.session.defaults import graphs, sessions
from checkpointable.session.graph import Cell, Fetchable, Graph, get_default_graph


def get_default_session() -> Session | None:
    """Return the session of the innermost `with` block of this thread; `None` outside of any.

    Example:
        >>> get_default_session() is None
        True
        >>> with Session(Graph()) as session:
        ...     get_default_session() is session
        True
    """
    return sessions.top()


@final
class Session:
    """Holds a value for each variable of a graph, and runs what the graph has recorded.

    Several sessions over one graph hold values of their own. `with session:` makes the session and
    its graph the default, and closes the session at the end; `as_default()` does neither of the
    latter two. Dropping the session frees its values.

    Not thread-safe: one thread at a time uses a session. Each thread has a default of its own.

    Args:
        graph: by default the default graph.

    Raises:
        RuntimeError: no graph is given, and none is the default.

    Example:
        >>> import checkpointable as ckpt
        >>> with ckpt.Graph().as_default():
        ...     step = ckpt.Variable(0, name="step")
        ...     increment = step.assign_add(1)
        ...     with ckpt.Session() as session:
        ...         session.run(step.initializer)
        ...         session.run([increment, increment, {"step": step}])
        [array(1), array(2), {'step': array(2)}]
    """

    def __init__(self, graph: Graph | None = None) -> None:
        graph = get_default_graph() if graph is None else graph
        if graph is None:
            raise RuntimeError(
                "a Session needs a graph, and none is the default. Create it inside"
                " `with graph.as_default():`, or give it one: Session(graph)."
            )
        if not isinstance(graph, Graph):
            raise TypeError(f"graph is a {type(graph).__qualname__}, expected a Graph")
        self._graph = graph
        self._arrays: dict[Cell, npt.NDArray[Any]] = {}
        self._initialized: set[Cell] = set()
        self._closed = False

    @property
    def graph(self) -> Graph:
        """The graph whose variables have values here."""
        return self._graph

    def run(self, fetches: Any) -> Any:
        """Read variables and run operations.

        Args:
            fetches: a Variable, an `Operation` (such as `variable.initializer`), or a list, tuple,
                namedtuple or dict of these, at any depth. They are read and run in their order,
                each as often as it stands there.

        Returns:
            the results, nested alike: of a Variable a copy of its value; of an operation what it
            returns.

        Raises:
            RuntimeError: a variable has no value here yet, or the session is closed.
            TypeError: something else is among the fetches.
            ValueError: one of them belongs to another graph.
        """
        self.check_open()
        return _map(fetches, self._fetch)

    def as_default(self) -> AbstractContextManager[Session]:
        """Return a `with` block in which this session is the default; it stays open afterwards."""
        return sessions.entered(self)

    def close(self) -> None:
        """Free all values. The session cannot be used any more; calling it twice is harmless."""
        self._closed = True
        self._arrays.clear()
        self._initialized.clear()

    def __enter__(self) -> Self:
        self.check_open()
        graphs.push(self._graph)
        sessions.push(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sessions.remove(self)
        graphs.remove(self._graph)
        self.close()

    def __repr__(self) -> str:
        values = "closed" if self._closed else f"{len(self._initialized):,} values"
        return f"<Session of {self._graph!r}: {values}>"

    def check_graph(self, graph: Graph, what: str) -> None:
        """Refuse what belongs to another graph.

        Raises:
            ValueError: it does.
        """
        if graph is not self._graph:
            raise ValueError(
                f"{what} belongs to another graph than the session. Use a session of its graph:"
                " Session(variable.initializer.graph)."
            )

    def check_open(self) -> None:
        """Refuse to work once the session is closed.

        Raises:
            RuntimeError: it is.
        """
        if self._closed:
            raise RuntimeError(
                "the session is closed, and its values are gone. Create another Session;"
                " `with session.as_default():` does not close it at the end."
            )

    # For variables: what each holds here.

    def array_of(self, cell: Cell) -> npt.NDArray[Any]:
        """Return the array that holds the value of a variable here, or will."""
        self.check_open()
        array = self._arrays.get(cell)
        if array is None:
            array = self._arrays[cell] = np.zeros(cell.shape, cell.dtype)
        return array

    def is_initialized(self, cell: Cell) -> bool:
        """Tell whether a variable has a value here."""
        return cell in self._initialized

    def mark_initialized(self, cell: Cell) -> None:
        """Note that the array of a variable holds a value now."""
        self._initialized.add(cell)

    def _fetch(self, fetch: Any) -> Any:
        if not isinstance(fetch, Fetchable):
            raise TypeError(
                f"session.run was given a {type(fetch).__qualname__}, expected a Variable, an"
                " Operation such as variable.initializer, or a list, tuple or dict of these."
            )
        return fetch.fetch(self)


def session_of(cell: Cell, session: Session | None = None) -> Session:
    """Return the session in which a variable is read or written.

    Args:
        cell: the variable.
        session: by default the default session.

    Raises:
        RuntimeError: there is none, or it is closed.
        TypeError: it is no session.
        ValueError: it is of another graph.
    """
    found = get_default_session() if session is None else session
    if found is None:
        raise RuntimeError(
            f"{cell.label} belongs to a graph, so it has a value in a session only, and there is no"
            " session. Create one: `with Session() as session:`, or give one as an argument."
        )
    if not isinstance(found, Session):
        raise TypeError(f"session is a {type(found).__qualname__}, expected a Session")
    found.check_graph(cell.graph, cell.label)
    found.check_open()
    return found


def check_session() -> None:
    """Refuse to read values while a graph is the default and no session is.

    Raises:
        RuntimeError: so it is.
    """
    if get_default_graph() is not None and get_default_session() is None:
        raise RuntimeError(
            "a graph is the default, so values are read from a session, and there is no session."
            " Create one: `with Session() as session:`, or give one as an argument."
        )


def _map(fetches: Any, fetch: Callable[[Any], Any]) -> Any:
    """Return a nest of lists, tuples and dicts of the results."""
    if isinstance(fetches, dict):
        return {key: _map(value, fetch) for key, value in fetches.items()}
    if not isinstance(fetches, (list, tuple)):
        return fetch(fetches)
    results = [_map(value, fetch) for value in fetches]
    if isinstance(fetches, list):
        return results
    return type(fetches)(*results) if hasattr(fetches, "_fields") else tuple(results)
