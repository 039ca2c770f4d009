"""The checkpoints in tests/fixtures/tensorflow, and what their `expected.json` says of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "tensorflow"

#: Quantized types are read as the integers that they are, variants as their bytes.
READ_AS: Final = {
    **{f"q{name}": name for name in ("int8", "uint8", "int16", "uint16", "int32")},
    "variant": "string",
}


@attrs.frozen
class Sample:
    """One checkpoint.

    Attributes:
        case: the folder.
        prefix: the path in it.
        format: "v2" or "v1".
        expected: what `expected.json` says of it.
    """

    case: str
    prefix: str
    format: str
    expected: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.case}/{self.prefix}"

    @property
    def path(self) -> str:
        """The path of the checkpoint."""
        return str(FIXTURES / self.case / self.prefix)

    @property
    def tensors(self) -> Mapping[str, Mapping[str, Any]]:
        """What is expected of each tensor; of some only where the checkpoint holds many."""
        coded = {
            base64.b64decode(key).decode("utf-8", "surrogateescape"): facts
            for key, facts in self.expected.get("tensors_b64", {}).items()
        }
        return self.expected["tensors"] | coded

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the checkpoint, by their names behind the prefix."""
        folder, name = Path(self.path).parent, Path(self.path).name
        found = [p for p in folder.iterdir() if p.name.startswith((f"{name}.index", f"{name}.d"))]
        return {path.name.removeprefix(name): path.read_bytes() for path in sorted(found)}


def _load() -> list[Sample]:
    cases = [json.loads(p.read_text()) | {"at": p} for p in sorted(FIXTURES.glob("*/*.json"))]
    return [
        Sample(case["at"].parent.name, found["prefix"], found["format"], found)
        for case in cases
        for found in case["checkpoints"]
    ]


SAMPLES: Final = _load()
V2: Final = [sample for sample in SAMPLES if sample.format == "v2"]
V1: Final = [sample for sample in SAMPLES if sample.format == "v1"]


def sample(name: str) -> Sample:
    """Return the sample of that case and prefix."""
    return next(s for s in SAMPLES if str(s) == name)


def description(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return what `expected.json` says of an array of these elements, but for its dtype."""
    shape = list(array.shape)
    if array.dtype == object:
        items = [i.encode() if isinstance(i, str) else i for i in array.reshape(-1).tolist()]
        counted = b"".join(len(item).to_bytes(8, "little") + item for item in items)
        digest = hashlib.sha256(counted).hexdigest()
        return {"shape": shape, "nbytes": sum(map(len, items)), "sha256": digest}
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = little.tobytes()
    return {"shape": shape, "nbytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def values(array: npt.NDArray[Any]) -> list[Any]:
    """Return the elements of an array as `expected.json` lists them."""
    flat = array.reshape(-1)
    if array.dtype == object:
        return [base64.b64encode(item).decode() for item in flat.tolist()]
    if array.dtype.kind == "c":
        return [[number.real, number.imag] for number in flat.tolist()]
    if array.dtype.kind in "biuf":
        return list(flat.tolist())
    whole = "int" in array.dtype.name
    return [int(number) if whole else float(number) for number in flat]
