"""Every flipped bit and every cut of a small file is found; no foreign error ever comes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

import checkpointable as ckpt
from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from tests.interop.safetensors.files import file_of, opened, snapshot_of, written

OURS = written(
    snapshot_of(
        ckpt.Checkpoint(
            a=np.arange(5, dtype=np.int8),
            m={"w": ckpt.Variable(np.arange(6.0).reshape(2, 3)), "n": 7},
            b=np.array([True, False]),
        ),
        {"run": "seven"},
    )
)
PLAIN = save({"a.b": np.arange(3), "a": np.ones((2, 2), np.float32)}, {"by": "hand"})


def is_found(data: bytes) -> bool:
    """Tell whether damage is found at opening, or at the latest by verify."""
    try:
        return bool(opened(data).verify())
    except CorruptCheckpointError:
        return True


def bound_anew(data: bytes, before: str, after: str) -> bytes:
    """Return the file with another text in its header, padded to the same length."""
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip().replace(before.encode(), after.encode())
    return file_of(text, data[8 + length :])


def flips(data: bytes) -> Iterator[bytes]:
    """Yield the file with one bit flipped, each bit in turn."""
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_the_file_is_right_to_begin_with() -> None:
    """What follows means nothing unless the undamaged file verifies."""
    assert ([], "") == (opened(OURS).verify(), opened(OURS).unverified)


def test_every_flipped_bit_is_found(figures: dict[str, str]) -> None:
    """No bit of a file of ours can be flipped without a finding."""
    found = [is_found(data) for data in flips(OURS)]
    figures["flipped bits, safetensors"] = f"{len(found)}, missed {found.count(False)}"

    assert [True] * len(found) == found


def test_every_cut_and_addition_is_found(figures: dict[str, str]) -> None:
    """No file of ours can be shorter or longer without a finding."""
    cuts = [OURS[:length] for length in range(len(OURS))]
    cuts += [OURS + more for more in (b"\0", bytes(8), OURS)]
    found = [is_found(data) for data in cuts]
    figures["cuts and additions, safetensors"] = f"{len(found)}, missed {found.count(False)}"

    assert [True] * len(found) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"run":"seven"', '"run":"eight"'),
        ('"run":"seven"', '"run" : "seven"'),
        ('"m.w"', '"m.v"'),
        ('"format":"pt",', ""),
        ('"dtype":"I8"', '"dtype":"U8"'),
        ('"checkpointable":', '"other":'),
        ("checkpointable index", "checkpointable xedni"),
        ("[2,3]", "[3,2]"),
    ],
)
def test_a_header_that_was_written_anew_is_told(before: str, after: str) -> None:
    """An index that does not belong to its header is refused; the message has the remedy."""
    with pytest.raises(CorruptCheckpointError, match="another program wrote the file") as caught:
        opened(bound_anew(OURS, before, after))

    assert "ST-8" == caught.value.rule


FORGED = {
    "another shape": ("[2,3]", "[3,2]"),
    "another dtype": ('"dtype":"I8"', '"dtype":"U8"'),
    "tensors in another place": ("[53,55]", "[48,50]"),
    "a tensor less": ('"b":{"dtype":"BOOL","shape":[2],"data_offsets":[53,55]},', ""),
}


@pytest.mark.parametrize("what", FORGED)
def test_header_and_index_must_agree(what: str) -> None:
    """A header that says something else than the index is refused, whatever its digest."""
    before, after = FORGED[what]
    data = OURS.replace(b"[48,53]", b"[50,55]") if "[48,50]" in after else OURS
    data = data[:-2] if not after else data
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].replace(before.encode(), after.encode())
    text = text.rstrip() + b" " * (-len(text.rstrip()) % 8)
    value = json.loads(text)["__metadata__"]["checkpointable"]
    zeroed = text.replace(value.rsplit(" ", 3)[1].encode(), b"0" * 32)
    bound = zeroed.replace(b"0" * 32, xxhash.xxh3_128_hexdigest(zeroed).encode())

    with pytest.raises(CorruptCheckpointError) as caught:
        opened(file_of(bound, data[8 + length :]))

    assert "ST-9" == caught.value.rule


def test_what_another_program_makes_of_a_file_is_a_plain_file() -> None:
    """Loaded and saved elsewhere it has no index any more: arrays by dotted names, unverified."""
    source = opened(save(load(OURS)))

    assert {"a", "b", "m.w"} == set(source.keys or ())
    assert source.unverified


def test_an_index_of_another_version_is_unsupported() -> None:
    """A later version of the binding is not taken for damage."""
    length = int.from_bytes(OURS[:8], "little")
    header = json.loads(OURS[8 : 8 + length])
    _, digest, *_ = header["__metadata__"]["checkpointable"].rsplit(" ", 3)
    zeroed = OURS[8 : 8 + length].replace(f"{digest} 1 ".encode(), f"{'0' * 32} 2 ".encode())

    bound = zeroed.replace(b"0" * 32, xxhash.xxh3_128_hexdigest(zeroed).encode())

    with pytest.raises(UnsupportedFormatError, match="a newer version of checkpointable"):
        opened(file_of(bound, OURS[8 + length :]))


def check_mutation(data: bytes) -> None:
    """Open, read and verify a damaged file: nothing but the library's own errors may come."""
    try:
        source = opened(data)
        for number in range(len(source.tensors)):
            if source.tensors[number].dtype not in ("python", "bytes"):
                source.read(number)
        source.verify()
    except (CorruptCheckpointError, UnsupportedFormatError):
        pass


