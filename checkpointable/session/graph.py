"""`Graph`: what is recorded in deferred execution, namely names, operations and collections.

A graph holds no values; a `Session` does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self, final

import attrs
import numpy as np

from checkpointable.errors import outer_frame
from checkpointable.session.defaults import DefaultStack, graphs

if TYPE_CHECKING:
    from checkpointable.session.session import Session

#: How many names are searched for one that is nearly the one asked for.
_MOST_COMPARED: Final = 10_000


def get_default_graph() -> Graph | None:
    """Return the graph that variables are recorded in; `None` in eager execution.

    Each thread has its own default.

    Example:
        >>> get_default_graph() is None
        True
        >>> with Graph().as_default() as graph:
        ...     get_default_graph() is graph
        True
    """
    return graphs.top()


def executing_eagerly() -> AbstractContextManager[Any]:
    """Return a `with` block in which no graph is the default."""
    return graphs.entered(None)


class SourceLine(NamedTuple):
    """A line of a program: what led to an operation."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


class Fetchable:
    """What `Session.run` takes."""

    __slots__ = ()

    def fetch(self, session: Session) -> Any:
        """Read or run it in a session, and return the result."""
        raise NotImplementedError


@final
class Operation(Fetchable):
    """Something that a graph has recorded and a session runs: an initializer, an assignment ...

    Made by `Graph.add_operation`, and by what is done with Variables of a graph.

    Attributes:
        name: its name, unique in the graph.
        graph: the graph.
        action: what is called with the session when it is run.
        created_at: file, line and function outside of this library that led to it.

    Example:
        >>> graph = Graph()
        >>> hello = graph.add_operation("hello", lambda session: "world")
        >>> from checkpointable.session.session import Session
        >>> Session(graph).run(hello)
        'world'
    """

    __slots__ = ("__weakref__", "action", "created_at", "graph", "name")

    def __init__(
        self,
        name: str,
        graph: Graph,
        action: Callable[[Session], Any],
        created_at: SourceLine | None = None,
    ) -> None:
        self.name, self.graph, self.action = name, graph, action
        self.created_at = _source_line() if created_at is None else created_at

    def fetch(self, session: Session) -> Any:
        """Run it in a session: what `Session.run` does.

        Raises:
            ValueError: the session is of another graph.
        """
        session.check_graph(self.graph, f"the operation {self.name!r}")
        return self.action(session)

    def __repr__(self) -> str:
        return f"<Operation {self.name!r}>"


class RecordsReads(Protocol):
    """A restore that has recorded reads for variables."""

    def run_recorded(self, session: Session, only: Cell) -> None:
        """Read what it has recorded for one variable into a session."""


@attrs.define(eq=False)
class Cell:
    """The place of one variable of a graph: in each session it holds another value.

    Attributes:
        graph: the graph.
        name: the name of the variable.
        dtype: the dtype of every value.
        shape: the shape of every value.
        restored_by: returns the latest restore that has recorded a read, if it still lives.
    """

    graph: Graph
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    restored_by: Callable[[], RecordsReads | None] = lambda: None

    @property
    def label(self) -> str:
        """How messages name the variable."""
        return f"Variable {self.name!r}"


