"""`convert` writes what a checkpoint holds as another one, of the same or of another format."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings

import checkpointable as ckpt
from checkpointable.interop.tensorflow.table import read_table
from checkpointable.interop.tensorflow.table_writer import encode_table
from tests.interop.tensorflow.models import write_message
from tests.interop.tensorflow.slice_file_maker import Tensor, slice_file, whole
from tests.interop.tensorflow.test_graph import graph
from tests.test_round_trip import build, graphs

MIB = 1 << 20


class Pair(NamedTuple):
    """Two of a kind."""

    left: Any
    right: Any


class Node(ckpt.Trackable):
    """Anything, under any names."""


class Optimizer(ckpt.SlotTrackable):
    """Keeps a momentum for each variable."""

    def __init__(self, *variables: ckpt.Variable) -> None:
        self.rate = ckpt.Variable(0.5, name="rate")
        for variable in variables:
            self.add_slot(variable, "momentum", "ones")


class Counter(ckpt.PythonState):
    """Bytes of its own making."""

    def serialize(self) -> bytes:
        return b"\x00\xff counter"

    def deserialize(self, data: bytes) -> None:
        raise AssertionError(data)


def portable_model() -> ckpt.Checkpoint:
    """Return a graph of everything that each format can hold."""
    rng = np.random.default_rng(1)
    model, layer = Node(), Node()
    layer.kernel = ckpt.Variable(rng.random((1500, 517)).astype(np.float32), name="dense/kernel")
    layer.bias = ckpt.Variable(np.arange(517, dtype=np.float64), name="dense/bias")
    layer.model, model.itself = model, model  # cycles
    model.layers = [layer, layer, {"a/b": ckpt.Variable([1, 2, 3]), 7: layer}]
    model.pair = Pair(ckpt.Variable(np.float16([1, 2])), layer)
    model.state = Counter()
    model.track("array", np.arange(12, dtype=np.int8).reshape(3, 4))
    model.track("scalar", np.float32(2.5))
    model.track("empty", np.zeros((0, 3), np.int16))
    model.track("brain", np.arange(6).astype(ml_dtypes.bfloat16))
    model.track("flags", np.array([True, False]))
    model.track("small", [np.full(n, n, np.int32) for n in range(1, 40)])
    optimizer = Optimizer(layer.kernel, layer.bias)
    plain = {"text": "ä", "numbers": (1, 2.5, None, True), b"key": {3, 4}, "long": "x" * 9000}
    return ckpt.Checkpoint(
        model=model, optimizer=optimizer, plain=plain, step=7, big=2**80, name="run", ratio=0.1
    )


def whole_model() -> ckpt.Checkpoint:
    """Return a graph of everything that the native format can hold."""
    checkpoint = portable_model()
    model = checkpoint.model
    model.track("texts", np.array(["ä", b"\xff", ""], object))
    model.track("fixed", np.array(["abc", "d"]))
    model.track("times", np.arange(4).astype("M8[ms]"))
    model.track("tall", np.array("x" * 40_000))
    model.track("deep", np.arange(3 * 2 * 60_000, dtype=np.complex128).reshape(3, 2, 60_000))
    return checkpoint


def files(directory: Path, prefix: str) -> dict[str, bytes]:
    """Return the files of a checkpoint, by what follows the prefix."""
    return {
        path.name.removeprefix(prefix): path.read_bytes()
        for path in directory.iterdir()
        if path.name.startswith(prefix)
    }


def equal(a: Any, b: Any) -> bool:
    """Tell whether two loaded trees are the same, types included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tolist() == b.tolist()
    return bool(a == b)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a checkpoint with everything in it."""
    directory = tmp_path_factory.mktemp("stored")
    return whole_model().save(directory / "ckpt", metadata={"run": 3, "tags": ["a"]})


@pytest.mark.parametrize(
    "options",
    [{}, {"single_file": True}, {"max_shard_bytes": 700_000}],
    ids=["sharded", "one file", "many shards"],
)
def test_a_native_checkpoint_becomes_what_a_save_would_have_written(tmp_path, stored, options):
    """From any form to any other, the bytes of all files are those of a save of the objects."""
    model = whole_model()
    model.save(tmp_path / "saved", metadata={"run": 3, "tags": ["a"]}, **options)
    single = ckpt.convert(stored, tmp_path / "single", single_file=True)
    path = ckpt.convert(single, tmp_path / "copy", durable=False, **options)

    assert str(tmp_path / "copy") == path
    assert files(tmp_path, "saved-1") == files(tmp_path, "copy")
    assert not ckpt.diff(stored, path)
    assert [] == ckpt.verify(path)


@given(graphs())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_graph_is_converted_exactly(tmp_path, graph):
    """Whatever graph is saved, its copy has the very bytes of the original."""
    path = ckpt.Checkpoint(build(graph, blank=False)[0]).write(tmp_path / "ckpt", durable=False)
    ckpt.convert(path, tmp_path / "copy", durable=False)

    assert files(tmp_path, "ckpt") == files(tmp_path, "copy")


def test_the_newest_checkpoint_of_a_directory_is_taken(tmp_path):
    """A directory as the source means its newest checkpoint, its counter included."""
    checkpoint = ckpt.Checkpoint(step=1)
    checkpoint.save(tmp_path / "run" / "ckpt")
    checkpoint.step = 2
    checkpoint.save(tmp_path / "run" / "ckpt")
    path = ckpt.convert(tmp_path / "run", tmp_path / "out" / "copy")
    copy = ckpt.Checkpoint(step=0)
    copy.restore(path).assert_consumed()

    assert (2, 2) == (copy.step, int(copy.save_counter))


def test_metadata_are_kept_unless_others_are_given(tmp_path, stored):
    """The metadata of the source go with it; `metadata=` replaces them."""
    kept = ckpt.convert(stored, tmp_path / "kept")
    replaced = ckpt.convert(stored, tmp_path / "replaced", metadata={})

    assert {"run": 3, "tags": ["a"]} == ckpt.load_checkpoint(kept).metadata
    assert {} == ckpt.load_checkpoint(replaced).metadata


@pytest.mark.parametrize("single_file", [False, True])
def test_a_checkpoint_replaces_itself(tmp_path, single_file):
    """The destination may be the source: it is read to the end, then replaced, nothing is left."""
    model = whole_model()
    path = model.write(tmp_path / "ckpt", single_file=single_file)
    model.write(tmp_path / "other", single_file=not single_file)
    assert path == ckpt.convert(path, path, single_file=not single_file)

    assert files(tmp_path, "other") == files(tmp_path, "ckpt")
    assert path == ckpt.convert(path, path, single_file=not single_file)
    assert files(tmp_path, "other") == files(tmp_path, "ckpt")


def test_a_name_based_checkpoint_stays_one(tmp_path):
    """Names, texts and arrays of a `Saver` go over, and no graph is made up."""
    variables = {"a/w": ckpt.Variable(np.arange(30_000.0)), "b": ckpt.Variable(np.int16(3))}
    path = ckpt.Saver(variables).save(None, tmp_path / "named", write_state=False)
    copy = ckpt.convert(path, tmp_path / "copy")

    assert files(tmp_path, "named") == files(tmp_path, "copy")
    assert ckpt.load_checkpoint(copy).graph is None


def test_a_divided_tensor_becomes_whole(tmp_path):
    """The slices of a partitioned variable are stored as the one tensor that they are."""
    whole = np.arange(60_000.0).reshape(300, 200)
    parts = ckpt.partitioned_variables(whole.shape, [3, 1], whole, name="w")
    path = ckpt.Saver(list(parts)).save(None, tmp_path / "parts", write_state=False)

    assert np.array_equal(whole, ckpt.load(ckpt.convert(path, tmp_path / "copy"))["w"])


def test_progress_rises_to_the_end(tmp_path, stored):
    """The numbers of bytes that are done never fall, and the last one is that of all."""
    calls: list[tuple[int, int]] = []
    ckpt.convert(stored, tmp_path / "copy", progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]

    assert len(calls) > 3
    assert sorted(set(done)) == done
    assert {done[-1]} == {total for _, total in calls}
    assert 8 * MIB < done[-1] < 12 * MIB


def test_progress_of_an_empty_checkpoint(tmp_path):
    """What has no bytes is done at once."""
    calls: list[tuple[int, int]] = []
    path = ckpt.Checkpoint().write(tmp_path / "ckpt")
    ckpt.convert(path, tmp_path / "copy", progress=lambda *call: calls.append(call))

    assert [(0, 0)] == calls


@pytest.mark.parametrize("at", [0, 2, -1])
def test_an_exception_of_the_callback_leaves_nothing(tmp_path, stored, at):
    """Whenever the callback raises, what stood there stays, and nothing else is left."""
    before = ckpt.Checkpoint(old=1).write(tmp_path / "copy")
    old = files(tmp_path, "")
    calls: list[tuple[int, int]] = []
    ckpt.convert(stored, tmp_path / "apart" / "x", progress=lambda *call: calls.append(call))
    stop = calls[at]

    def progress(*call: int) -> None:
        if call == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ckpt.convert(stored, before, progress=progress)
    (tmp_path / "apart" / "x.index").unlink()
    assert old == files_only(tmp_path)


def files_only(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory, those below it left out."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.mark.parametrize("place", [100, 1_000_000, -100])
def test_a_damaged_source_gives_no_checkpoint(tmp_path, place):
    """One flipped bit anywhere in a shard is found, and what stood at the destination stays."""
    path = whole_model().write(tmp_path / "source" / "ckpt")
    (shard,) = (tmp_path / "source").glob("*.data*")
    data = bytearray(shard.read_bytes())
    data[place] ^= 1
    shard.write_bytes(data)
    destination = ckpt.Checkpoint(old=1).write(tmp_path / "out" / "copy")
    old = files(tmp_path / "out", "")
    with pytest.raises(ckpt.CorruptCheckpointError, match=r"ckpt\.data"):
        ckpt.convert(path, destination)

    assert old == files(tmp_path / "out", "")


def test_what_may_not_be_replaced_is_not(tmp_path, stored):
    """`overwrite=False` refuses a checkpoint; a file that is none is never replaced."""
    there = ckpt.Checkpoint(old=1).write(tmp_path / "there")
    (tmp_path / "none.index").write_text("a list of names")
    with pytest.raises(ckpt.CheckpointExistsError):
        ckpt.convert(stored, there, overwrite=False)
    with pytest.raises(ckpt.CheckpointExistsError):
        ckpt.convert(stored, tmp_path / "none")

    assert {"old": 1} == ckpt.load(there)


def test_wrong_calls_are_refused(tmp_path, stored):
    """A missing source, an unknown format or field, and a path that is none: each says so."""
    with pytest.raises(ckpt.CheckpointNotFoundError):
        ckpt.convert(tmp_path / "nothing", tmp_path / "copy")
    with pytest.raises(ValueError, match="format"):
        ckpt.convert(stored, tmp_path / "copy", format="zip")
    with pytest.raises(TypeError, match="no field"):
        ckpt.convert(stored, tmp_path / "copy", colour="red")
    with pytest.raises(TypeError, match="path"):
        ckpt.convert(stored, 3)  # type: ignore[arg-type]

    assert {} == files(tmp_path, "")


FORMATS = ("native", "tensorflow", "safetensors")
everywhere = pytest.mark.parametrize("source", FORMATS)
anywhere = pytest.mark.parametrize("target", FORMATS)


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with one checkpoint in each format, named after it."""
    directory = tmp_path_factory.mktemp("portable")
    for name in FORMATS:
        portable_model().write(directory / name, format=name, metadata={"run": 3}, durable=False)
    return directory


