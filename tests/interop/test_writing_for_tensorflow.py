"""What is written for TensorFlow is what TensorFlow writes, byte for byte, and it reads it all."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import checkpointable as ckpt
from checkpointable.bundle.commit import begin
from checkpointable.graph.named import named_snapshot
from checkpointable.interop.tensorflow.table import read_table
from checkpointable.interop.tensorflow.table_writer import encode_table
from checkpointable.interop.writing import write_checkpoint
from checkpointable.storage.local import LOCAL

pytestmark = pytest.mark.interop

Array = npt.NDArray[Any]

NUMBERS = (
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
EXTENSIONS = (
    *("bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz"),
    *("float8_e5m2fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
)


def strings(*items: str | bytes) -> Array:
    """Return an array of dtype object."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def values(dtype: str) -> dict[str, Array]:
    """Return arrays of a dtype: of several shapes, and however they may lie in memory."""
    kind = np.dtype(getattr(ml_dtypes, dtype) if dtype in EXTENSIONS else dtype)
    small = np.array([[0, 1, 1], [1, 0, 1]]).astype(kind)
    large = np.resize(small, (400, 300))
    return {
        "small": small,
        "scalar": np.array(small[0, 1]),
        "empty": np.zeros((0, 3), kind),
        "transposed": large.T,
        "strided": large[::-2, ::3],
        "dimensions": np.ones((1,) * 30, kind),
    }


def save(path: Path, arrays: dict[str, Array], **fields: Any) -> str:
    """Write a name-based checkpoint and return its prefix."""
    options = ckpt.SaveOptions(format="tensorflow", durable=False, **fields)
    with begin(LOCAL, str(path / "ours"), options, numbered=False) as commit:
        write_checkpoint(commit, named_snapshot(arrays), options)
    return commit.prefix


def files(path: Path, prefix: str) -> list[bytes]:
    """Return the index and the data files of a checkpoint."""
    found = [path / f"{prefix}.index", *sorted(path.glob(f"{prefix}.data-*"))]
    return [file.read_bytes() for file in found]


@pytest.mark.parametrize("dtype", [*NUMBERS, *EXTENSIONS])
def test_every_dtype_is_written_as_tensorflow_writes_it(
    tf: Any, tmp_path: Path, dtype: str
) -> None:
    """Index and data are those of TensorFlow's own SaveV2, and its reader gives every array."""
    arrays = {name: value for name, value in values(dtype).items() if value.ndim < 30}
    native = [tf.constant(value.copy("C")) for value in arrays.values()]
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs"),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=native,
    )
    save(tmp_path, arrays)

    assert files(tmp_path, "theirs") == files(tmp_path, "ours")


@pytest.mark.parametrize("dtype", [*NUMBERS, *EXTENSIONS])
def test_every_dtype_is_read_by_tensorflow(tf: Any, tmp_path: Path, dtype: str) -> None:
    """`tf.train.load_checkpoint` lists and reads arrays of all shapes, up to 30 dimensions."""
    arrays = values(dtype)
    reader = tf.train.load_checkpoint(save(tmp_path, arrays, max_shard_bytes=1000))
    shapes = {name: list(value.shape) for name, value in arrays.items()}

    assert shapes == reader.get_variable_to_shape_map()
    for name, value in arrays.items():
        read = np.asarray(reader.get_tensor(name))
        assert (value.dtype, value.tobytes()) == (read.dtype, read.tobytes())


def test_strings_are_written_as_tensorflow_writes_them(tf: Any, tmp_path: Path) -> None:
    """Bytes of any length, NULs and none at all give the files of SaveV2."""
    arrays = {
        "a": strings(b"", b"\0", b"x" * 127, b"x" * 128, b"x" * 20_000, b"\xff\0"),
        "b": strings().reshape(0, 2),
        "c": strings(b"y" * 2_000_000).reshape(()),
    }
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs"),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(value, tf.string) for value in arrays.values()],
    )
    save(tmp_path, arrays)

    assert files(tmp_path, "theirs") == files(tmp_path, "ours")


