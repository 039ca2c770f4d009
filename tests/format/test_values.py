"""Plain values come back exactly as they were, and nothing else is read as one."""

from __future__ import annotations

import datetime
import enum
import math
import struct
import tracemalloc
import zoneinfo
from collections import OrderedDict, defaultdict, namedtuple
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.errors import (
    CorruptCheckpointError,
    MissingDependencyError,
    NotCheckpointableError,
)
from checkpointable.format.values import decode_metadata, decode_value, encode_value

UTC = datetime.UTC
HOUR = datetime.timedelta(hours=1)


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal, of equal types at every depth, floats bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, complex):
        return same((a.real, a.imag), (b.real, b.imag))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, (set, frozenset)):
        return same(sorted(a, key=encode_value), sorted(b, key=encode_value))
    if isinstance(a, datetime.datetime):
        return (a, a.tzinfo, a.fold) == (b, b.tzinfo, b.fold)
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return a == b


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=5),
    st.datetimes(timezones=st.none() | st.timezones() | st.just(UTC)),
    st.dates(),
    st.timedeltas(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(PurePosixPath),
)
KEYS = st.recursive(
    SCALARS.filter(lambda x: x == x),  # noqa: PLR0124 - not a number
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
    ),
    max_leaves=15,
)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_values_come_back_as_they_were(value: Any) -> None:
    """Decoding gives an equal value of equal types, and encoding that gives the same bytes."""
    encoded = encode_value(value)
    decoded = decode_value(encoded)

    assert same(value, decoded), (value, decoded)
    assert encoded == encode_value(decoded)


ENCODED: list[tuple[Any, str]] = [
    (None, "c0"),
    (False, "c2"),
    (True, "c3"),
    (0, "00"),
    (-1, "ff"),
    (2**64 - 1, "cfffffffffffffffff"),
    (-(2**63), "d38000000000000000"),
    (2**64, "c70905" + "00" * 8 + "01"),
    (-(2**63) - 1, "c70905" + "ff" * 7 + "7f" + "ff"),
    (1.5, "cb3ff8000000000000"),
    (1 + 2j, "d806000000000000f03f0000000000000040"),
    ("ä", "a2c3a4"),
    ("\ud800", "c70307eda080"),
    (b"\0", "c40100"),
    ([], "d60000000000"),
    ([1, [2]], "d60002000000" + "01" + "d60001000000" + "02"),
    ((None,), "d60101000000c0"),
    ({"a": 1, 2: b""}, "d60202000000a16101" + "02c400"),
    ({3, 1, 2}, "d60303000000010203"),
    (frozenset(), "d60400000000"),
    (datetime.datetime(2020, 1, 2, 3, 4, 5, 6), "c70c08" + "e40701020304050600000000"),
    (
        datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone(HOUR, "X")),
        "c71608" + "e40701020000000000000000" + "00" + "00a493d600000000" + "58",
    ),
    (
        datetime.datetime(2020, 10, 25, 2, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        "c71a08" + "e4070a190200000000000001" + "01" + b"Europe/Berlin".hex(),
    ),
    (datetime.date(1, 2, 3), "d60901000203"),
    (datetime.timedelta(-1, 2, 3), "c70c0affffffff0200000003000000"),
    (PurePosixPath("a/b"), "c7030b612f62"),
    (PureWindowsPath("a/b"), "c7030c615c62"),
    (Path("/"), "d40d2f"),
    (np.float32(1.5), "c70c0e" + "07" + b"float32".hex() + "0000c03f"),
    (np.str_("a"), "d40f61"),
    (np.bytes_(b"a\0"), "d5106100"),
]


@pytest.mark.parametrize(("value", "encoded"), ENCODED, ids=lambda x: repr(x)[:40])
def test_the_bytes_are_those_of_the_specification(value: Any, encoded: str) -> None:
    """Each type has the one encoding of F-38, written down here by hand."""
    assert encoded == encode_value(value).hex()
    assert same(value, decode_value(bytes.fromhex(encoded)))