@everywhere
@anywhere
def test_every_format_becomes_every_other(tmp_path, portable, source, target):
    """Graph, slots, cycles, states, plain values and metadata go from any format to any, and back.

    What comes back to the native format has the very bytes of a save in it.
    """
    path = ckpt.convert(portable / source, tmp_path / "copy", format=target, durable=False)
    ckpt.convert(path, tmp_path / "back", durable=False)

    assert not ckpt.diff(portable / source, path)
    assert files(portable, "native") == files(tmp_path, "back")
    assert {"run": 3} == ckpt.load_checkpoint(path).metadata
    assert [] == ckpt.verify(path)


@anywhere
def test_a_copy_is_what_a_save_in_its_format_would_have_written(tmp_path, portable, target):
    """In every format the bytes of the files are those of a save of the objects."""
    ckpt.convert(portable / "native", tmp_path / target, format=target, durable=False)

    assert files(portable, target) == files(tmp_path, target)


@everywhere
@anywhere
def test_objects_are_restored_from_a_copy(tmp_path, portable, source, target):
    """A program that restores the copy finds all of it, whatever format it came from."""
    path = ckpt.convert(portable / source, tmp_path / "copy", format=target, durable=False)
    model = portable_model()
    model.step, model.model.layers[0].kernel.value[:] = 0, 0
    model.model.state.deserialize = lambda data: None
    model.restore(path).assert_consumed()

    assert 7 == model.step
    assert np.array_equal(
        portable_model().model.layers[0].kernel.value, model.model.layers[0].kernel.value
    )


