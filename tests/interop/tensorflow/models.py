"""What a bundle would make of the tensors of a graph that was written down."""

from checkpointable.format.dtypes import STRING, dtype_name
from checkpointable.format.records import Blob, TensorInfo
from checkpointable.interop.tensorflow.graph_message import GraphMessage


def stored_numbers(written: GraphMessage) -> tuple[dict[str, int], list[TensorInfo]]:
    """Return the numbers of tensors in the order of their keys, and what they are."""
    ordered = sorted(written.tensors, key=lambda tensor: tensor.key.encode())
    infos = []
    for tensor in (keyed.tensor for keyed in ordered):
        dtype = STRING if isinstance(tensor, Blob) else dtype_name(tensor.dtype)
        infos.append(TensorInfo(dtype, tuple(tensor.shape)))
    return {keyed.key: i for i, keyed in enumerate(ordered)}, infos
