"""Plain Python values to bytes and back, exactly of the types they were (F-38 to F-41).

`encode_value` gives equal bytes for equal values. `decode_value` accepts nothing but what
`encode_value` gives. Neither recurses with the depth of the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

import attrs
import msgpack
import numpy as np

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import DEEPEST_KEY, MOST_EQUAL_HASHES
from checkpointable.format.scalars import NATIVE, decode_scalar, encode_scalar
from checkpointable.plain import PLAIN_CONTAINERS, PLAIN_SCALARS

#: Container types; the position is the extension type (F-38).
_CONTAINERS: Final[tuple[type[Any], ...]] = (list, tuple, dict, set, frozenset)
#: Tokens are decoded in batches, which bounds what a hostile value costs before it is refused.
_BATCH: Final = 16_384


class _MalformedError(Exception):
    """A rule is broken; never leaves this module."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(what)
        self.rule = rule
        self.what = what


@attrs.frozen(slots=True)
class _Head:
    """The head of a container: its type, and how many objects (keys and values) follow."""

    kind: type[Any]
    count: int


@attrs.define(slots=True)
class _Open:
    """A container that is being filled; `depth` is how deep what it hashes nests."""

    head: _Head
    items: list[Any]
    depth: int = 0


def encode_value(value: Any) -> bytes:
    """Return the one encoding of a plain value.

    Subclasses of list, tuple, dict, set and frozenset are encoded as their base.

    >>> encode_value([1, "a"]).hex()
    'd6000200000001a161'

    Raises:
        NotCheckpointableError: the value, or something in it, is no plain value, or it contains
            itself.
    """
    pieces: list[bytes] = []
    walk: list[tuple[int, Iterator[Any]]] = [(0, iter((value,)))]
    within: set[int] = set()
    while walk:
        identity, items = walk[-1]
        for item in items:
            if not isinstance(item, PLAIN_CONTAINERS):
                pieces.append(encode_scalar(item))
                continue
            if id(item) in within:
                raise NotCheckpointableError(
                    f"a {type(item).__name__} contains itself, so it is no plain value. Keep the"
                    " reference in an attribute of a Trackable instead."
                )
            content = _encode_container(item, pieces)
            if content is not None:
                within.add(id(item))
                walk.append((id(item), content))
                break
        else:
            walk.pop()
            within.discard(identity)
    return b"".join(pieces)


def decode_value(data: bytes | memoryview, file: str = "a value") -> Any:
    """Return the plain value that was encoded.

    Args:
        data: the encoded value.
        file: where it stands, for messages.

    >>> decode_value(encode_value({"a": (1, 2.5)}))
    {'a': (1, 2.5)}

    Raises:
        CorruptCheckpointError: this is no encoded value.
        MissingDependencyError: it needs a package that is not installed.
    """
    try:
        value = _build(_read_batches(data))
        if encode_value(value) != bytes(data):
            raise _MalformedError("F-39", "an encoded value is not canonical")
    except _MalformedError as error:
        raise corrupt(file, error.rule, error.what) from None
    except NotCheckpointableError as error:
        raise corrupt(file, "F-39", f"an encoded value is refused: {error.message}") from None
    return value


def decode_metadata(data: bytes, file: str) -> dict[str, Any]:
    """Return the metadata that were encoded as a value (F-35).

    Raises:
        CorruptCheckpointError, MissingDependencyError: as `decode_value`.
    """
    metadata = decode_value(data, file)
    if type(metadata) is not dict or any(type(name) is not str for name in metadata):
        raise corrupt(file, "F-35", "the metadata are no dict of names")
    return metadata


def _encode_container(container: Any, pieces: list[bytes]) -> Iterator[Any] | None:
    """Append a container; return an iterator if only its head was appended."""
    kind = next(base for base in _CONTAINERS if isinstance(container, base))
    pieces.append(_encode_head(kind, len(container)))
    if kind in (set, frozenset):
        _check_hashes(container)
        pieces.extend(sorted(map(_encode_member, container)))
        return None
    items: Collection[Any] = container
    if kind is dict:
        _check_hashes(container)
        for key in container:
            _check_depth(key, DEEPEST_KEY)
        items = list(chain.from_iterable(container.items()))
    if not NATIVE.issuperset(map(type, items)):
        return iter(items)
    pieces.append(_encode_run(items))
    return None


def _encode_head(kind: type[Any], count: int) -> bytes:
    if count >= 2**32:
        raise NotCheckpointableError(f"a {kind.__name__} of {count:,} items is too large to store.")
    head = msgpack.ExtType(_CONTAINERS.index(kind), count.to_bytes(4, "little"))
    return bytes(msgpack.packb(head))


def _encode_run(items: Collection[Any]) -> bytes:
    """Encode scalars that need no extension, in one go where possible."""
    try:
        packed = msgpack.packb(list(items), strict_types=True)
    except (ValueError, OverflowError):  # large integers, surrogates, or more than 4 GiB
        return b"".join(map(encode_scalar, items))
    # The head of the array is dropped: 1, 3 or 5 bytes.
    return bytes(memoryview(packed)[1 if len(items) < 16 else 3 if len(items) < 65_536 else 5 :])


