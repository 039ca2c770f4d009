"""Saving and restoring take no memory that grows with the arrays (S-2)."""

import subprocess
import sys
import textwrap

import pytest

MIB = 1 << 20

PREPARE = textwrap.dedent("""
    import resource, sys
    import numpy as np
    import checkpointable as ckpt

    def peak():
        if sys.platform == "darwin":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Not ru_maxrss: on Linux a new process begins with that of the one that forked it.
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    path = sys.argv[1]
    small = ckpt.Checkpoint(w=np.arange(1 << 19))
    small.read(small.write(path + "-small", durable=False))  # what is loaded on first use
    arrays = {f"w{i}": np.full(4 << 20, i + 1.0) for i in range(8)}  # 256 MiB, all of it touched
    whole = ckpt.Checkpoint(**arrays)
""")

SAVE = "before = peak(); whole.write(path, durable=False); print(peak() - before)"
STRIDED = textwrap.dedent("""
    strided = ckpt.Checkpoint(w=np.full((1 << 12, 1 << 13), 1.0)[:, ::2].T)
    before = peak(); strided.write(path, durable=False); print(peak() - before)
""")
RESTORE = textwrap.dedent("""
    whole.write(path, durable=False)
    before = peak(); whole.read(path).assert_consumed(); print(peak() - before)
""")
SLICE = textwrap.dedent("""
    whole.write(path, durable=False)
    before = peak()
    with ckpt.load_checkpoint(path) as reader:
        assert 3.0 == reader["w2"][100_000:200_000].mean()
    print(peak() - before)
""")
DIFF = textwrap.dedent("""
    whole.write(path, durable=False)
    for array in vars(whole).values():
        if isinstance(array, np.ndarray):
            array += 1
    whole.write(path + "-later", durable=False)
    before = peak()
    assert 8 == len(ckpt.diff(path, path + "-later").changed)  # 32 MiB each: a pair and some more
    print(peak() - before)
""")


@pytest.mark.parametrize(
    ("work", "ceiling"),
    [
        (SAVE, 32 * MIB),
        (STRIDED, 32 * MIB),
        (RESTORE, 32 * MIB),
        (SLICE, 8 * MIB),
        (DIFF, 96 * MIB),
    ],
    ids=["save", "save strided", "restore in place", "read a slice", "diff of two"],
)
def test_memory_stays_below_the_ceiling(tmp_path, figures, request, work, ceiling):
    """A process that holds 256 MiB of arrays hardly grows while it saves or restores them."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + work, str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=True,
    )
    grown = int(done.stdout)
    figures[f"memory: {request.node.callspec.id}"] = f"{grown / MIB:.1f} MiB of {ceiling // MIB}"
    assert grown <= ceiling
