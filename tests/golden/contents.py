"""What the golden checkpoints hold, and how they were written.

Golden files are only ever added: a change that would have to edit one is a new format version.
To write those of the current version: `python -m tests.golden.contents DIRECTORY`.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt

from checkpointable.bundle.commit import begin
from checkpointable.bundle.writer import write_bundle
from checkpointable.format.index import decode_index
from checkpointable.format.records import Blob, Snapshot
from checkpointable.format.strings import encode_strings
from checkpointable.format.values import encode_value
from checkpointable.graph.named import divided, named_snapshot
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LocalStorage
from tests.bundle.checkpoints import snapshot
from tests.format.indexes import sample, seal

_NUMBERS: Final = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
#: Those of `ml_dtypes` that version 1 began with.
_EXTENSIONS: Final = (
    *("bfloat16", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn"),
    *("float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "int4", "uint4"),
)

#: Arrays of every dtype.
ARRAYS: Final[Mapping[str, npt.NDArray[Any]]] = {
    **{name: np.arange(5).astype(name) for name in _NUMBERS},
    **{name: np.arange(4).astype(getattr(ml_dtypes, name)) for name in _EXTENSIONS},
    "bool": np.array([[True], [False]]),
    "datetime64[D]": np.array(["2020-02-29", "NaT"], dtype="M8[D]"),
    "timedelta64[25s]": np.arange(3).astype("m8[25s]"),
    "S3": np.array([b"a", b"\0bc"]),
    "U2": np.array(["ä", "\U0001f600b"]),
    "0-d": np.array(1.5),
    "0-size": np.zeros((2, 0, 3)),
    "large": np.arange(40_000, dtype=np.uint16).reshape(200, 200),
}
STRINGS: Final = np.array([["text", b"bytes"], ["", "\ud800"]], dtype=object)
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 2**70, -(2**70), 0.1, float("-inf"), 1 - 2j, "ä", "\ud800", b"\0"),
    [1, [2, ()], {"a": {3}, 4: frozenset(), (5, 6): None}],
    datetime.datetime(2020, 2, 29, 1, 2, 3, 4),
    datetime.datetime(2020, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "here")),
    datetime.datetime(2020, 2, 29, fold=1, tzinfo=datetime.UTC),
    datetime.date(2020, 2, 29),
    datetime.timedelta(days=-1, microseconds=5),
    PurePosixPath("a/b"),
    [np.float32(0.5), np.str_("a"), np.bytes_(b"b"), np.datetime64("2020-02-29")],
)
METADATA: Final = {"run": 7, "tags": ["a", None], "rate": 0.125}


def of_dtypes() -> Snapshot:
    """Return a snapshot of tensors of every dtype and values of every type."""
    large = Blob("python", (), encode_value(list(range(5000))))
    tensors = [*ARRAYS.values(), encode_strings(STRINGS), large, Blob("bytes", (), b"state")]
    return snapshot(tensors, [encode_value(value) for value in VALUES], METADATA)


def of_graph() -> Snapshot:
    """Return a snapshot of nodes of every kind: the sample of `tests/format/indexes.py`."""
    index = decode_index(seal(sample()), "sample")
    tensors = [
        np.arange(20, dtype=np.float32),
        Blob("bytes", (), b"state"),
        np.arange(6.0).reshape(2, 3),
        np.array(5, dtype=np.int8),
        Blob("python", (), encode_value("x" * 7)),
        np.zeros((0, 2), dtype=np.float32),
    ]
    return Snapshot(index.graph, tensors, index.inline, {})


def of_names() -> Snapshot:
    """Return a snapshot of a name-based checkpoint, one array of it in slices."""
    whole = np.arange(24.0).reshape(4, 6)
    slices = [((0, 0), whole[:3]), ((3, 0), whole[3:, :2]), ((3, 2), whole[3:, 2:])]
    arrays = {"layer/w": ARRAYS["large"], "step": np.array(3), "texts": STRINGS}
    return named_snapshot({**arrays, "parts": divided("parts", (4, 6), slices)}, METADATA)


#: Name, content and options of each golden checkpoint.
CHECKPOINTS: Final = {
    "dtypes": (of_dtypes, SaveOptions(max_shard_bytes=100_000)),
    "dtypes-in-one-file": (of_dtypes, SaveOptions(single_file=True)),
    "graph": (of_graph, SaveOptions()),
    "names": (of_names, SaveOptions()),
}


def write_golden(directory: str) -> None:
    """Write all golden checkpoints into a directory."""
    for name, (content, options) in CHECKPOINTS.items():
        with begin(LocalStorage(), f"{directory}/{name}", options, numbered=False) as commit:
            write_bundle(commit, content(), options)


if __name__ == "__main__":
    write_golden(sys.argv[1])
