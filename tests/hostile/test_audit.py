"""Reading a checkpoint runs no code and opens nothing outside its directory (S-1)."""

import json
import subprocess
import sys
import textwrap

import numpy as np

import checkpointable as ckpt

#: Reads a checkpoint in every way, under a hook that writes down what the interpreter does.
READ = textwrap.dedent("""
    import json, sys
    import numpy as np
    import checkpointable as ckpt

    class Node(ckpt.Trackable):
        state_attributes = ("x", "y", "z")

    def read(path):
        node = Node()
        node.w, node.x, node.y, node.z = ckpt.Variable(np.zeros(3)), None, None, None
        ckpt.Checkpoint(m=node).restore(path, verify="first").assert_consumed()
        assert [] == ckpt.verify(path)
        ckpt.load(path), ckpt.list_variables(path)
        assert ckpt.latest_checkpoint(path.rpartition("/")[0])

    read(sys.argv[1])  # whatever is imported on first use is imported now
    seen = []
    sys.addaudithook(lambda event, arguments: seen.append((event, arguments)) if watching else None)
    watching = True
    read(sys.argv[1])
    watching = False
    print(json.dumps([[event, [str(a) for a in arguments]] for event, arguments in seen]))
""")

#: What only code that a file names, or a loader of such code, would do.
NEVER = ("import", "exec", "compile", "pickle.find_class", "marshal.loads", "subprocess.Popen",
         "os.system", "socket.connect", "ctypes.dlopen", "code.__new__")  # fmt: skip


def test_reading_opens_only_the_checkpoints_directory_and_runs_no_code(tmp_path):
    """An audit hook sees no import, no compilation and no file outside the directory."""

    class Node(ckpt.Trackable):
        state_attributes = ("x", "y", "z")

    node = Node()
    node.w, node.x = ckpt.Variable([1.0, 2.0, 3.0]), {"a": [1, (2, {3})], "b": "x" * 10_000}
    node.y, node.z = np.array(["a", b"b"], object), [np.arange(5), None, 2.5]
    path = ckpt.Checkpoint(m=node).save(tmp_path / "ckpt")

    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=False
    )
    assert "" == done.stderr
    events = json.loads(done.stdout)
    opened = [arguments[0] for event, arguments in events if event in ("open", "os.open")]
    outside = [name for name in opened if not name.startswith(str(tmp_path))]
    assert opened
    assert [] == [name for name in outside if not name.startswith("/proc/self/fd")]
    assert [] == [event for event, _ in events if event in NEVER]
