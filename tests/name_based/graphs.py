"""A graph with something of everything that a meta graph describes."""

from __future__ import annotations

import datetime
from typing import Any

import attrs

import checkpointable as ckpt
from checkpointable.name_based.saver_def import SaverDef

OWN = SaverDef("save/Const:0", "save/control_dependency:0", "save/restore_all", sharded=True)
OTHER = SaverDef("other/Const:0", "other/control_dependency:0", "other/restore_all", max_to_keep=0)
WHEN = datetime.date(2026, 11, 25)


@attrs.frozen
class StandInSaver:
    """What a meta graph asks a saver for, and what importing gives one."""

    var_list: Any = None
    name: str | None = None
    max_to_keep: int | None = 5
    sharded: bool = False
    keep_checkpoint_every_n_hours: float = 10000.0
    write_version: int = SaverDef.V2
    allow_empty: bool = False

    def as_saver_def(self) -> SaverDef:
        """Return a description."""
        return OTHER


def build() -> ckpt.Graph:
    """Return a graph of variables inside and outside of a scope, parts, devices, collections."""
    with ckpt.Graph().as_default() as graph:
        step = ckpt.Variable(0, name="step", trainable=False)
        with graph.name_scope("layer"), graph.device("gpu:0"):
            kernel = ckpt.Variable(shape=(2, 3), name="kernel")
            ckpt.partitioned_variables((3, 2), (2, 1), name="table")
        graph.add_to_collection("kernels", kernel)
        graph.add_to_collection("kernels", step)
        for value in (1, "two", [3.0, None], {"four": WHEN}, float("inf")):
            graph.add_to_collection("plain", value)
        for saver in (OWN, StandInSaver()):
            graph.add_to_collection("savers", saver)
        graph.add_to_collection("train_op", graph.add_operation("train", print))
        graph.add_to_collection("train_op", object())
        graph.add_to_collection(3, "no text")
    return graph


#: What a saver of that graph saves.
ITEMS = {
    "step": ["step"],
    "old/kernel": ["layer/kernel"],
    "layer/table": ["layer/table/part_0", "layer/table/part_1"],
}
