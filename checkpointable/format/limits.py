"""The limits of the native format, version 1 (docs/format.md, the last section)."""

from __future__ import annotations

from typing import Final

#: The version that this library writes, and the highest that it understands (F-10).
FORMAT_VERSION: Final = 1
#: The lowest version of a reader that may read what this library writes.
MINIMUM_READER: Final = 1

#: The length of an index, in bytes (F-5).
LONGEST_INDEX: Final = 2**31 - 1
#: The payload of a frame, in bytes (F-6).
LONGEST_PAYLOAD: Final = 64 * 1024
#: How many bytes of a column one record holds (F-12).
COLUMN_PIECE: Final = 65_520
#: The version text of the writing library, in bytes (F-9).
LONGEST_LIBRARY: Final = 64

#: A string of the graph, in bytes (F-11).
LONGEST_NAME: Final = 65_535

#: The number of dimensions of a tensor (F-26).
MOST_DIMENSIONS: Final = 32
#: A tensor has fewer bytes than this (F-26).
TENSOR_BYTES: Final = 2**63
#: Pairs of boxes that are compared to see that no two overlap (F-28).
MOST_BOX_PAIRS: Final = 2**24

#: The alignment of extents of at least so many bytes (F-29).
ALIGNMENT: Final = 64
#: The longest chunk, in bytes (F-31).
CHUNK: Final = 256 * 1024
#: Extents from this length on begin and end at the edge of a chunk (F-31).
OWN_CHUNKS: Final = 64 * 1024
#: Shards of a checkpoint: five digits count them (F-2).
MOST_SHARDS: Final = 99_999

#: The longest encoded value that stands in the index, in bytes (F-34).
LONGEST_INLINE: Final = 4096
#: The longest encoded metadata, in bytes (F-35).
LONGEST_METADATA: Final = 16 * 2**20
#: How deep the keys of dicts and the members of sets may nest (F-40).
DEEPEST_KEY: Final = 32
#: Keys of one dict, or members of one set, with one hash (F-40).
MOST_EQUAL_HASHES: Final = 64

#: The length of a record file, binary or text, in bytes (F-44, F-46).
LONGEST_RECORD: Final = 2 * LONGEST_METADATA
#: The version of record files that this library writes, and the highest that it reads (F-44).
RECORD_VERSION: Final = 1
#: How deep lists and objects nest in a record in text (F-46).
DEEPEST_TEXT: Final = 16
