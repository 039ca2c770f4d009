"""Whatever is wrong with a checkpoint of TensorFlow's, only errors of the library come of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from checkpointable.format.dtypes import UNSIZED, numpy_dtype
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.tensorflow.graph import GRAPH_KEY
from checkpointable.interop.tensorflow.table import read_table
from tests.interop.tensorflow.bundles import (
    PATH,
    STRING,
    Entry,
    Maker,
    Style,
    block,
    finished,
    literal,
    on_disk,
    opened,
    snappy,
    strings,
    table,
    variants,
    varint,
)
from tests.interop.tensorflow.samples import description, sample
from tests.interop.tensorflow.test_table import GOLDEN

Files = Mapping[str, bytes]
INDEX = f"{PATH}.index"
#: Shapes up to so many elements are read whole.
READABLE = 100_000
REFUSALS = (CorruptCheckpointError, UnsupportedFormatError)


def files_of(name: str) -> Files:
    """Return the files of a sample."""
    return {PATH + suffix: data for suffix, data in sample(name).files.items()}


def made_by_hand() -> Files:
    """Return the files of a bundle with something of everything."""
    made = Maker(2)
    made.divide(b"p", np.arange(12, dtype=np.int32).reshape(3, 4), [[None, (0, 3)], [None, (3, 1)]])
    made.add(b"s", [b"hi", b"", b"x" * 200], 1)
    data, checksum = variants([b"a", b"bc"])
    made.put(b"v", Entry(21, [2], checksum=checksum), data)
    made.add(b"b", np.array([True, False]), 1)
    made.add(b"c", np.array([1 - 2j], np.complex64))
    return made.files(Style(90, 2))


GOLDEN_FILES = {
    INDEX: GOLDEN,
    f"{PATH}.data-00000-of-00001": bytes.fromhex(
        "0000803f00000040020078270b34686901000000020000000300000004000000"
    ),
}
SMALL = {
    "golden": GOLDEN_FILES,
    "by hand": made_by_hand(),
    "manager": files_of("checkpoint_manager/run/ckpt-3"),
    "nothing": files_of("scalar_empty/nothing"),
}
SAMPLES = SMALL | {
    str(name): files_of(name)
    for name in (
        *("object_based_nested/ckpt-1", "object_based_special/ckpt-1", "object_based_slots/ckpt-1"),
        *("partitioned/part", "sharded_tasks/model.ckpt-1", "synthetic_big_endian/ckpt-1"),
    )
}


def everything(files: Files) -> list[Any]:
    """Read all that a checkpoint holds, in every way; return what was read."""
    source = opened(files)
    try:
        said = [source.names, source.metadata, [str(u) for u in source.unclear], source.graph]
        seen: list[Any] = [source.keys, source.tensors, said[:3]]
        for number in range(len(source.tensors)):
            seen.append(outcome(whole, source, number))
            seen.append(outcome(part, source, number))
        seen.append([(f.rule, f.message) for f in source.verify()])
    finally:
        source.close()
    return seen


def whole(source: CheckpointSource, number: int) -> Any:
    """Read a tensor anew, and into an array."""
    info = source.tensors[number]
    array = source.read(number)
    if info.dtype in UNSIZED:
        return array.tolist() if array.ndim else repr(source.value(number))
    if math.prod(info.shape) <= READABLE:
        target = np.zeros(info.shape, numpy_dtype(info.dtype))
        source.read_into([number], [target])
        assert target.tobytes() == array.tobytes()
    return description(array)


def part(source: CheckpointSource, number: int) -> Any:
    """Read the first element of a tensor, which may be too large to be read whole."""
    shape = source.tensors[number].shape
    if source.tensors[number].dtype in UNSIZED and source.tensors[number].dtype != "string":
        return None
    return description(source.read_slice(number, tuple(slice(1) for _ in shape)))


def outcome(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what was read, or the refusal."""
    try:
        return read(*arguments)
    except REFUSALS as error:
        return type(error)


def survives(files: Files) -> bool:
    """Tell whether files can be opened; whatever is wrong with them, nothing but refusals comes."""
    try:
        everything(files)
    except REFUSALS:
        return False
    return True


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_right_to_begin_with(name: str) -> None:
    """What follows means nothing unless the undamaged files are read."""
    assert [] == everything(SAMPLES[name])[-1]


def flips(files: Files, every_bit: bool) -> Iterator[Files]:
    """Yield the files with one bit, or one byte, flipped."""
    for name, data in files.items():
        for place in range(len(data)):
            for mask in (1 << n for n in range(8)) if every_bit else (255,):
                yield files | {name: data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]}


@pytest.mark.parametrize("name", SMALL)
def test_what_a_flip_changes_is_found(name: str, figures: dict[str, str]) -> None:
    """A flipped byte of index or data is refused or found, or changes nothing that is read."""
    files = SMALL[name]
    right, count = everything(files), 0
    for changed in flips(files, every_bit=name == "golden"):
        count += 1
        try:
            seen = everything(changed)
        except REFUSALS:
            continue
        assert right == seen or seen[-1] != []
    figures[f"flips in a TensorFlow checkpoint, {name}"] = f"{count}, none missed"