@everywhere
@anywhere
def test_a_checkpoint_of_any_format_replaces_itself(tmp_path, portable, source, target):
    """The source is read to its end though the new files take its place; nothing of it is left."""
    path = ckpt.convert(portable / source, tmp_path / "ckpt", format=source, durable=False)
    assert path == ckpt.convert(path, path, format=target)

    named = {name.partition("-")[0] for name in files(tmp_path, "ckpt")}
    assert named == {name.partition("-")[0] for name in files(portable, target)}
    assert not ckpt.diff(portable / source, path)


@everywhere
@anywhere
def test_names_go_from_any_format_to_any(tmp_path, source, target):
    """A name-based checkpoint is one in every format, and has the same names and arrays."""
    variables = {
        "dense/w": ckpt.Variable(np.arange(40_000, dtype=np.float32).reshape(100, 400)),
        "dense/w.b": ckpt.Variable(np.int16(3)),
        "empty": ckpt.Variable(np.zeros((0, 2))),
    }
    saver = ckpt.Saver(variables, options=ckpt.SaveOptions(format=source, durable=False))
    path = saver.save(None, tmp_path / "named", write_state=False)
    copy = ckpt.convert(path, tmp_path / "copy", format=target, durable=False)
    with ckpt.load_checkpoint(copy) as reader:
        assert sorted(variables) == reader.keys()
        assert reader.graph is None
        for name, variable in variables.items():
            assert equal(variable.numpy(), reader.get_tensor(name))


