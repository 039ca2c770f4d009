"""Find what differs between two graphs and their values (`docs/inspecting.md`).

Values are compared under their first paths. What only one side has is looked for on the other
side under other paths: it may have moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.comparison.addresses import Addresses, Located, locate
from checkpointable.comparison.difference import (
    ChangedValue,
    Difference,
    MovedValue,
    ValueSummary,
    plain_text,
)
from checkpointable.comparison.distance import is_equal, largest_difference
from checkpointable.comparison.moves import pair_alike
from checkpointable.comparison.side import Content, Side, content_digest
from checkpointable.format.dtypes import UNSIZED
from checkpointable.format.records import TensorInfo
from checkpointable.format.values import decode_value, encode_value
from checkpointable.names import shorten, value_path

#: A value of a side: the address of its node, and what it is called there.
_Key = tuple[int, str]

#: Plain values that say nothing: that there is another one elsewhere is no sign of a move.
_EMPTY: Final = frozenset(map(encode_value, (None, [], (), {}, set(), frozenset())))


def compare(before: Side, after: Side) -> Difference:
    """Compare the values of two sides, a few of each at a time.

    Raises:
        CorruptCheckpointError: a value that is read is damaged.
    """
    addresses = Addresses()
    old, new = _values(before, addresses), _values(after, addresses)
    pairs = dict(_pairs(old, new))
    has_partner = set(pairs.values())
    removed = [key for key in old.numbers if key not in pairs]
    added = [key for key in new.numbers if key not in has_partner]
    moves = dict(_moves(old, removed, new, added))
    arrived = set(moves.values())
    return Difference(
        before=before.name,
        after=after.name,
        added=[_summary(new, key) for key in added if key not in arrived],
        removed=[_summary(old, key) for key in removed if key not in moves],
        moved=[_moved(old, key, new, moves[key]) for key in removed if key in moves],
        changed=list(_changes(old, new, pairs)),
    )


@attrs.frozen(eq=False)
class _Values:
    """The values of one side by address and name, in breadth-first order."""

    side: Side
    located: Located
    numbers: dict[_Key, int]

    def info(self, key: _Key) -> TensorInfo | None:
        return self.side.info(self.numbers[key])

    def contents(self, keys: Iterable[_Key]) -> Iterator[Content]:
        return self.side.contents(map(self.numbers.__getitem__, keys))

    def path(self, key: _Key) -> str:
        address, name = key
        return shorten(value_path(self.located.addresses.path(address), name))


def _values(side: Side, addresses: Addresses) -> _Values:
    located = locate(side.graph, addresses)
    numbers = {
        (address, attribute.name): attribute.value
        for node, address in located.by_node.items()
        for attribute in side.graph.attributes(node)
    }
    return _Values(side, located, numbers)


def _pairs(old: _Values, new: _Values) -> Iterator[tuple[_Key, _Key]]:
    """Yield the values that stand in the same place on both sides."""
    for key in old.numbers:
        other = key if key in new.numbers else _other_first_way(old, key, new)
        if other is not None:
            yield key, other


def _other_first_way(old: _Values, key: _Key, new: _Values) -> _Key | None:
    """Return the value of a place to which several ways lead, where another comes first now.

    The order of attributes decides which way is the first, and is no difference: each way must
    lead to the same place on both sides.
    """
    address, name = key
    node = new.located.find(address)
    if node is None:
        return None
    other = (new.located.by_node[node], name)
    leads_back = old.located.find(other[0]) == old.located.by_address[address]
    return other if leads_back and other in new.numbers else None


def _moves(
    old: _Values, removed: Iterable[_Key], new: _Values, added: Iterable[_Key]
) -> Iterator[tuple[_Key, _Key]]:
    """Yield the pairs of removed and added values with the same content."""
    removed_kinds, added_kinds = _by_kind(old, removed), _by_kind(new, added)
    for kind, gone in removed_kinds.items():
        if kind in added_kinds:  # Nothing is read where nothing can be found.
            theirs = _by_content(new, added_kinds[kind])
            for content, mine in _by_content(old, gone).items():
                found = theirs.get(content, [])
                paths = [new.path(key) for key in found]
                for i, j in pair_alike([old.path(key) for key in mine], paths):
                    yield mine[i], found[j]


def _by_kind(values: _Values, keys: Iterable[_Key]) -> dict[TensorInfo | None, list[_Key]]:
    kinds: dict[TensorInfo | None, list[_Key]] = {}
    for key in keys:
        kinds.setdefault(values.info(key), []).append(key)
    return kinds


def _by_content(
    values: _Values, keys: Iterable[_Key]
) -> dict[tuple[bytes, str | None], list[_Key]]:
    """Group values of one dtype and shape by their content; what is empty also by its name."""
    groups: dict[tuple[bytes, str | None], list[_Key]] = {}
    contents = values.contents(keys)
    for key in keys:
        found, is_empty = _fingerprint(next(contents))
        own_name = values.path(key).rpartition("/")[2] if is_empty else None
        groups.setdefault((found, own_name), []).append(key)
    return groups


def _fingerprint(content: Content) -> tuple[bytes, bool]:
    """Return the digest of a value, and whether it is empty."""
    if isinstance(content, bytes):
        return content_digest(content), not content or content in _EMPTY
    return content_digest(content), not content.size


def _changes(old: _Values, new: _Values, pairs: Mapping[_Key, _Key]) -> Iterator[ChangedValue]:
    """Yield how values have changed that stand in the same place."""
    read = {k: o for k, o in pairs.items() if _is_comparable(old.info(k), new.info(o))}
    mine, theirs = old.contents(read), new.contents(read.values())
    for key, other in pairs.items():
        is_same, largest = old.info(key) == new.info(other), None
        if key in read:
            # They have no names here: a large value must be gone before the next one is read.
            is_same, largest = _compared(next(mine), next(theirs), is_same)
            if is_same:
                continue
        before, after = _summary(old, key), _summary(new, other)
        yield ChangedValue(after.path, before, after, largest)


def _is_comparable(mine: TensorInfo | None, theirs: TensorInfo | None) -> bool:
    """Tell whether two values may be equal, or be subtracted."""
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return mine is theirs
    return mine == theirs or (mine.dtype not in UNSIZED and theirs.dtype not in UNSIZED)


def _compared(mine: Content, theirs: Content, is_same_kind: bool) -> tuple[bool, float | None]:
    """Tell whether two values are equal bit for bit, and how far they are apart."""
    if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
        if is_same_kind and is_equal(mine, theirs):
            return True, None
        return False, largest_difference(mine, theirs)
    return is_same_kind and bytes(mine) == bytes(theirs), None


def _moved(old: _Values, key: _Key, new: _Values, other: _Key) -> MovedValue:
    after = _summary(new, other)
    return MovedValue(after.path, old.path(key), after.dtype, after.shape, after.text)


def _summary(values: _Values, key: _Key) -> ValueSummary:
    info = values.info(key)
    if info is not None:
        return ValueSummary(values.path(key), info.dtype, info.shape)
    content: Any = next(values.contents([key]))
    return ValueSummary(values.path(key), text=plain_text(decode_value(content)))
