"""What a header must say of the tensors, given the index that stands in it (ST-9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from checkpointable.format.dtypes import UNSIZED
from checkpointable.format.frame import corrupt
from checkpointable.format.index import Index
from checkpointable.format.tables import edges_of
from checkpointable.interop.safetensors.dtypes import OPAQUE
from checkpointable.interop.safetensors.header import Header, TensorEntries


def described(index: Index, names: Sequence[str]) -> TensorEntries:
    """Return what a header says of the tensors of an index, in the order of their numbers.

    A value without a dtype of fixed item size is an array of its bytes.
    """
    tensors = index.tensors
    firsts = edges_of(tensors.extent_counts)[:-1]
    has_bytes = tensors.extent_counts > 0
    begins = np.zeros(len(tensors), dtype=np.int64)
    ends = np.zeros(len(tensors), dtype=np.int64)
    begins[has_bytes] = tensors.extent_offsets[firsts[has_bytes]]
    ends[has_bytes] = begins[has_bytes] + tensors.extent_lengths[firsts[has_bytes]].astype(np.int64)
    dtypes, shapes = [], []
    for info, begin, end in zip(tensors.infos, begins.tolist(), ends.tolist(), strict=True):
        is_opaque = info.dtype in UNSIZED
        dtypes.append(OPAQUE if is_opaque else info.dtype)
        shapes.append((end - begin,) if is_opaque else info.shape)
    return TensorEntries(names, dtypes, shapes, begins.tolist(), ends.tolist())


def check_agreement(index: Index, header: Header) -> None:
    """Check that header and index describe the same tensors at the same places.

    Raises:
        CorruptCheckpointError: they do not.
    """
    file = header.file
    if (index.tensors.extent_counts > 1).any():
        raise corrupt(file, "ST-9", "a tensor lies in several pieces")
    if len(index.shards) > 1 or int(index.shards.lengths.sum()) != header.data_length:
        raise corrupt(
            file,
            "ST-9",
            "the data are not as long as the index says",
            expected=int(index.shards.lengths.sum()),
            found=header.data_length,
        )
    found = header.tensors
    wanted = described(index, found.names) if len(found.names) == len(index.tensors) else None
    if (
        wanted is None
        or wanted.dtypes != found.dtypes
        or wanted.shapes != found.shapes
        or wanted.begins != found.begins
        or wanted.ends != found.ends
    ):
        raise corrupt(file, "ST-9", "header and index do not describe the same tensors")