NAMES = ["a/b:0", "ä", " ", "a\nb", "\0", "nul\0inside", "x" * 4000, "_CHECKPOINTABLE_", "%s"]


def test_any_name_is_read_by_tensorflow(tf: Any, tmp_path: Path) -> None:
    """Names of odd characters are listed and read."""
    arrays = {name: np.full(2, i) for i, name in enumerate(NAMES)}
    reader = tf.train.load_checkpoint(save(tmp_path, arrays))

    assert {*NAMES} == {*reader.get_variable_to_shape_map()}
    assert [*range(len(NAMES))] == [int(reader.get_tensor(name)[0]) for name in NAMES]


@pytest.mark.parametrize(
    "sizes", [[262_100, 5, 262_110], [600_000, 3], [5, 524_288, 7], [130_000] * 9]
)
def test_tables_of_any_block_sizes_are_written_as_tensorflow_writes_them(
    tf: Any, tmp_path: Path, sizes: list[int]
) -> None:
    """T-2: the rows of a file of version 1, whose values are tensors, give that very file again."""
    tf.raw_ops.Save(
        filename=str(tmp_path / "one"),
        tensor_names=[f"name/{i}" for i in range(len(sizes))],
        data=[tf.zeros(size, tf.int8) for size in sizes],
    )
    data = (tmp_path / "one").read_bytes()

    assert data == b"".join(encode_table(read_table(memoryview(data), "one")))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool", "complex128", "uint4"])
def test_slices_are_written_as_tensorflow_writes_them(tf: Any, tmp_path: Path, dtype: str) -> None:
    """T-10, T-11: a tensor in slices gives the files of SaveV2, and is read as one."""
    kind = np.dtype(getattr(ml_dtypes, dtype) if dtype in EXTENSIONS else dtype)
    whole = (np.arange(1400).reshape(200, 7) % 2).astype(kind)
    starts = (0, 67, 134, 200)
    rows = [slice(*pair) for pair in pairwise(starts)]
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs"),
        tensor_names=["layer/p"] * 3,
        shape_and_slices=[f"200 7 {r.start},{r.stop - r.start}:0,7" for r in rows],
        tensors=[tf.constant(whole[r]) for r in rows],
    )
    parts = ckpt.partitioned_variables((200, 7), (3, 1), whole, kind, name="layer/p")
    options = ckpt.SaveOptions(format="tensorflow")
    ckpt.Saver(parts, options=options).save(None, tmp_path / "ours", write_state=False)
    restored = tf.raw_ops.RestoreV2(
        prefix=str(tmp_path / "ours"),
        tensor_names=["layer/p"],
        shape_and_slices=[""],
        dtypes=[tf.as_dtype(kind)],
    )[0]

    assert files(tmp_path, "theirs") == files(tmp_path, "ours")
    assert whole.tobytes() == np.asarray(restored).tobytes()


@pytest.mark.parametrize("limits", [(None, None, None), (100, None, 400), (None, 60, 60)])
def test_a_checkpoint_is_replaced_again_and_again(
    tf: Any, tmp_path: Path, limits: tuple[int | None, ...]
) -> None:
    """TensorFlow reads what was saved last, whatever was there, and nothing old is left."""
    for i, limit in enumerate(limits):
        arrays = {f"v{n}": np.full(20, i) for n in range(5)}
        prefix = save(tmp_path, arrays, max_shard_bytes=limit)
        reader = tf.train.load_checkpoint(prefix)
        shards = {int(file.name[-5:]) for file in tmp_path.glob("ours.data-*")}

        assert [i] * 5 == [int(reader.get_tensor(f"v{n}")[7]) for n in range(5)]
        assert len(shards) == 1, shards
        assert {len([*tmp_path.glob("ours.data-*")])} == shards