@anywhere
def test_progress_reaches_its_end_in_every_format(tmp_path, portable, target):
    """However often a format goes over the data, the last call says that all is done."""
    calls: list[tuple[int, int]] = []
    ckpt.convert(
        portable / "tensorflow",
        tmp_path / "copy",
        format=target,
        durable=False,
        progress=lambda *call: calls.append(call),
    )
    done = [call[0] for call in calls]

    assert sorted(set(done)) == done
    assert {done[-1]} == {total for _, total in calls}


def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(tmp_path, stored):
    """The refusal names the path, and what stood at the destination is intact."""
    there = ckpt.Checkpoint(old=1).write(tmp_path / "there")
    old = files(tmp_path, "")
    for target in ("tensorflow", "safetensors"):
        with pytest.raises(ckpt.NotCheckpointableError) as caught:
            ckpt.convert(stored, there, format=target)
        assert caught.value.path.startswith("model/")

    assert old == files(tmp_path, "")


SAMPLES = Path(__file__).parent / "fixtures" / "tensorflow"


@pytest.mark.parametrize(
    ("sample", "target"),
    [
        ("object_based_keras/ckpt-1", "native"),
        ("object_based_slots/ckpt-1", "safetensors"),
        ("object_based_nested/ckpt-1", "tensorflow"),
        ("object_based_special/ckpt-1", "native"),
        ("sharded_multi/ckpt-1", "native"),
        ("partitioned/part", "safetensors"),
        ("partitioned_v1/part", "tensorflow"),
        ("name_based_v1/model.ckpt-42", "native"),
        ("synthetic_big_endian/ckpt-1", "tensorflow"),
    ],
)
def test_checkpoints_of_tensorflow_are_converted(tmp_path, sample, target):
    """What TensorFlow wrote has the same values under the same paths in any format."""
    path = ckpt.convert(SAMPLES / sample, tmp_path / "copy", format=target, durable=False)

    assert not ckpt.diff(SAMPLES / sample, path)
    assert [] == ckpt.verify(path)