def _encode_member(member: Any) -> bytes:
    """Encode the member of a set: frozensets in it are met again, but not deeper than allowed."""
    _check_depth(member, DEEPEST_KEY)
    return encode_value(member)


def _check_depth(key: Any, room: int) -> None:
    """Refuse what nests deeper than allowed (F-40)."""
    if isinstance(key, (tuple, frozenset)):
        if not room:
            raise NotCheckpointableError(
                f"the key of a dict, or the member of a set, nests more than {DEEPEST_KEY} deep."
                " Use a simpler one."
            )
        for item in key:
            _check_depth(item, room - 1)


def _check_hashes(keys: Collection[Any]) -> None:
    """Refuse keys that would make a dict or set quadratic (F-40)."""
    if len(keys) > MOST_EQUAL_HASHES:
        most = max(Counter(map(hash, keys)).values())
        if most > MOST_EQUAL_HASHES:
            raise NotCheckpointableError(
                f"{most} keys of one dict, or members of one set, have equal hashes, expected at"
                f" most {MOST_EQUAL_HASHES}. Store them in a list."
            )


def _read_batches(data: bytes | memoryview) -> Iterator[list[Any]]:
    """Yield the scalars and heads of an encoded value, in lists."""
    unpacker = msgpack.Unpacker(
        raw=False,
        max_buffer_size=max(len(data), 1),
        max_array_len=0,
        max_map_len=0,
        max_ext_len=len(data),
        ext_hook=_read_extension,
    )
    unpacker.feed(data)
    try:
        while batch := list(islice(unpacker, _BATCH)):
            for kind in set(map(type, batch)):
                known = kind is _Head or kind in PLAIN_SCALARS or issubclass(kind, np.generic)
                if not known:
                    raise _MalformedError("F-38", f"an encoded value holds a {kind.__name__}")
            yield batch
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise _MalformedError("F-38", f"an encoded value is malformed: {error}") from None
    if unpacker.tell() != len(data):
        raise _MalformedError("F-38", "an encoded value is cut short")


def _read_extension(code: int, data: bytes) -> Any:
    if not 0 <= code < len(_CONTAINERS):
        return decode_scalar(code, data)
    if len(data) != 4:
        raise ValueError("the head of a container is malformed")
    count = int.from_bytes(data, "little")
    return _Head(_CONTAINERS[code], 2 * count if _CONTAINERS[code] is dict else count)


def _build(batches: Iterable[list[Any]]) -> Any:
    """Build the value from its scalars and heads: containers are filled and closed on a stack."""
    result = _Open(_Head(list, 1), [])
    stack = [result]
    for batch in batches:
        heads = [i for i, token in enumerate(batch) if type(token) is _Head]
        start = 0
        for end in (*heads, len(batch)):
            while start < end:
                start += _fill(stack, batch[start:end])
            if end < len(batch):
                if _missing(stack[-1]) == 0:
                    raise _MalformedError("F-38", "more follows an encoded value")
                stack.append(_Open(batch[end], []))
                _close_full(stack)
                start = end + 1
    if _missing(result):
        raise _MalformedError("F-38", "an encoded value is cut short")
    return result.items[0]


def _missing(container: _Open) -> int:
    return container.head.count - len(container.items)


def _fill(stack: list[_Open], scalars: list[Any]) -> int:
    """Put as many scalars as it lacks into the innermost container; return how many."""
    taken = min(_missing(stack[-1]), len(scalars))
    if not taken:
        raise _MalformedError("F-38", "more follows an encoded value")
    stack[-1].items.extend(scalars[:taken])
    _close_full(stack)
    return taken


def _close_full(stack: list[_Open]) -> None:
    """Close the containers that are full, from the innermost on; the outermost is the result."""
    while len(stack) > 1 and not _missing(stack[-1]):
        full, outer = stack.pop(), stack[-1]
        outer.items.append(_close(full))
        is_value = outer.head.kind is dict and len(outer.items) % 2 == 0
        if not is_value:
            outer.depth = max(outer.depth, full.depth + 1)


def _close(container: _Open) -> Any:
    """Make the container of its items."""
    kind, items = container.head.kind, container.items
    if kind is list:
        return items
    if kind is tuple:
        return tuple(items)
    if container.depth > DEEPEST_KEY:
        raise _MalformedError("F-40", "a key nests too deep")
    keys = items[::2] if kind is dict else items
    try:
        _check_hashes(keys)
        made = dict(zip(keys, items[1::2], strict=True)) if kind is dict else kind(keys)
    except TypeError:
        raise _MalformedError("F-40", "a key is not hashable") from None
    except NotCheckpointableError as error:
        raise _MalformedError("F-40", error.message) from None
    if len(made) != len(keys):
        raise _MalformedError("F-39", "a key or member stands there twice")
    return made
