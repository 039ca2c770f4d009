"""The index of a checkpoint: records to bytes and back (docs/format.md, sections 3 to 8).

`encode_index` gives equal bytes for equal records. `decode_index` accepts nothing but what the
rules allow, in memory and time bounded by the length of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import attrs
import numpy as np
import xxhash

from checkpointable.errors import NotCheckpointableError, UnsupportedFormatError
from checkpointable.format import graph_rules, tensor_rules
from checkpointable.format.frame import (
    MAGIC,
    Record,
    corrupt,
    decode_record,
    digest,
    encode_frame,
    encode_record,
    read_frames,
)
from checkpointable.format.limits import (
    COLUMN_PIECE,
    FORMAT_VERSION,
    LONGEST_INDEX,
    LONGEST_INLINE,
    LONGEST_LIBRARY,
    LONGEST_METADATA,
    LONGEST_NAME,
    MINIMUM_READER,
)
from checkpointable.format.records import NOTHING, Column, ObjectGraph
from checkpointable.format.tables import Placement, ShardTable, TensorTable, edges_of
from checkpointable.version import VERSION

_HEADER: Final = 0
_COLUMN: Final = 1
_END: Final = 2

#: The counts of the header, in their order (F-9).
_COUNTS: Final = (
    *("names", "name_bytes", "nodes", "edges", "attributes", "slots", "dtypes", "dtype_bytes"),
    *("tensors", "dims", "extents", "extent_dims", "inline", "inline_bytes", "metadata"),
    *("shards", "chunks"),
)


@attrs.frozen
class _ColumnRule:
    """A row of the table in F-11: the column's name, the width of an element, how many."""

    name: str
    dtype: str
    count: str
    per: int = 1

    def length(self, counts: dict[str, int]) -> int:
        return counts[self.count] * self.per * np.dtype(self.dtype).itemsize


_COLUMNS: Final = (
    _ColumnRule("name_lengths", "<u2", "names"),
    _ColumnRule("name_bytes", "u1", "name_bytes"),
    _ColumnRule("kinds", "u1", "nodes"),
    _ColumnRule("labels", "<u4", "nodes"),
    _ColumnRule("child_counts", "<u4", "nodes"),
    _ColumnRule("attribute_counts", "<u4", "nodes"),
    _ColumnRule("child_nodes", "<u4", "edges"),
    _ColumnRule("child_names", "<u4", "edges"),
    _ColumnRule("key_kinds", "u1", "edges"),
    _ColumnRule("attribute_names", "<u4", "attributes"),
    _ColumnRule("attribute_kinds", "u1", "attributes"),
    _ColumnRule("attribute_values", "<u4", "attributes"),
    _ColumnRule("attribute_full_names", "<u4", "attributes"),
    _ColumnRule("slots", "<u4", "slots", 4),
    _ColumnRule("dtype_lengths", "u1", "dtypes"),
    _ColumnRule("dtype_bytes", "u1", "dtype_bytes"),
    _ColumnRule("dtype_numbers", "<u4", "tensors"),
    _ColumnRule("ranks", "u1", "tensors"),
    _ColumnRule("dims", "<u8", "dims"),
    _ColumnRule("extent_counts", "<u4", "tensors"),
    _ColumnRule("extent_shards", "<u4", "extents"),
    _ColumnRule("extent_offsets", "<u8", "extents"),
    _ColumnRule("extent_lengths", "<u8", "extents"),
    _ColumnRule("extent_starts", "<u8", "extent_dims"),
    _ColumnRule("extent_shapes", "<u8", "extent_dims"),
    _ColumnRule("inline_lengths", "<u2", "inline"),
    _ColumnRule("inline_bytes", "u1", "inline_bytes"),
    _ColumnRule("metadata", "u1", "metadata"),
    _ColumnRule("tokens", "<u8", "shards"),
    _ColumnRule("chunk_counts", "<u4", "shards"),
    _ColumnRule("chunk_lengths", "<u4", "chunks"),
    _ColumnRule("chunk_digests", "u1", "chunks", 16),
)
_GRAPH_COLUMNS: Final = [rule.name for rule in _COLUMNS[2:14]]