@pytest.mark.parametrize("given", ["m-?????-of-00002", "m"])
def test_a_set_of_files_of_the_first_format_is_one_checkpoint(tmp_path, given):
    """TensorFlow's pattern for such a set, and its prefix, mean all of its files."""
    array = np.arange(12, dtype=np.int32).reshape(4, 3)
    for i in range(2):
        part = Tensor(b"w", "int32", (4, 3), ([(2 * i, 2), (0, None)], array[2 * i : 2 * i + 2]))
        content = slice_file(part, whole(b"own%d" % i, "float32", np.float32([i])))
        (tmp_path / f"m-0000{i}-of-00002").write_bytes(content)
    tree = ckpt.load(ckpt.convert(tmp_path / given, tmp_path / "out" / "copy"))

    assert ["own0", "own1", "w"] == sorted(tree)
    assert equal(array, tree["w"])


def test_a_name_that_is_no_text_is_refused(tmp_path):
    """TensorFlow takes any bytes for a name; nothing else does."""
    with pytest.raises(ckpt.NotCheckpointableError, match="no text"):
        ckpt.convert(SAMPLES / "large_name_keys/bytes", tmp_path / "copy")

    assert {} == files(tmp_path, "")


def edited(path: str, edit: Callable[[dict[bytes, bytes]], None]) -> str:
    """Change the keys and values in the index of a TensorFlow checkpoint."""
    index = Path(f"{path}.index")
    rows = dict(read_table(memoryview(index.read_bytes()), str(index)))
    edit(rows)
    index.write_bytes(b"".join(encode_table(sorted(rows.items()))))
    return path


def small(path: Path) -> str:
    """Write a TensorFlow checkpoint of two variables."""
    checkpoint = ckpt.Checkpoint(a=ckpt.Variable([1.0, 2.0]), b=ckpt.Variable([3]))
    return checkpoint.write(path, format="tensorflow", durable=False)


def test_what_cannot_be_interpreted_is_named(tmp_path):
    """A value that the graph names and the files lack is left out, and a warning says which."""

    def drop(rows: dict[bytes, bytes]) -> None:
        del rows[b"a/.ATTRIBUTES/VARIABLE_VALUE"], rows[b"_CHECKPOINTABLE_ANNOTATIONS"]

    path = edited(small(tmp_path / "t"), drop)
    with pytest.warns(ckpt.CheckpointWarning, match=r"Left out: a: .*VARIABLE_VALUE"):
        copy = ckpt.convert(path, tmp_path / "copy")

    assert [3] == ckpt.load(copy)["b"].tolist()


