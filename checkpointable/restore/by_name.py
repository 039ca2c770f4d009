"""Restore by global names: what the name-based saver does, and what name-based checkpoints need.

First everything is checked, then everything is read. There is no deferral.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.errors import (
    CheckpointError,
    IncompatibleCheckpointError,
    TensorNotFoundError,
)
from checkpointable.format.dtypes import STRING, dtype_name
from checkpointable.format.garbage import without_collections
from checkpointable.format.records import TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.names import SAVE_COUNTER
from checkpointable.options import RestoreOptions
from checkpointable.restore.entries import ABSENT, Entry, suggest
from checkpointable.restore.fetching import (
    already_assigned,
    check_every_byte,
    fetch_values,
    overwrite,
)
from checkpointable.restore.fit import Misfit, describe, fit_tensor, like_live_strings
from checkpointable.restore.plan import Give
from checkpointable.restore.report import Report
from checkpointable.trackable.base import Variable

#: How many names a message lists.
_SHOWN: Final = 10

_EXACT: Final = RestoreOptions()
_REMEDY: Final = (
    "Give the Variable the stored dtype and shape, or leave it out; Saver(reshape=True) takes"
    " another shape of the same size."
)


@attrs.frozen(slots=True, eq=False)
class NamedTarget:
    """A live array that is given the tensor of a global name.

    Attributes:
        name: the name in the checkpoint.
        label: how messages and reports name the live value.
        dtype: the dtype of the live array.
        shape: the shape that the stored tensor must have: that of the live array, or, of a part,
            that of the whole.
        part: which part of the stored tensor the live array is; `None`: all of it.
        array: returns the array to write into. It is called when everything was checked.
        given: called once the value is there.
    """

    name: str
    label: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    part: tuple[slice, ...] | None
    array: Callable[[], npt.NDArray[Any]]
    given: Callable[[], None]


@attrs.frozen(slots=True, eq=False)
class NameMatch:
    """What a checkpoint has for some names. Nothing live has been changed.

    Attributes:
        source: the checkpoint.
        matched: targets that can have their values, with the numbers of the tensors.
        missing: targets whose names it lacks.
        unused: names that it has and nobody asked for.
        mismatched: targets that their values do not fit.
        split: targets after the first of a name.
        cast: targets whose values are converted.
        skipped: targets that do not fit and are left as they are, because the options say so.
    """

    source: CheckpointSource
    matched: Sequence[tuple[NamedTarget, int]]
    missing: Sequence[Entry]
    unused: Sequence[Entry]
    mismatched: Sequence[Entry]
    split: Sequence[Entry]
    cast: Sequence[Entry]
    skipped: Sequence[Entry]

    def report(self, restored: Iterable[NamedTarget] = ()) -> Report:
        """Return the report of a restore that has given these targets their values so far."""
        return Report(
            self.source.path,
            restored=[_entry(target) for target in restored],
            missing=self.missing,
            unused=self.unused,
            mismatched=self.mismatched,
            split=self.split,
            cast=self.cast,
            skipped=self.skipped,
            unverified=self.source.unverified,
        )


def stored_name(variable: Variable) -> str | None:
    """Return the name that a Variable goes by in name-based checkpoints: of a part, the whole's."""
    part = variable.save_slice
    return variable.name if part is None else part.full_name


def restore_by_name(
    source: CheckpointSource,
    targets: Iterable[NamedTarget],
    *,
    shapes: str = "exact",
    casting: str = "no",
    one_by_one: bool = False,
    verify: str = "inline",
) -> Report:
    """Give live arrays the tensors of their global names: all of them, or none.

    Args:
        source: the open checkpoint, name-based or object-based; the latter by the global names
            that its Variables had.
        targets: the arrays.
        shapes: as in `RestoreOptions`.
        casting: as in `RestoreOptions`.
        one_by_one: read one value at a time, in one thread: slower, with less memory at a time.
        verify: as in `RestoreOptions`.

    Returns:
        what was restored, and what the checkpoint holds besides.

    Raises:
        TensorNotFoundError: names are not there; nothing was changed.
        IncompatibleCheckpointError: values do not fit; nothing was changed.
        CorruptCheckpointError: the files are damaged; its report lists what was assigned.
    """
    options = RestoreOptions(shapes=shapes, casting=casting, verify=verify)
    with without_collections():
        match = match_by_name(source, targets, options, remedy=_REMEDY)
        if match.missing:
            raise TensorNotFoundError(_why_not_found(match)).with_report(match.report())
        require_fit(match)
        give_by_name(match, verify=verify, one_by_one=one_by_one)
    return match.report(target for target, _ in match.matched)