@attrs.frozen(eq=False)
class Index:
    """Everything that an index says.

    Attributes:
        graph: nodes, edges and attributes.
        tensors: dtypes, shapes and places.
        shards: tokens and checksums.
        inline: encoded Python values.
        metadata: the user's metadata, encoded.
        library: the version of the library that wrote it.
    """

    graph: ObjectGraph
    tensors: TensorTable
    shards: ShardTable
    inline: Sequence[bytes]
    metadata: bytes
    library: str = VERSION

    @property
    def tokens(self) -> Sequence[str]:
        """The tokens of the shards."""
        return self.shards.tokens


def encode_index(index: Index) -> list[bytes]:
    """Return the bytes of an index, in pieces.

    Raises:
        NotCheckpointableError: something is beyond a limit of the format.
    """
    contents = _contents(index)
    counts = _counts(index, contents)
    header = [_HEADER, FORMAT_VERSION, MINIMUM_READER, index.library, *counts.values()]
    frames = [encode_frame(encode_record(header), 0)]
    for number, rule in enumerate(_COLUMNS):
        data = np.ascontiguousarray(contents[rule.name], dtype=rule.dtype).data.cast("B")
        for start in range(0, len(data), COLUMN_PIECE):
            piece = encode_record([_COLUMN, number, data[start : start + COLUMN_PIECE]])
            frames.append(encode_frame(piece, len(frames)))
    digests = digest(b"".join(frame[:16] for frame in frames))
    end = encode_record([_END, len(frames) + 1, digests])
    return [MAGIC, *frames, encode_frame(end, len(frames))]


def decode_index(
    data: bytes | memoryview, file: str, placement: Placement = Placement.ALIGNED
) -> Index:
    """Return what an index says, every rule of it checked.

    Args:
        data: the whole index.
        file: its name, for messages.
        placement: how the extents of its shards must follow one another.

    Raises:
        CorruptCheckpointError: it breaks a rule of the format.
        UnsupportedFormatError: it is of a newer format than this library reads.
    """
    if len(data) > LONGEST_INDEX:
        raise corrupt(file, "F-5", "the index is too long", expected=LONGEST_INDEX, found=len(data))
    library, columns = _read_columns(memoryview(data), file)
    names = graph_rules.read_names(columns, file)
    graph = ObjectGraph(names=names, **{name: columns[name] for name in _GRAPH_COLUMNS})
    tensors = TensorTable(
        dtypes=tensor_rules.read_dtypes(columns, file),
        **{a.name: columns[a.name] for a in attrs.fields(TensorTable)[1:]},
    )
    shards = ShardTable(
        tokens=[f"{token:016x}" for token in columns["tokens"].tolist()],
        chunk_counts=columns["chunk_counts"],
        chunk_lengths=columns["chunk_lengths"],
        chunk_digests=columns["chunk_digests"].tobytes(),
    )
    tensor_rules.check_shards(shards, file)
    tensor_rules.check_tensors(tensors, shards, file, placement)
    inline = _read_inline(columns, file)
    graph_rules.check_graph(graph, columns["name_lengths"], file)
    graph_rules.check_values(graph, tensors, len(inline), file)
    return Index(graph, tensors, shards, inline, columns["metadata"].tobytes(), library)