@pytest.mark.parametrize(
    "value",
    [
        np.bool_(True),
        np.int64(-1),
        np.complex64(1j),
        np.datetime64("2020-01-01"),
        np.datetime64("NaT"),
        np.timedelta64(3, "s"),
        np.float64(math.nan),
        np.float16(0.1),
        ml_dtypes.bfloat16(2.5),
        ml_dtypes.int4(-3),
        np.str_(""),
        np.str_("a\0"),
        np.bytes_(b""),
    ],
    ids=repr,
)
def test_numpy_scalars_inside_plain_containers_come_back(value: Any) -> None:
    """A numpy scalar in a list keeps its dtype and its bits."""
    decoded = decode_value(encode_value([value]))[0]

    assert type(value) is type(decoded)
    assert (value.dtype, value.tobytes()) == (decoded.dtype, decoded.tobytes())


@pytest.mark.parametrize("bits", ["7ff0000000000001", "fff8000000000123", "8000000000000000"])
def test_floats_keep_all_their_bits(bits: str) -> None:
    """A signalling NaN, a payload and a negative zero come back bit for bit."""
    value = struct.unpack(">d", bytes.fromhex(bits))[0]

    assert bits == struct.pack(">d", decode_value(encode_value([value]))[0]).hex()


def test_subclasses_of_containers_are_stored_as_their_base() -> None:
    """What comes back for an OrderedDict, defaultdict or namedtuple is a dict or a tuple."""
    pair = namedtuple("pair", "a b")  # noqa: PYI024
    value = [OrderedDict(a=1), defaultdict(list, b=[2]), pair(1, 2)]

    assert same([{"a": 1}, {"b": [2]}, (1, 2)], decode_value(encode_value(value)))


def test_sets_do_not_depend_on_their_order() -> None:
    """Equal sets give equal bytes, whatever their history."""
    one, two = set(range(1000)), set(range(999, -1, -1))
    two |= set(range(5000))
    two -= set(range(1000, 5000))

    assert encode_value(one) == encode_value(two)


class Color(enum.Enum):
    """An enumeration."""

    RED = 1


class Level(enum.IntEnum):
    """An enumeration of integers."""

    LOW = 1


class Name(str):
    """A subclass of str."""

    __slots__ = ()


class Zone(datetime.tzinfo):
    """A time zone of one's own."""


REFUSED: list[tuple[Any, str]] = [
    (object(), "a object is no plain value"),
    (Color.RED, r"a Color is .* Store its \.name"),
    (Level.LOW, r"a Level is .* Store its \.name"),
    (Name("a"), r"a Name is .* Store str\(x\)"),
    (bytearray(b"a"), r"Store bytes\(x\)"),
    (range(3), r"Store list\(x\)"),
    (np.zeros(2), "Keep arrays in attributes"),
    (np.longdouble(1), "dtype .* cannot be stored"),
    (np.void(b"abc"), "dtype .* cannot be stored"),
    (datetime.time(1), "a time is no plain value"),
    (datetime.datetime(2020, 1, 1, tzinfo=Zone()), "time zone of type Zone .* Use"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda x: repr(x)[:30])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [1, [x]], lambda x: {"a": x}])
def test_other_types_are_refused_with_the_remedy(value: Any, message: str, wrap: Any) -> None:
    """What is no plain value is refused, by the name of its type, with what to do instead."""
    with pytest.raises(NotCheckpointableError, match=message):
        encode_value(wrap(value))


def test_a_container_in_itself_is_refused() -> None:
    """A cycle of plain containers is refused; one container at two places is not a cycle."""
    cycle: list[Any] = [1]
    cycle.append({"again": (cycle,)})
    shared = [2]

    with pytest.raises(NotCheckpointableError, match="a list contains itself"):
        encode_value(cycle)
    assert [[2], [2], {"a": [2]}] == decode_value(encode_value([shared, shared, {"a": shared}]))


@pytest.mark.parametrize(
    ("wrap", "depth"),
    [(lambda x: [x], 100_000), (lambda x: (x,), 20_000), (lambda x: {"a": x}, 20_000)],
)
def test_depth_is_not_limited(wrap: Any, depth: int) -> None:
    """100,000 containers in each other neither overflow the stack nor take long."""
    value: Any = None
    for _ in range(depth):
        value = wrap(value)
    encoded = encode_value(value)
    value = decode_value(encoded)

    assert depth * len(encode_value(wrap(1))[:-1]) + 1 == len(encoded)
    while value is not None:  # freed from the outside in: deallocation of dicts recurses
        value = value["a"] if isinstance(value, dict) else value[0]


