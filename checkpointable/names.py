"""Local names, object paths and checkpoint keys: the one naming rule.

A path is the escaped local names along the first (shortest) way from the root, joined with `/`.
A key is a path and the name of a value there: `model/w/.ATTRIBUTES/VARIABLE_VALUE`.
Keys are for people and for TensorFlow; nothing here ever parses one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from checkpointable.errors import NotCheckpointableError

#: The attribute that holds the value of a variable, an array or a plain value.
VARIABLE_VALUE: Final = "VARIABLE_VALUE"
#: The attribute that holds the bytes of a `PythonState`.
PY_STATE: Final = "py_state"
#: The child of the root that counts `Checkpoint.save` calls.
SAVE_COUNTER: Final = "save_counter"

#: The longest local name, in bytes of UTF-8.
MAX_LOCAL_NAME: Final = 4096

#: What leads from an optimizer to its slot variables, where a whole checkpoint is a tree.
SLOTS: Final = ".OPTIMIZER_SLOT"

_ATTRIBUTES: Final = "/.ATTRIBUTES/"
_OPTIMIZER_SLOT: Final = f"/{SLOTS}/"
_LONGEST_SHOWN: Final = 200
_HALF_SHOWN: Final = (_LONGEST_SHOWN - 5) // 2


def escape(local_name: str) -> str:
    """Escape one local name, so that it holds no `/` and no lone `.`.

    >>> escape("a/b.c")
    'a.Sb..c'
    """
    return local_name.replace(".", "..").replace("/", ".S")


def unescape(component: str) -> str:
    """Return the local name that a component of a path stands for.

    >>> unescape("a.Sb..c")
    'a/b.c'
    """
    return ".".join(part.replace(".S", "/") for part in component.split(".."))


def join(parent: str, local_name: str) -> str:
    """Return the path of the child called `local_name` of the object at `parent`.

    >>> join("", "model"), join("model", "layers/2")
    ('model', 'model/layers.S2')
    """
    name = escape(local_name)
    return f"{parent}/{name}" if parent else name


def join_all(local_names: Iterable[str], parent: str = "") -> str:
    """Return the path that leads over several local names."""
    path = parent
    for name in local_names:
        path = join(path, name)
    return path


def attribute_key(path: str, attribute: str) -> str:
    """Return the key of a value: where it stands and what it is called there.

    >>> attribute_key("model/w", "VARIABLE_VALUE")
    'model/w/.ATTRIBUTES/VARIABLE_VALUE'
    """
    return f"{path}{_ATTRIBUTES}{escape(attribute)}"


def value_path(path: str, attribute: str) -> str:
    """Return how reports name a value: its object's path, with the attribute where not plain."""
    return path if attribute == VARIABLE_VALUE else attribute_key(path, attribute)


def slot_path(variable: str, optimizer: str, slot_name: str) -> str:
    """Return the path of a slot variable: that of its variable, then its optimizer and its name.

    >>> slot_path("model/w", "optimizer", "momentum")
    'model/w/.OPTIMIZER_SLOT/optimizer/momentum'
    """
    return f"{variable}{_OPTIMIZER_SLOT}{optimizer}/{escape(slot_name)}"


def covers(prefixes: Iterable[str], path: str) -> bool:
    """Tell whether one of the prefixes is `path` or, in whole components, an ancestor of it.

    >>> covers(["model/enc"], "model/enc/w"), covers(["model/enc"], "model/encoder")
    (True, False)
    """
    return any(not p or path == p or path.startswith(p + "/") for p in prefixes)


def leads_to(path: str, prefixes: Iterable[str]) -> bool:
    """Tell whether `path` is a proper ancestor of one of the prefixes."""
    return any(p != path and (not path or p.startswith(path + "/")) for p in prefixes)


def shorten(path: str) -> str:
    """Return the path as reports show it: what is beyond 200 characters is cut in the middle."""
    if not path:
        return "(root)"
    if len(path) <= _LONGEST_SHOWN:
        return path
    return f"{path[:_HALF_SHOWN]} ... {path[-_HALF_SHOWN:]}"