def _contents(index: Index) -> dict[str, Any]:
    """Return the content of every column."""
    names = [_encode_name(name) for name in index.graph.names]
    dtypes = [name.encode("ascii") for name in index.tensors.dtypes]
    return {
        "name_lengths": [len(name) for name in names],
        "name_bytes": np.frombuffer(b"".join(names), np.uint8),
        **{name: getattr(index.graph, name) for name in _GRAPH_COLUMNS},
        "dtype_lengths": [len(name) for name in dtypes],
        "dtype_bytes": np.frombuffer(b"".join(dtypes), np.uint8),
        **attrs.asdict(index.tensors, recurse=False),
        "inline_lengths": [len(value) for value in index.inline],
        "inline_bytes": np.frombuffer(b"".join(index.inline), np.uint8),
        "metadata": np.frombuffer(index.metadata, np.uint8),
        "tokens": [int(token, 16) for token in index.shards.tokens],
        "chunk_counts": index.shards.chunk_counts,
        "chunk_lengths": index.shards.chunk_lengths,
        "chunk_digests": np.frombuffer(index.shards.chunk_digests, np.uint8),
    }


def _encode_name(name: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise NotCheckpointableError(
            f"the name {name[:40]!r} is not valid Unicode text (it holds half of a surrogate"
            " pair). Rename it."
        ) from None
    if len(encoded) > LONGEST_NAME:
        raise NotCheckpointableError(
            f"a name is {len(encoded):,} bytes long ({name[:40]!r} ...), the longest allowed is"
            f" {LONGEST_NAME:,}. Use a shorter name."
        )
    return encoded


def _counts(index: Index, contents: dict[str, Any]) -> dict[str, int]:
    """Return the counts of the header."""
    counts: dict[str, int] = {}
    for rule in _COLUMNS:
        counts.setdefault(rule.count, len(contents[rule.name]) // rule.per)
    ordered = {name: counts[name] for name in _COUNTS}
    if max(ordered.values()) >= NOTHING or counts["metadata"] > LONGEST_METADATA:
        raise NotCheckpointableError(
            "the checkpoint is too large for its index: at most 4,294,967,294 things of a kind and"
            f" 16 MiB of metadata are allowed, found {ordered}. Save less, or in two checkpoints."
        )
    return ordered


def _read_columns(data: memoryview, file: str) -> tuple[str, dict[str, Column]]:
    """Return the version of the writing library and the columns, by name."""
    frames = read_frames(data, file)
    first, payload = next(frames, (b"", memoryview(b"")))
    if not first:
        raise corrupt(file, "F-8", "the index has no header")
    header = decode_record(payload, file, 0)
    library, counts, newer = _read_header(header, file)
    pieces: dict[int, list[bytes]] = {number: [] for number in range(len(_COLUMNS))}
    expected, digests, ended = _expected_pieces(counts), xxhash.xxh3_128(first), False
    for ordinal, (frame_digest, payload) in enumerate(frames, start=1):
        if ended:
            raise corrupt(file, "F-8", f"frame {ordinal} stands after the end")
        record = decode_record(payload, file, ordinal)
        if record[0] == _END:
            _check_end(record, ordinal, digests.digest(), newer, file)
            ended = True
        elif record[0] == _COLUMN:
            _take_piece(record, expected, pieces, newer, file)
        elif not newer:
            raise corrupt(file, "F-8", f"frame {ordinal} is of unknown type", found=record[0])
        digests.update(frame_digest)
    if not ended:
        raise corrupt(file, "F-13", "the index is cut short")
    for missing, _ in expected:
        raise corrupt(file, "F-12", f"column {missing} is incomplete")
    columns = {
        rule.name: np.frombuffer(b"".join(pieces.pop(number)), rule.dtype)
        for number, rule in enumerate(_COLUMNS)
    }
    return library, columns


def _read_header(header: Record, file: str) -> tuple[str, dict[str, int], bool]:
    """Return the library's version, the counts, and whether the file is of a newer version."""
    types = [type(item) for item in header[:4]]
    if header[0] != _HEADER or types != [int, int, int, str]:
        raise corrupt(file, "F-8", "the first record is no header")
    _, version, minimum, library = header[:4]
    if minimum > FORMAT_VERSION:
        raise UnsupportedFormatError(
            f"{file}: the file is of format version {version}, expected at most {FORMAT_VERSION}."
            f" checkpointable {library[:64]} wrote it; install that version or a newer one."
        )
    newer = version > FORMAT_VERSION
    if not 1 <= minimum <= version:
        raise corrupt(file, "F-10", "the versions are wrong", found=[version, minimum])
    values = header[4 : 4 + len(_COUNTS)]
    if (len(header) > 4 + len(_COUNTS) and not newer) or len(values) < len(_COUNTS):
        raise corrupt(file, "F-9", "the header has another length", expected=21, found=len(header))
    if len(library.encode()) > LONGEST_LIBRARY:
        raise corrupt(file, "F-9", "the library's version is too long")
    if not all(type(value) is int and 0 <= value < NOTHING for value in values):
        raise corrupt(file, "F-9", "a count is out of range", expected="0 to 2^32 - 2")
    counts = dict(zip(_COUNTS, values, strict=True))
    if not counts["nodes"]:
        raise corrupt(file, "F-9", "there is no node", expected="at least 1", found=0)
    return library, counts, newer


def _expected_pieces(counts: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Yield the number of the column and the length of each piece, in their order (F-12)."""
    for number, rule in enumerate(_COLUMNS):
        length = rule.length(counts)
        for start in range(0, length, COLUMN_PIECE):
            yield number, min(COLUMN_PIECE, length - start)


def _take_piece(
    record: Record,
    expected: Iterator[tuple[int, int]],
    pieces: dict[int, list[bytes]],
    newer: bool,
    file: str,
) -> None:
    """Add the piece in a record to its column."""
    well_formed = len(record) == 3 or (newer and len(record) > 3)
    if not well_formed or type(record[1]) is not int or type(record[2]) is not bytes:
        raise corrupt(file, "F-12", "a record is no piece of a column")
    number, piece = record[1:3]
    if newer and number >= len(_COLUMNS):
        return
    wanted = next(expected, None)
    if wanted != (number, len(piece)):
        raise corrupt(
            file,
            "F-12",
            "a piece of a column is out of place",
            expected=f"{wanted[1]} bytes of column {wanted[0]}" if wanted else "the end",
            found=f"{len(piece)} bytes of column {number}",
        )
    pieces[number].append(piece)


def _check_end(record: Record, ordinal: int, digests: bytes, newer: bool, file: str) -> None:
    well_formed = len(record) == 3 or (newer and len(record) > 3)
    if not well_formed or record[1] != ordinal + 1 or record[2] != digests:
        raise corrupt(
            file,
            "F-13",
            "the end does not fit the frames before it",
            expected=[_END, ordinal + 1, digests.hex()],
            found=[item.hex() if isinstance(item, bytes) else item for item in record],
        )


def _read_inline(columns: dict[str, Column], file: str) -> list[bytes]:
    """Return the encoded inline values (F-34, F-35)."""
    lengths, data = columns["inline_lengths"], columns["inline_bytes"].tobytes()
    if int(lengths.sum(dtype=np.uint64)) != len(data):
        raise corrupt(
            file,
            "F-34",
            "the lengths of the inline values do not sum up",
            expected=len(data),
            found=int(lengths.sum(dtype=np.uint64)),
        )
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= LONGEST_INLINE:
        raise corrupt(
            file,
            "F-34",
            "an inline value has a wrong length",
            expected=f"1 to {LONGEST_INLINE} bytes",
            found=f"{int(lengths.min())} to {int(lengths.max())}",
        )
    if len(columns["metadata"]) > LONGEST_METADATA:
        raise corrupt(
            file,
            "F-35",
            "the metadata are too long",
            expected=f"at most {LONGEST_METADATA} bytes",
            found=len(columns["metadata"]),
        )
    return [data[start:end] for start, end in pairwise(edges_of(lengths).tolist())]