def test_cuts_are_refused() -> None:
    """No file can be shorter, and none be gone."""
    for name in ("golden", "by hand", "manager"):
        files = SMALL[name]
        for file, data in files.items():
            rest = {other: content for other, content in files.items() if other != file}
            if file != INDEX:
                assert not survives(rest)
            for length in range(0, len(data), 1 if file == INDEX else 7):
                assert not survives(rest | {file: data[:length]})


# Mutations. Those of rows, blocks and the graph get right checksums, or they would get no further.

NUMBERS = (0, 1, 2, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Change bytes here and there."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        place = draw.randrange(len(out) + 1)
        kind = draw.randrange(7)
        if kind == 0 or place == len(out):
            out[place:place] = draw.randbytes(draw.randrange(1, 9))
        elif kind == 1:
            del out[place : place + draw.randrange(1, 9)]
        elif kind == 2:
            out[place] = draw.choice((0, 1, 127, 128, 255))
        elif kind == 3:
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 4:
            out[place : place + 1] = varint(draw.choice(NUMBERS))
        elif kind == 5:
            start = draw.randrange(len(out))
            out[place:place] = out[start : start + draw.randrange(1, 30)]
        else:
            out[place] = draw.randrange(256)
    return bytes(out)


def any_file(files: Files, draw: random.Random) -> Files:
    """Change bytes of a file."""
    name = draw.choice(list(files))
    return files | {name: mutated(files[name], draw)}


def rows(files: Files, draw: random.Random) -> Files:
    """Change keys and values of the index."""
    found = dict(read_table(memoryview(files[INDEX]), INDEX))
    for key in draw.choices(list(found), k=draw.choice((1, 1, 2, 3))):
        value = found.get(key, b"")
        if draw.random() < 0.8:
            found[key] = mutated(value, draw)
        else:
            found.pop(key, None)
            found[mutated(key, draw) if draw.random() < 0.7 else key] = value
    style = Style(draw.choice((50, 10**6)), draw.choice((1, 16)), draw.choice((None, snappy)))
    return files | {INDEX: table(sorted(found.items()), style)}


def inside_a_block(files: Files, draw: random.Random) -> Files:
    """Change the entries of a block, or what they are compressed to."""
    content = block(list(read_table(memoryview(files[INDEX]), INDEX)))
    if draw.random() < 0.5:
        data = on_disk(mutated(content, draw), Style())
    else:
        compress = draw.choice((snappy, literal))
        data = on_disk(mutated(compress(content), draw), Style(kind=1))
    place = varint(0) + varint(len(data) - 5)
    place = mutated(place, draw) if draw.random() < 0.1 else place
    return files | {INDEX: finished(data, [(b"\xff" * 3, place)], Style())}


def strings_inside(files: Files, draw: random.Random) -> Files:
    """Change what a graph, or another scalar, says, and give it right checksums."""
    source = opened(files)
    keys = [k for k, n in (source.keys or {}).items() if source.tensors[n].dtype == "string"]
    if not keys:
        return rows(files, draw)
    key = GRAPH_KEY if GRAPH_KEY in keys and draw.random() < 0.9 else draw.choice(keys)
    number = (source.keys or {})[key]
    items = source.read_slice(number, ...).reshape(-1).tolist() or [b""]
    items = [mutated(item, draw) if draw.random() < 0.8 else item for item in items]
    data, checksum = strings(items)
    if draw.random() < 0.2:
        data = mutated(data, draw)
    found = dict(read_table(memoryview(files[INDEX]), INDEX))
    name = f"{PATH}.data-00000-of-{len(files) - 1:05d}"
    shape = source.tensors[number].shape
    entry = Entry(STRING, shape, 0, len(files[name]), len(data), checksum)
    found[key.encode("utf-8", "surrogateescape")] = entry.encode()
    return files | {name: files[name] + data, INDEX: table(sorted(found.items()))}


MUTATIONS = (any_file, rows, rows, inside_a_block, strings_inside)


def run(count: int, seed: int) -> tuple[int, int]:
    """Try so many mutations; return how many were tried and how many could be opened."""
    draw = random.Random(seed)
    samples = list(SAMPLES.values())
    good = 0
    for i in range(count):
        mutation = MUTATIONS[i % len(MUTATIONS)]
        files = mutation(draw.choice(samples), draw)
        try:
            good += survives(files)
        except BaseException as error:
            error.add_note(f"seed {seed}, input {i}: {mutation.__name__}\n{dict(files)}")
            raise
    return count, good


def test_mutations(figures: dict[str, str]) -> None:
    """Changed files, rows, blocks and graphs give errors of the library, or can be read."""
    count, good = run(600, 1)
    figures["mutated TensorFlow checkpoints"] = f"{count}, {good} of them opened"

    assert 0 < good < count


@pytest.mark.campaign
def test_many_mutations(figures: dict[str, str]) -> None:
    """The same, 200,000 times."""
    seed = random.randrange(2**32)
    count, good = run(200_000, seed)
    figures["mutated TensorFlow checkpoints"] = f"{count} (seed {seed}), {good} of them opened"

    assert 0 < good < count
