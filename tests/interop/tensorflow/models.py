"""What a bundle would make of the tensors of a graph that was written down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from checkpointable.format.dtypes import STRING, dtype_name
from checkpointable.format.records import Blob, TensorInfo
from checkpointable.format.strings import encode_strings
from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.graph import GRAPH_KEY
from checkpointable.interop.tensorflow.graph_message import GraphMessage
from checkpointable.interop.tensorflow.messages import message
from checkpointable.interop.tensorflow.string_data import string_data
from checkpointable.interop.tensorflow.table_writer import encode_table


def stored_numbers(written: GraphMessage) -> tuple[dict[str, int], list[TensorInfo]]:
    """Return the numbers of tensors in the order of their keys, and what they are."""
    ordered = sorted(written.tensors, key=lambda tensor: tensor.key.encode())
    infos = []
    for tensor in (keyed.tensor for keyed in ordered):
        dtype = STRING if isinstance(tensor, Blob) else dtype_name(tensor.dtype)
        infos.append(TensorInfo(dtype, tuple(tensor.shape)))
    return {keyed.key: i for i, keyed in enumerate(ordered)}, infos


def write_message(path: str, graph: Any, tensors: Mapping[str, Any]) -> None:
    """Write a bundle with this graph message, if any, and arrays of float32 and of bytes."""
    stored = dict(tensors)
    if graph is not None:
        stored[GRAPH_KEY] = np.array(graph.SerializeToString(), object)
    data, rows = b"", {b"": b"\x08\x01\x1a\x02\x08\x01"}
    for key, array in stored.items():
        if array.dtype == object:
            strings = string_data(encode_strings(array))
            content = strings.head + bytes(strings.strings)
            checksum = crc(strings.strings, strings.start)
        else:
            content = array.tobytes()
            checksum = crc(content)
        entry = message("BundleEntry")(
            dtype=7 if array.dtype == object else 1,
            offset=len(data),
            size=len(content),
            crc32c=mask(checksum),
        )
        for size in array.shape:
            entry.shape.dim.add(size=size)
        rows[key.encode()] = entry.SerializeToString()
        data += content
    Path(f"{path}.data-00000-of-00001").write_bytes(data)
    Path(f"{path}.index").write_bytes(b"".join(encode_table(sorted(rows.items()))))
