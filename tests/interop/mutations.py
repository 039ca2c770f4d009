"""Damaged checkpoints: samples of every foreign format, and ways to change them.

Nearly every blind change is stopped by a checksum. So half of the changes are made *below* the
checksums, which are then made right again: there the checks of structure are all that is left.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
import numpy as np

import checkpointable as ckpt
from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.messages import parse
from checkpointable.interop.tensorflow.table import read_table
from checkpointable.interop.tensorflow.table_writer import encode_table

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tensorflow"
GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"
LARGEST = 40_000  # bytes of a sample: what is larger says nothing more, and costs time
ODD = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


@attrs.frozen
class Sample:
    """The files of one checkpoint.

    Attributes:
        name: for people.
        path: what is opened, relative to the directory.
        files: content by name, relative to the directory.
        verified: whether checksums cover every byte that is read.
    """

    name: str
    path: str
    files: Mapping[str, bytes]
    verified: bool = True

    def with_file(self, name: str, content: bytes) -> Sample:
        """Return the sample with other content of one file."""
        return attrs.evolve(self, files={**self.files, name: content})

    def put(self, directory: Path) -> Path:
        """Write all files, and return the path to open."""
        for name, content in self.files.items():
            (directory / name).write_bytes(content)
        return directory / self.path


def samples(scratch: Path) -> list[Sample]:
    """Return small samples: TensorFlow's of both versions, and safetensors files."""
    return [*_tensorflow_samples(), *_own_samples(scratch), *_plain_samples()]


def mutate(random: Random, all_samples: Sequence[Sample]) -> tuple[Sample, Sample, bool]:
    """Return a sample, the same changed, and whether a checksum must have noticed."""
    sample = random.choice(all_samples)
    name = random.choice(sorted(sample.files))
    if name.endswith(".json") or not sample.files[name]:
        name = sample.path if sample.path in sample.files else max(sample.files)
    content = sample.files[name]
    below = _BELOW.get(Path(name).suffix, _below_table_file if _is_table(content) else None)
    if below is not None and random.random() < 0.5:
        changed = below(random, sample, name)
        if changed is not None:
            return sample, changed, False
    return sample, sample.with_file(name, _any_change(random, content)), sample.verified


def _tensorflow_samples() -> list[Sample]:
    """Return the checkpoints in the fixtures that are small enough."""
    found = []
    for case in sorted(path for path in FIXTURES.iterdir() if path.is_dir()):
        for checkpoint in json.loads((case / "expected.json").read_text())["checkpoints"]:
            prefix = case / checkpoint["prefix"]
            files = {
                path.name: path.read_bytes()
                for path in prefix.parent.iterdir()
                if path.name == prefix.name or path.name.startswith((f"{prefix.name}.",))
                if path.suffix != ".meta"
            }
            if files and sum(map(len, files.values())) <= LARGEST:
                found.append(Sample(f"{case.name}/{prefix.name}", prefix.name, files))
    return found


def _own_samples(scratch: Path) -> list[Sample]:
    """Return what we write ourselves in foreign formats, with annotations and checksums."""
    shared = ckpt.Variable(np.arange(5, dtype=np.float32), name="shared")
    root = {
        "a": [shared, {"b": shared, "c": ckpt.Variable(np.int64(3))}],
        "d": ckpt.Variable([1.5]),
    }
    checkpoint = ckpt.Checkpoint(root=root, step=3, name="text", when=None, many=[1, {"x": b"y"}])
    found = []
    for form in ("tensorflow", "safetensors"):
        path = Path(checkpoint.write(scratch / f"ours-{form}", format=form, metadata={"run": 7}))
        files = {p.name: p.read_bytes() for p in scratch.iterdir() if p.name.startswith(path.name)}
        found.append(Sample(f"ours, {form}", path.name, files))
    return found


def _plain_samples() -> list[Sample]:
    """Return safetensors files as others write them: no checksums."""
    tensors = {"layer.0.w": ("F32", [2, 2], 16), "layer.0": ("I64", [], 8), "e": ("U8", [0, 3], 0)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape, length) in tensors.items():
        offsets = [start, start + length]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        start += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    plain = struct.pack("<Q", len(text)) + text + bytes(range(start))
    index = {
        "metadata": {"total_size": start},
        "weight_map": dict.fromkeys(tensors, "m.safetensors"),
    }
    sharded = {"m.safetensors": plain, "m.safetensors.index.json": json.dumps(index).encode()}
    return [
        Sample("plain safetensors", "m.safetensors", {"m.safetensors": plain}, verified=False),
        Sample("sharded safetensors", "m.safetensors.index.json", sharded, verified=False),
    ]