def test_what_nothing_leads_to_is_named_by_its_node(tmp_path):
    """It has no path, so its number stands in the warning."""
    key = "v/.ATTRIBUTES/VARIABLE_VALUE"
    alone = graph({}, {"values": [("VARIABLE_VALUE", key)]})
    write_message(str(tmp_path / "m"), alone, {key: np.ones(2, np.float32)})

    with pytest.warns(ckpt.CheckpointWarning) as warned:
        ckpt.convert(tmp_path / "m", tmp_path / "copy")

    assert "Left out: node 1: " in str(warned[0].message)


@pytest.mark.filterwarnings("error")
def test_a_tensor_that_the_graph_does_not_name_is_named(tmp_path):
    """Where warnings are errors, nothing was written yet."""

    def add(rows: dict[bytes, bytes]) -> None:
        rows[b"extra"] = rows[b"b/.ATTRIBUTES/VARIABLE_VALUE"]

    path = edited(small(tmp_path / "t"), add)
    with pytest.raises(ckpt.CheckpointWarning, match=r"1 of its tensors.* extra"):
        ckpt.convert(path, tmp_path / "out" / "copy")

    assert not (tmp_path / "out").exists()


def test_a_file_without_checksums_is_converted_with_a_warning(tmp_path):
    """What a model hub offers becomes a checkpoint; that nothing vouches for it is said."""
    arrays = {"layer.w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.int64([1])}
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    with pytest.warns(ckpt.CheckpointWarning, match="checksum"):
        copy = ckpt.convert(tmp_path / "model.safetensors", tmp_path / "copy")

    assert [] == ckpt.verify(copy)
    with ckpt.load_checkpoint(copy) as reader:
        assert equal(arrays["layer.w"], reader["layer/w"].numpy())


@pytest.mark.parametrize("source", ["tensorflow", "safetensors"])
def test_damage_in_any_format_gives_no_checkpoint(tmp_path, portable, source):
    """One flipped bit in the data is found, and nothing is left of the copy."""
    path = ckpt.convert(portable / source, tmp_path / "source" / "ckpt", format=source)
    data = max((tmp_path / "source").iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(ckpt.CorruptCheckpointError):
        ckpt.convert(path, tmp_path / "out" / "copy")

    assert {} == files(tmp_path / "out", "")


PREPARE = textwrap.dedent("""
    import sys
    import numpy as np
    import checkpointable as ckpt

    def peak():
        if sys.platform == "darwin":
            import resource
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open("/proc/self/status") as status:
            return int(next(l for l in status if l.startswith("VmHWM")).split()[1]) * 1024

    path, target, format = sys.argv[1:]
    ckpt.convert(path + "-small", target + "-small", format=format, durable=False)
    before = peak()
    ckpt.convert(path, target, format=format, durable=False)
    print(peak() - before)
""")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("tensorflow", "safetensors"),
        pytest.param("native", "native", marks=pytest.mark.campaign),
        pytest.param("native", "tensorflow", marks=pytest.mark.campaign),
        pytest.param("safetensors", "native", marks=pytest.mark.campaign),
    ],
)
def test_memory_does_not_grow_with_a_tensor(tmp_path, figures, source, target):
    """A tensor of 256 MiB is converted in a few MiB."""
    path = str(tmp_path / "ckpt")
    for size, end in ((MIB // 64, "-small"), (64 * MIB, "")):
        array = np.arange(size, dtype=np.float32).reshape(-1, 1024)
        ckpt.Checkpoint(w=array).write(path + end, format=source, durable=False)
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, path, str(tmp_path / "copy"), target],
        capture_output=True,
        text=True,
        check=True,
    )
    grown = int(done.stdout)
    figures[f"memory: convert {source} to {target}"] = f"{grown / MIB:.1f} MiB of 64"

    assert grown <= 64 * MIB