@st.composite
def mutations(draw: st.DrawFn, number: int) -> bytes:
    """Return a file with some bytes set, cut out, doubled, or moved."""
    data = bytearray(draw(st.sampled_from([OURS, PLAIN])))
    for _ in range(number):
        place = draw(st.integers(0, len(data) - 1))
        what = draw(st.sampled_from(["set", "cut", "double", "text"]))
        length = draw(st.integers(1, 12))
        if what == "set":
            data[place] = draw(st.integers(0, 255))
        elif what == "cut" and len(data) > length + place:
            del data[place : place + length]
        elif what == "double":
            data[place:place] = data[place : place + length]
        else:
            parts = [b"{", b"}", b"[", b"]", b",", b'"', b"-1", b"1e9", b"true", b"\\u", b"null"]
            data[place : place + 1] = draw(st.sampled_from(parts))
        if what != "set" and len(data) > 8 and draw(st.booleans()):
            end = bytes(data).rfind(b"}}", 8) + 2
            data[:8] = max(end - 8, 0).to_bytes(8, "little")
    return bytes(data)


@given(st.integers(1, 4).flatmap(mutations))
def test_damage_gives_nothing_but_our_errors(data: bytes) -> None:
    """Whatever is done to a file, it is read, or refused as damaged or unknown."""
    check_mutation(data)


def thousands(seed: int, count: int) -> None:
    """Check random mutations, of headers above all, much faster than hypothesis does."""
    random = np.random.default_rng(seed)
    alphabet = b'{}[]",:\\0123456789-.eEtrufalsn \0\xff'
    for _ in range(count):
        data = bytearray(OURS if random.random() < 0.5 else PLAIN)
        for _ in range(random.integers(1, 5)):
            place = int(random.integers(0, len(data)))
            byte = alphabet[random.integers(len(alphabet))]
            if random.random() < 0.5:
                data[place] = byte
            elif random.random() < 0.5:
                data.insert(place, byte)
            else:
                del data[place]
        if random.random() < 0.7:
            end = bytes(data).rfind(b"}}", 8) + 2
            data[:8] = max(end - 8, 0).to_bytes(8, "little")
        check_mutation(bytes(data))


def test_thousands_of_damaged_files() -> None:
    """Random mutations give nothing but the library's errors."""
    thousands(0, 3_000)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_more_damaged_files(seed: int) -> None:
    """As above, for long."""
    thousands(seed, 100_000)