def nested(depth: int) -> Any:
    """Return a tuple that nests so deep."""
    key: Any = 1
    for _ in range(depth):
        key = (key,)
    return key


def test_keys_nest_32_deep() -> None:
    """F-40: hashing recurses, so the depth of keys and members is limited, in both directions."""
    assert {nested(32): 0} == decode_value(encode_value({nested(32): 0}))
    assert {nested(32)} == decode_value(encode_value({nested(32)}))
    for value in ({nested(33): 0}, {nested(33)}, {"a": [frozenset([nested(33)])]}):
        with pytest.raises(NotCheckpointableError, match="nests more than 32 deep"):
            encode_value(value)
    head = bytes.fromhex("d60101000000")
    for outer in ("d60201000000", "d60301000000", "d60401000000"):
        with pytest.raises(CorruptCheckpointError) as raised:
            decode_value(bytes.fromhex(outer) + head * 10_000 + b"\1\1")
        assert raised.value.rule == "F-40"


def test_keys_with_equal_hashes_are_limited() -> None:
    """F-40: a dict whose keys have one hash is quadratic, so more than 64 are refused."""
    step = 2**61 - 1
    few = {i * step: i for i in range(64)}
    many = {i * step: i for i in range(65)}

    assert few == decode_value(encode_value(few))
    with pytest.raises(NotCheckpointableError, match="65 keys of one dict"):
        encode_value(many)
    with pytest.raises(NotCheckpointableError, match="65 keys of one dict"):
        encode_value(set(many))


def moment(zone: str) -> str:
    """Return an encoded datetime with this zone."""
    data = "e40701020000000000000000" + zone
    return f"c7{len(data) // 2:02x}08{data}"