def _any_change(random: Random, content: bytes) -> bytes:
    """Return the content with one to three changes, wherever they fall."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _CHANGES[random.randrange(len(_CHANGES))](random, changed)
    return bytes(changed)


def _flip(random: Random, content: bytearray) -> None:
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def _overwrite(random: Random, content: bytearray) -> None:
    if content:
        content[random.randrange(len(content))] = random.choice(ODD)


def _overwrite_number(random: Random, content: bytearray) -> None:
    """Put an odd number of 4 or 8 bytes, or a long varint, somewhere."""
    numbers = (
        struct.pack("<Q", random.choice((0, 1, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1))),
        struct.pack("<I", random.choice((0, 1, 1 << 31, (1 << 32) - 1))),
        b"\xff" * random.choice((4, 9, 10)) + b"\x01",
    )
    start = random.randrange(len(content) + 1)
    number = random.choice(numbers)
    content[start : start + len(number)] = number


def _insert(random: Random, content: bytearray) -> None:
    start = random.randrange(len(content) + 1)
    content[start:start] = random.randbytes(random.choice((1, 2, 8, 100)))


def _delete(random: Random, content: bytearray) -> None:
    start = random.randrange(len(content) + 1)
    del content[start : start + random.choice((1, 2, 8, 100))]


def _repeat(random: Random, content: bytearray) -> None:
    start, end = sorted(random.randrange(len(content) + 1) for _ in range(2))
    place = random.randrange(len(content) + 1)
    content[place:place] = content[start : min(end, start + 1_000)]


def _truncate(random: Random, content: bytearray) -> None:
    del content[random.randrange(len(content) + 1) :]


def _swap(random: Random, content: bytearray) -> None:
    a, b = (random.randrange(len(content) + 1) for _ in range(2))
    length = random.choice((1, 4, 16))
    content[a : a + length], content[b : b + length] = (
        content[b : b + length],
        content[a : a + length],
    )


_CHANGES: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip, _flip, _overwrite, _overwrite_number, _insert, _delete, _repeat, _truncate, _swap,
)  # fmt: skip


def _below_index(random: Random, sample: Sample, name: str) -> Sample | None:
    """Change entries of an index, or its object graph, and make all checksums right again."""
    rows = list(read_table(memoryview(sample.files[name]), name))
    graph = next((i for i, (key, _) in enumerate(rows) if key == GRAPH_KEY), None)
    if graph is not None and random.random() < 0.5:
        return _below_graph(random, sample, name, rows, graph)
    return sample.with_file(name, _table(_changed_rows(random, rows)))


def _below_graph(
    random: Random, sample: Sample, name: str, rows: list[tuple[bytes, bytes]], at: int
) -> Sample:
    """Change the object graph, put it at the end of its data file, and let its entry say so."""
    entry = parse("BundleEntry", rows[at][1], name, "entry")
    data_name = next(n for n in sample.files if f".data-{entry.shard_id:05d}-of-" in n)
    data = sample.files[data_name]
    stored = data[entry.offset : entry.offset + entry.size]
    graph = _any_change(random, stored[_varint_length(stored) + 4 :])
    length = struct.pack("<I", len(graph))
    check = struct.pack("<I", mask(crc(length)))
    text = _varint(len(graph)) + check + graph
    entry.offset, entry.size = len(data), len(text)
    entry.crc32c = mask(crc(graph, crc(check, crc(length))))
    rows[at] = rows[at][0], entry.SerializeToString()
    return sample.with_file(name, _table(rows)).with_file(data_name, data + text)


def _below_data(random: Random, sample: Sample, name: str) -> Sample | None:
    """Change the data of one tensor, and make its checksum right again if it has one of its own."""
    index = next(n for n in sample.files if n.endswith(".index"))
    rows = list(read_table(memoryview(sample.files[index]), index))
    shard = int(name.rpartition(".data-")[2][:5])
    at = random.randrange(1, len(rows)) if len(rows) > 1 else 0
    entry = parse("BundleEntry", rows[at][1], index, "entry")
    if not at or entry.shard_id != shard or not entry.size:
        return None
    data = bytearray(sample.files[name])
    part = bytearray(data[entry.offset : entry.offset + entry.size])
    (_flip if random.random() < 0.5 else _overwrite)(random, part)
    data[entry.offset : entry.offset + entry.size] = part
    entry.crc32c = mask(crc(bytes(part)))
    rows[at] = rows[at][0], entry.SerializeToString()
    return sample.with_file(name, bytes(data)).with_file(index, _table(rows))


def _below_table_file(random: Random, sample: Sample, name: str) -> Sample | None:
    """Change entries of a file of version 1, whose blocks have the only checksums."""
    rows = list(read_table(memoryview(sample.files[name]), name))
    return sample.with_file(name, _table(_changed_rows(random, rows)))


def _changed_rows(random: Random, rows: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the rows with a value, a key or a row changed."""
    at = random.randrange(len(rows))
    key, value = rows[at]
    kind = random.randrange(6)
    if kind == 0:
        key = _any_change(random, key)
    elif kind == 1:
        value = rows[random.randrange(len(rows))][1]
    if kind >= 2:
        value = _any_change(random, value)
    table = dict(rows)
    table[key] = value
    if random.random() < 0.1:
        del table[key]
    return sorted(table.items())


def _below_safetensors(random: Random, sample: Sample, name: str) -> Sample | None:
    """Change the header and keep its length right, so that the data stay where they are."""
    content = sample.files[name]
    (length,) = struct.unpack_from("<Q", content)
    header = _any_change(random, content[8 : 8 + length])
    return sample.with_file(name, struct.pack("<Q", len(header)) + header + content[8 + length :])


def _is_table(content: bytes) -> bool:
    return content.endswith(bytes.fromhex("57fb808b247547db"))


def _table(rows: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(encode_table(rows))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _varint_length(data: bytes) -> int:
    return next(i for i, byte in enumerate(data) if byte < 0x80) + 1


_Below = Callable[[Random, Sample, str], "Sample | None"]
_BELOW: dict[str, _Below] = {
    ".index": _below_index,
    ".safetensors": _below_safetensors,
    **{
        f".data-{shard:05d}-of-{count:05d}": _below_data
        for count in range(1, 5)
        for shard in range(count)
    },
}