@final
class Graph:
    """What deferred execution records: variables, their names, operations and collections.

    Inside `with graph.as_default():` a `Variable` is recorded, with an initializer and without a
    value. Sessions hold the values. A graph keeps what it has recorded until it is dropped itself.

    Thread-safe; default graphs, name scopes and devices are those of the current thread.

    Example:
        >>> import checkpointable as ckpt
        >>> graph = ckpt.Graph()
        >>> with graph.as_default(), graph.name_scope("layer"):
        ...     w = ckpt.Variable([1.0, 2.0], name="w")
        >>> w.name, graph.get_collection("variables") == [w]
        ('layer/w', True)
        >>> with ckpt.Session(graph) as session:
        ...     session.run(w.initializer)
        ...     session.run(w)
        array([1., 2.])
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: dict[str, Operation] = {}
        self._collections: dict[str, list[Any]] = {}
        #: How many were asked for of each name that is taken.
        self._names: dict[str, int] = {}
        self._scopes: DefaultStack[str] = DefaultStack()
        self._devices: DefaultStack[str | None] = DefaultStack()
        self._finalized = False

    @contextmanager
    def as_default(self) -> Iterator[Self]:
        """Let the Variables that this thread makes in a `with` block be recorded in this graph."""
        with graphs.entered(self):
            yield self

    @contextmanager
    def name_scope(self, name: str) -> Iterator[str]:
        """Put a prefix before the names of what is recorded in a `with` block.

        Args:
            name: the prefix, made unique; one that ends with `/`, as the block gives it, is
                entered again. The empty name leaves all scopes.

        Yields:
            the whole prefix, with `/` at its end.

        Raises:
            RuntimeError: the graph is finalized, and the scope is new.
        """
        _check_name(name)
        is_known = not name or name.endswith("/")
        scope = name if is_known else f"{self.unique_name(name)}/"
        with self._scopes.entered(scope):
            yield scope

    def device(self, device: str | None) -> AbstractContextManager[str | None]:
        """Return a `with` block in which this is the default of `Variable.device`."""
        return self._devices.entered(device)

    @property
    def current_scope(self) -> str:
        """The prefix that the `name_scope` blocks of this thread put before names; may be empty."""
        return self._scopes.top() or ""

    @property
    def default_device(self) -> str | None:
        """The device of the innermost `device` block of this thread."""
        return self._devices.top()

    def unique_name(self, name: str, *, scoped: bool = True) -> str:
        """Take a name that nothing in the graph has: `w`, then `w_1`, `w_2` and so on.

        Args:
            name: the name that is wanted.
            scoped: whether it stands in the current name scope.

        Returns:
            the name, with its scope.

        Raises:
            RuntimeError: the graph is finalized.
            ValueError: the name is empty.
        """
        _check_name(name)
        if not name:
            raise ValueError("a name in a graph is empty; give it at least one letter")
        wanted = f"{self.current_scope}{name}" if scoped else name
        with self._lock:
            self._check_not_finalized(f"the name {wanted!r}")
            number = self._names.get(wanted, 0)
            taken = wanted if not number else f"{wanted}_{number}"
            while taken in self._names:
                number += 1
                taken = f"{wanted}_{number}"
            self._names[wanted] = number + 1
            self._names.setdefault(taken, 1)
        return taken

    def has_name(self, name: str) -> bool:
        """Tell whether something in the graph has this whole name."""
        with self._lock:
            return name in self._names

    def add_operation(
        self,
        name: str,
        action: Callable[[Session], Any],
        *,
        scoped: bool = True,
        created_at: SourceLine | None = None,
    ) -> Operation:
        """Record an operation.

        Args:
            name: its name, made unique.
            action: what `session.run(operation)` calls, with the session, and whose result it
                returns.
            scoped: whether the name stands in the current name scope.
            created_at: the line that led to it; by default that which led here.

        Returns:
            the operation.

        Raises:
            RuntimeError: the graph is finalized.
        """
        name = self.unique_name(name, scoped=scoped)
        operation = Operation(name, self, action, created_at)
        with self._lock:
            self._operations[operation.name] = operation
        return operation

    def get_operations(self) -> list[Operation]:
        """Return what was recorded, in that order."""
        with self._lock:
            return list(self._operations.values())

    def get_operation_by_name(self, name: str) -> Operation:
        """Return the operation of that name.

        Args:
            name: the whole name, with its scopes; `name:0` is the same.

        Raises:
            TypeError: the name is no string.
            ValueError: there is none; the message names the nearest.

        Example:
            >>> graph = Graph()
            >>> train = graph.add_operation("train", lambda session: None)
            >>> graph.get_operation_by_name("train") is train
            True
        """
        _check_name(name)
        with self._lock:
            found = self._operations.get(name) or self._operations.get(name.removesuffix(":0"))
            known = [] if found else list(self._operations)
        if found is None:
            near = ", ".join(get_close_matches(name, known[:_MOST_COMPARED]))
            raise ValueError(
                f"the graph has no operation {name!r}, expected one of the {len(known):,} that"
                f" it has recorded{near and f'; the nearest: {near}'}. get_operations() lists them."
            )
        return found

    def add_to_collection(self, name: str, value: Any) -> None:
        """Add something to a collection; "variables" and "trainable_variables" fill themselves.

        Raises:
            RuntimeError: the graph is finalized.
        """
        with self._lock:
            self._check_not_finalized(f"something in the collection {name!r}")
            self._collections.setdefault(name, []).append(value)

    def get_all_collection_keys(self) -> list[str]:
        """Return the names of all collections, in the order in which they began."""
        with self._lock:
            return list(self._collections)

    def get_collection(self, name: str) -> list[Any]:
        """Return what a collection holds, in the order in which it came; a new list."""
        with self._lock:
            return list(self._collections.get(name, ()))

    def finalize(self) -> None:
        """Let nothing more be recorded. Saving, restoring and running go on."""
        with self._lock:
            self._finalized = True

    @property
    def finalized(self) -> bool:
        """Whether `finalize` was called."""
        return self._finalized

    def __repr__(self) -> str:
        state = ", finalized" if self._finalized else ""
        return f"<Graph of {len(self._operations):,} operations{state}>"

    def _check_not_finalized(self, what: str) -> None:
        if self._finalized:
            raise RuntimeError(
                f"the graph is finalized, so {what} cannot be added. Record everything before"
                " finalize(), or use another Graph."
            )


def _source_line() -> SourceLine:
    """Return the line outside of this library that led here."""
    frame, _ = outer_frame()
    return SourceLine(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a name in a graph is {name!r}, expected a string")