HOSTILE: dict[str, str] = {
    "F-38 nothing": "",
    "F-38 no MessagePack": "c1",
    "F-38 a text cut short": "a5",
    "F-38 two values": "0101",
    "F-38 a value after a container": "d6000000000001",
    "F-38 a list cut short": "d60002000000" + "01",
    "F-38 a list of 2^32 - 1 items": "d600ffffffff",
    "F-38 a dict without its value": "d60201000000" + "01",
    "F-38 a nested array": "9101",
    "F-38 an empty array": "90",
    "F-38 an empty map": "80",
    "F-38 a map": "810101",
    "F-38 an array of 2^31 items": "dd80000000",
    "F-38 a timestamp": "d6ff00000000",
    "F-38 an unknown extension": "d41100",
    "F-38 a negative extension": "d680" + "00" * 4,
    "F-38 an unknown extension without data": "c70011",
    "F-38 a head of 2 bytes": "d5000000",
    "F-38 invalid UTF-8": "a1ff",
    "F-38 a text with a surrogate": "a3eda080",
    "F-38 a complex number of 8 bytes": "d706" + "00" * 8,
    "F-38 the 32nd of January": "d609e4070120",
    "F-38 month 13": "d609e4070d01",
    "F-38 year 0": "d60900000101",
    "F-38 a moment cut short": "d408e4",
    "F-38 a zone of unknown kind": moment("02"),
    "F-38 a zone of 25 hours": moment("00" + "00e8d3f414000000"),
    "F-38 a duration beyond limits": "c70c0a" + "ffffff7f" + "00" * 8,
    "F-38 a numpy scalar of dtype object": "c70a0e" + "014f" + "00" * 8,
    "F-38 a numpy scalar of a structure": "c7060e" + "0269380000" + "00",
    "F-38 a numpy scalar cut short": "c70a0e" + "07" + b"float32".hex() + "0000",
    "F-38 a numpy scalar without dtype": "c7000e",
    # F-41: the key of a zone leads nowhere but into the directory of zones.
    "F-38 a zone by a path": moment("01" + b"../x".hex()),
    "F-38 a zone by an absolute path": moment("01" + b"/etc/localtime".hex()),
    "F-38 a zone by a module": moment("01" + b"os.path".hex()),
    "F-38 a zone whose name is not UTF-8": moment("00" + "00a493d600000000" + "ff"),
    "F-39 an integer not in its shortest form": "cc01",
    "F-39 a float of 4 bytes": "ca3fc00000",
    "F-39 a text not in its shortest form": "d90161",
    "F-39 an extension not in its shortest form": "c70400" + "00" * 4,
    "F-39 a small integer as a large one": "d40501",
    "F-39 a large integer with a byte too many": "c70a05" + "00" * 8 + "0100",
    "F-39 a text without surrogates as one with": "d40761",
    "F-39 a path that is not normalised": "c7030b612f2f",
    "F-39 a duration that is not normalised": "c70c0a" + "00000000" + "80510100" + "00000000",
    "F-39 a set out of order": "d603020000000201",
    "F-39 a set with a member twice": "d603020000000101",
    "F-39 a set with 1 and True": "d6030200000001c3",
    "F-39 a dict with a key twice": "d6020200000001010102",
    "F-39 a dict with 1 and 1.0": "d602020000000101cb3ff000000000000002",
    "F-40 a list as a key": "d60201000000" + "d60000000000" + "01",
    "F-40 a dict in a set": "d60301000000" + "d60200000000",
    "F-40 a list in a tuple in a frozenset": "d60401000000" + "d60101000000" + "d60000000000",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_encoded_value_is_refused(what: str) -> None:
    """Bytes that `encode_value` never gives are refused, by rule and file."""
    with pytest.raises(CorruptCheckpointError) as raised:
        decode_value(bytes.fromhex(HOSTILE[what]), "x.index")

    assert (what.split(maxsplit=1)[0], "x.index") == (raised.value.rule, raised.value.file)


@pytest.mark.parametrize("key", ["Nowhere/City", "Europe"])
def test_an_unknown_time_zone_names_the_package_of_zones(key: str) -> None:
    """A zone that this machine does not know is no damage: the message says what to install."""
    with pytest.raises(MissingDependencyError, match="pip install tzdata"):
        decode_value(bytes.fromhex(moment("01" + key.encode().hex())))


def test_many_equal_hashes_in_a_file_are_refused() -> None:
    """A hostile dict of 20,000 keys with one hash is refused at once, not after minutes."""
    keys = [i * (2**61 - 1) for i in range(20_000)]
    items = b"".join(encode_value(key) + b"\0" for key in keys)

    with pytest.raises(CorruptCheckpointError) as raised:
        decode_value(bytes.fromhex("d602") + struct.pack("<I", len(keys)) + items)

    assert raised.value.rule == "F-40"


@given(st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_a_value_or_one_error(data: bytes) -> None:
    """No bytes make the decoder raise anything but a CorruptCheckpointError."""
    try:
        value = decode_value(data)
    except CorruptCheckpointError:
        return

    assert data == encode_value(value)


@given(VALUES, st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_never_goes_through_unseen(value: Any, data: st.DataObject) -> None:
    """Encodings are unique: whatever still decodes encodes to just these bytes."""
    encoded = bytearray(encode_value(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_value(bytes(encoded))
    except (CorruptCheckpointError, MissingDependencyError):  # or a zone that nobody knows
        return

    assert bytes(encoded) == encode_value(decoded)


def test_metadata_are_a_dict_of_names() -> None:
    """F-35: other values are refused."""
    assert {"run": 7} == decode_metadata(encode_value({"run": 7}), "x")
    for value in ([1], {1: 2}, None):
        with pytest.raises(CorruptCheckpointError) as raised:
            decode_metadata(encode_value(value), "x")
        assert raised.value.rule == "F-35"


def listed(item: str, count: int = 50_000) -> bytes:
    """Return an encoded list that repeats an encoded item."""
    return bytes.fromhex("d600") + struct.pack("<I", count) + bytes.fromhex(item) * count


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("d60001000000") * 50_000 + b"\xc0",
        bytes.fromhex("d60001000000") * 50_000,
        listed("d60300000000"),
        listed("d60201000000" + "0101"),
        listed("a2c480"),
        listed("d40b61"),
        listed("c0"),
        listed("90"),
        b"\x81\x01\x01" * 50_000,
    ],
    ids=["depth", "cut", "sets", "dicts", "text", "paths", "nothing", "arrays", "maps"],
)
def test_memory_stays_within_its_bound(data: bytes) -> None:
    """S-2: decoding n bytes takes at most 128 n, whatever they are."""
    tracemalloc.start()
    try:
        value = decode_value(data)
    except CorruptCheckpointError:
        value = None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    while isinstance(value, list) and value:  # freed from the outside in
        value = value[0]

    assert peak <= 128 * len(data), peak / len(data)