def match_by_name(
    source: CheckpointSource,
    targets: Iterable[NamedTarget],
    options: RestoreOptions = _EXACT,
    *,
    names: Mapping[str, tuple[int, ...]] | None = None,
    remedy: str | None = None,
) -> NameMatch:
    """Find the tensors of some names, and check that they fit.

    Args:
        source: the open checkpoint.
        targets: what is to have the tensors.
        options: which differences are bridged.
        names: the numbers of the tensors by name; by default by global name.
        remedy: what to do where values do not fit; by default what `RestoreOptions` offer.
    """
    names = source.names if names is None else names
    matched: list[tuple[NamedTarget, int]] = []
    missing: list[NamedTarget] = []
    mismatched, split, cast, skipped = (list[Entry]() for _ in range(4))
    asked: set[str] = set()
    given: set[str] = set()
    for target in targets:
        name = target.name
        asked.add(name)
        numbers = names.get(name, ())
        if not numbers:
            missing.append(target)
            continue
        if len(numbers) > 1:
            mismatched.append(_entry(target, _why_ambiguous(name, len(numbers))))
            continue
        if name in given and target.part is None:
            split.append(_entry(target, f"the tensor of the name {name!r} was given before"))
        given.add(name)
        fit = _fit(source.tensors[numbers[0]], target, options)
        if isinstance(fit, Misfit):
            fit = fit if remedy is None else attrs.evolve(fit, remedy=remedy)
            (skipped if fit.skipped else mismatched).append(_entry(target, str(fit)))
            continue
        if fit:
            cast.append(_entry(target, fit))
        matched.append((target, numbers[0]))
    unused = _unused(source, names, asked)
    return NameMatch(
        source,
        matched=matched,
        missing=_missing(missing, unused),
        unused=unused,
        mismatched=mismatched,
        split=split,
        cast=cast,
        skipped=skipped,
    )


def require_fit(match: NameMatch) -> None:
    """Refuse values that do not fit.

    Raises:
        IncompatibleCheckpointError: names all of them.
    """
    if not match.mismatched:
        return
    count = len(match.mismatched)
    values = "1 value does" if count == 1 else f"{count:,} values do"
    lines = [f"{match.source.path}: {values} not fit; nothing was assigned."]
    lines += [f"{entry.path}: {entry.reason}" for entry in match.mismatched[: 2 * _SHOWN]]
    if count > 2 * _SHOWN:
        lines.append(f"... and {count - 2 * _SHOWN:,} more")
    raise IncompatibleCheckpointError(
        "\n  ".join(lines), mismatches=tuple(match.mismatched)
    ).with_report(match.report())


def give_by_name(match: NameMatch, *, verify: str = "inline", one_by_one: bool = False) -> None:
    """Read what was matched.

    Raises:
        CorruptCheckpointError, StorageError: a value could not be read; the report lists what
            was assigned.
    """
    source, done = match.source, list[NamedTarget]()
    try:
        if verify == "first":
            check_every_byte(source)
        if one_by_one:
            for pair in match.matched:
                _give(source, [pair], done, threads=False)
        else:
            _give(source, match.matched, done, threads=True)
    except CheckpointError as error:
        error.message += already_assigned(done, lambda target: target.label)
        error.report = match.report(done)
        raise


def _give(
    source: CheckpointSource,
    pairs: Sequence[tuple[NamedTarget, int]],
    done: list[NamedTarget],
    *,
    threads: bool,
) -> None:
    gives: list[Give] = []
    parts: list[tuple[NamedTarget, int, npt.NDArray[Any]]] = []
    for position, (target, number) in enumerate(pairs):
        array = target.array()
        if target.part is None:
            info = source.tensors[number]
            gives.append(Give(position, number=number, info=info, target=array))
        else:
            parts.append((target, number, array))

    def note(give: Give) -> None:
        done.append(pairs[give.path][0])

    for give, value in fetch_values(source, gives, note, threads=threads):
        if give.target is not None and value is not give.target:
            text = value if source.tells_text else like_live_strings(value, give.target)
            overwrite(give.target, text)
        pairs[give.path][0].given()
        note(give)
    for target, number, array in parts:
        overwrite(array, source.read_slice(number, target.part))
        target.given()
        done.append(target)