class Paths:
    """The paths of a tree of names, kept in memory linear in its size however deep it is.

    Node 0 is the root and stands at the empty path.
    """

    def __init__(self) -> None:
        self._parents = [0]
        self._names = [""]
        self._lengths = [0]
        self._anchors = [-1]
        #: Of slot variables, by their numbers, the number of the optimizer.
        self._optimizers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, parent: int, local_name: str) -> int:
        """Add the child called `local_name` and return its number."""
        return self._add(parent, escape(local_name))

    def add_slot(self, variable: int, optimizer: int, slot_name: str) -> int:
        """Add a slot variable of the variable at one path, kept by the optimizer at another."""
        around = len(_OPTIMIZER_SLOT) + self._lengths[optimizer]
        number = self._add(variable, escape(slot_name), around)
        self._optimizers[number] = optimizer
        return number

    def _add(self, parent: int, name: str, around: int = 0) -> int:
        number = len(self._names)
        length = self._lengths[parent] + around + len(name) + (1 if parent else 0)
        anchor = self._anchors[parent]
        if anchor < 0 and length >= _HALF_SHOWN:
            anchor = number
        self._parents.append(parent)
        self._names.append(name)
        self._lengths.append(length)
        self._anchors.append(anchor)
        return number

    def is_below(self, number: int, other: int) -> bool:
        """Tell whether a path is another one, or leads on from it."""
        while number > other:  # what leads on has a higher number
            number = self._parents[number]
        return number == other

    def full(self, number: int) -> str:
        """Return the whole path."""
        # One more than the length: the first name may be empty.
        return "/".join(reversed(self._upward(number, self._lengths[number] + 1)))

    def shown(self, number: int) -> str:
        """Return the path as reports show it, in time that does not depend on its depth."""
        if self._lengths[number] <= _LONGEST_SHOWN:
            return self.full(number) or "(root)"
        head = self._beginning(number)[:_HALF_SHOWN]
        tail = "/".join(reversed(self._upward(number, _HALF_SHOWN)))[-_HALF_SHOWN:]
        return f"{head} ... {tail}"

    def _beginning(self, number: int) -> str:
        """Return at least as much of the beginning of a path as is shown."""
        anchor = self._anchors[number]
        optimizer = self._optimizers.get(anchor)
        if optimizer is None:
            return self.full(number if anchor < 0 else anchor)
        variable = self.full(self._parents[anchor])
        kept = f"{self._beginning(optimizer)}/{self._names[anchor]}"
        return f"{variable}{_OPTIMIZER_SLOT}{kept}" if variable else _OPTIMIZER_SLOT[1:] + kept

    def _upward(self, number: int, length: int) -> list[str]:
        names: list[str] = []
        while number and length > 0:
            names.append(self._names[number])
            length -= len(self._names[number]) + 1
            optimizer = self._optimizers.get(number)
            if optimizer is not None and length > 0:
                names += self._upward(optimizer, length) or [""]
                names.append(_OPTIMIZER_SLOT.strip("/"))
                length -= self._lengths[optimizer] + len(_OPTIMIZER_SLOT)
            number = self._parents[number]
        return names


def check_local_name(name: str, parent: str) -> None:
    """Refuse a local name that no checkpoint can hold.

    Raises:
        NotCheckpointableError: it is longer than 4 KiB, or cannot be written as UTF-8.
    """
    if name.isascii() and len(name) <= MAX_LOCAL_NAME:
        return
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise NotCheckpointableError(
            f"{shorten(parent)}: the local name {name[:40]!r} is not valid Unicode text (it holds"
            " half of a surrogate pair). Rename it.",
            path=parent,
        ) from None
    if length > MAX_LOCAL_NAME:
        raise NotCheckpointableError(
            f"{shorten(parent)}: a local name is {length:,} bytes long ({name[:40]!r} ...), the"
            f" longest allowed is {MAX_LOCAL_NAME:,}. Use a shorter name.",
            path=parent,
        )
