"""Time things side by side: the same machine, the same minute, the best of several turns."""

import gc
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Task = Callable[[], object]


def best(tasks: Mapping[str, Task], turns: int, after: Task = lambda: None) -> dict[str, float]:
    """Run the tasks in turn, several times over, and return the shortest time of each.

    Taking turns lets a disturbance of the machine hit all alike.

    Args:
        tasks: what to run, by name.
        turns: how often each runs.
        after: runs after each task, outside its time, such as removing what it wrote.

    Returns:
        Seconds, by the names of the tasks.
    """
    seconds = dict.fromkeys(tasks, float("inf"))
    for _ in range(turns):
        for name, task in tasks.items():
            gc.collect()
            start = time.perf_counter()
            task()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
            after()
    return seconds


def peak_growth(task: Task) -> int | None:
    """Return by how many bytes the resident memory rises at most while a task runs.

    Linux only, where the high-water mark of a process can be reset; elsewhere `None`.
    """
    if not sys.platform.startswith("linux"):
        return None
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    task()
    return _resident("VmHWM") - before


def table(title: str, seconds: Mapping[str, float], base: str, size: int, notes: str = "") -> str:
    """Return the times as lines: milliseconds, GB/s, and the ratio to the task called `base`."""
    lines = [title]
    for name, value in seconds.items():
        rate, ratio = size / value / 1e9, value / seconds[base]
        lines.append(f"  {name:34}{value * 1e3:10.1f} ms{rate:8.2f} GB/s{ratio:8.2f} x")
    return "\n".join([*lines, f"  {notes}"] if notes else lines)


def _resident(field: str) -> int:
    """Return a figure of this process in bytes: VmRSS is now, VmHWM the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)