def _fit(info: TensorInfo, target: NamedTarget, options: RestoreOptions) -> Misfit | str:
    """Return why a stored tensor does not fit a target, or else what is converted on the way."""
    dtype = STRING if target.dtype.kind in "OT" else dtype_name(target.dtype)
    if (info.dtype, info.shape) == (dtype, target.shape):
        return ""
    if target.part is not None and info.shape != target.shape:
        remedy = "A part fits only what was divided: give it the shape of the whole."
        whole = f"a part of {describe(dtype, target.shape)}"
        return Misfit(describe(info.dtype, info.shape), whole, remedy)
    fit = fit_tensor(info, _like(target.dtype, target.shape), options)
    return fit if isinstance(fit, Misfit) else fit.cast


def _like(dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return an array of this dtype and shape without memory for the items."""
    return np.broadcast_to(np.empty((), dtype), shape)


def _entry(target: NamedTarget, reason: str = "") -> Entry:
    dtype = STRING if target.dtype.kind in "OT" else str(target.dtype)
    return Entry(target.label, dtype, target.shape, reason)


def _why_ambiguous(name: str, count: int) -> str:
    return (
        f"{count} Variables of the checkpoint have the global name {name!r}, so that a name does"
        " not say which is meant. Restore by the object graph: Checkpoint.restore()."
    )


def _unused(
    source: CheckpointSource, names: Mapping[str, tuple[int, ...]], asked: set[str]
) -> list[Entry]:
    """Return the stored tensors that nobody asked for; the save counter is the library's own."""
    unused = []
    for name, numbers in names.items():
        if name not in asked and name != SAVE_COUNTER:
            info = source.tensors[numbers[0]]
            unused.append(Entry(name, info.dtype, info.shape, "nothing has this name"))
    return unused


def _missing(targets: Sequence[NamedTarget], unused: Sequence[Entry]) -> list[Entry]:
    """Return the targets whose names are not there, the first with names they may have had."""
    by_name = [attrs.evolve(_entry(t, ABSENT), path=t.name) for t in targets]
    missing = []
    for target, entry in zip(targets, suggest(by_name, unused), strict=True):
        reason = f"the checkpoint has no tensor of the name {target.name!r}"
        if entry.candidates:
            reason += f"; it holds {entry.candidates[0]!r}. Renamed?"
        missing.append(attrs.evolve(entry, path=target.label, reason=reason))
    return missing


def _why_not_found(match: NameMatch) -> str:
    """Return which names are missing and which are extra, and how many matched."""
    source = match.source
    matched = len(match.matched) + len(match.mismatched) + len(match.skipped)
    total = matched + len(match.missing)
    lines = [
        f"{source.path}: {len(match.missing):,} of {total:,} names are not in the checkpoint;"
        f" {matched:,} matched. Nothing was assigned."
    ]
    if source.graph is not None:
        lines.append(
            "It is object-based, so the global names that its Variables had when it was saved were"
            " used."
        )
    lines.extend(_listed("missing", [str(entry) for entry in match.missing]))
    lines.extend(_listed("extra", [_stored(entry) for entry in match.unused]))
    if source.graph is not None:
        lines.append("Restore it by the object graph, with Checkpoint.restore(), or by these names")
    else:
        lines.append("Restore by the stored names")
    lines[-1] += ": give a dict of stored names to Variables, or fewer Variables."
    return "\n  ".join(lines)


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    lines = [f"{title}: {entry}" for entry in entries[:_SHOWN]]
    if len(entries) > _SHOWN:
        lines.append(f"{title}: ... and {len(entries) - _SHOWN:,} more")
    return lines


def _stored(entry: Entry) -> str:
    return str(attrs.evolve(entry, reason=""))
