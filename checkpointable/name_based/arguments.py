"""The arguments of a `Saver`, checked."""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import posixpath
from collections.abc import Iterable
from typing import Any

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.directory.state_file import STATE_FILE
from checkpointable.name_based.saveable import SaveableObject
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.session.graph import Graph, Operation
from checkpointable.session.session import Session
from checkpointable.trackable.base import Variable


def checked_settings(saver_def: SaverDef) -> SaverDef:
    """Return a saver's settings as plain numbers, having checked how many checkpoints they keep.

    Raises:
        TypeError, ValueError: that is no number of checkpoints, or of hours.
    """
    count, hours = saver_def.max_to_keep, saver_def.keep_checkpoint_every_n_hours
    try:
        number = None if isinstance(count, bool) else operator.index(count)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"max_to_keep is {count!r}, expected an integer or None")
    if number < 0:
        raise ValueError(f"max_to_keep is {count}, expected at least 0; 0 or None keeps all")
    if isinstance(hours, bool) or not isinstance(hours, numbers.Real):
        raise TypeError(f"keep_checkpoint_every_n_hours is {hours!r}, expected a number of hours")
    if math.isnan(hours) or hours < 0:
        raise ValueError(f"keep_checkpoint_every_n_hours is {hours}, expected at least 0")
    return attrs.evolve(
        saver_def,
        max_to_keep=number,
        sharded=bool(saver_def.sharded),
        keep_checkpoint_every_n_hours=float(hours),
        version=int(saver_def.version),
    )


def state_file_name(latest_filename: str | None) -> str:
    """Return what the state file is called.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, has a directory, or ends as the files of a checkpoint end.
    """
    if latest_filename is None:
        return STATE_FILE
    if not isinstance(latest_filename, str):
        raise TypeError(f"latest_filename is {latest_filename!r}, expected a string or None")
    base = posixpath.basename(latest_filename)
    if base != latest_filename or base in {"", ".", ".."} or "\0" in base:
        raise ValueError(
            f"latest_filename is {latest_filename!r}: it must not contain path components. The"
            " state file stands beside the checkpoints; give its bare name."
        )
    if files.read_name(base).kind is not FileKind.BARE:
        raise ValueError(
            f"latest_filename is {latest_filename!r}, which ends as a file of a checkpoint does."
            " Give another name."
        )
    return latest_filename


def check_no_collision(state_file: str, prefix: str, *, sharded: bool) -> None:
    """Refuse a state file that is called as the checkpoint, whose one-file form it would replace.

    Raises:
        ValueError: it is.
    """
    if not sharded and files.split_path(prefix)[1] == state_file:
        raise ValueError(
            f"latest_filename {state_file!r} collides with save_path {prefix!r}: state file and"
            " checkpoint would have the same name. Choose another name for one of the two."
        )


def checked_suffix(meta_graph_suffix: str) -> str:
    """Return what the name of a meta graph ends with.

    Raises:
        TypeError: it is no text.
        ValueError: it is no part of a file name, or what the files of a checkpoint end with.
    """
    if not isinstance(meta_graph_suffix, str):
        raise TypeError(f"meta_graph_suffix is {meta_graph_suffix!r}, expected a string")
    is_part = meta_graph_suffix and not {"/", "\0"} & {*meta_graph_suffix}
    if not is_part or files.read_name(f"x.{meta_graph_suffix}").kind is not FileKind.BARE:
        raise ValueError(
            f"meta_graph_suffix is {meta_graph_suffix!r}, expected what the name of the meta graph"
            " ends with, such as 'meta', and no file of a checkpoint"
        )
    return meta_graph_suffix


def checked_session(sess: Any, graph: Graph) -> Session:
    """Return the session that holds the values of a graph.

    Raises:
        TypeError: it is no session.
        RuntimeError: it is closed.
        ValueError: it is of another graph.
    """
    if not isinstance(sess, Session):
        raise TypeError(
            f"sess is a {type(sess).__qualname__}, expected the Session that holds the values of"
            " this saver's graph"
        )
    sess.check_graph(graph, "the saver")
    sess.check_open()
    return sess


def named_step(
    name: str, graph: Graph | None, saveables: Iterable[SaveableObject]
) -> Variable | Operation:
    """Return the Variable, or the operation of the graph, that is called so.

    Raises:
        ValueError: there is none.
    """
    wanted = name.removesuffix(":0")
    specs = [(spec.name, spec.tensor) for saveable in saveables for spec in saveable.specs]
    variables = {name: tensor for name, tensor in specs if isinstance(tensor, Variable)}
    variables |= {v.name: v for v in variables.values() if v.name is not None}
    if graph is not None:
        variables |= {v.name: v for v in graph.get_collection("variables") if v.name is not None}
    if wanted in variables:
        return variables[wanted]
    if graph is not None and graph.has_name(wanted):
        return graph.get_operation_by_name(wanted)
    near = ", ".join(difflib.get_close_matches(wanted, variables)) or "none"
    raise ValueError(
        f"global_step is {name!r}, but no Variable is called so; the nearest: {near}. Give the name"
        " of a Variable that is saved, the Variable itself, or an integer."
    )
