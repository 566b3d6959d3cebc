"""What is known of a small network: side information of its options, and measured losses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save

from rlquant.documents import parse_json, read_as
from rlquant.documents.tensor_file import read_tensors, require_sound
from rlquant.errors import FileFormatError
from rlquant.files import reading, write_file

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
FORMAT = "rlquant landscape 1"
ARRAYS = ("increases", "fisher", "weight_errors", "costs", "layers", "options", "own")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landscape:
    """A network's options, and configurations of it whose loss was measured.

    Attributes:
        name, family: of the network.
        names: of the layers, in execution order.
        float_loss: of the float network.
        limits: of the budgets, in the unit of `costs`.
        fixed: what every configuration costs beside its options.
        increases: expected ones by gradients, shape `(layers, options)`.
        fisher, weight_errors: what other first answers go by, same shape.
        costs: bits that an option takes at a layer, same shape.
        own: whether a layer has an option of its own, same shape.
        layers: facts that features are made of, shape `(layers, LAYER_FACTS)`.
        options: bits and weights per group, 0 for a whole channel, shape `(options, 2)`.
        rows: option indices of what was measured, shape `(n, layers)`.
        losses: shape `(n,)`.
        budgets: for each row the number of its budget, shape `(n,)`.
    """

    name: str
    family: str
    names: tuple[str, ...]
    float_loss: float
    limits: tuple[int, ...]
    fixed: int
    increases: Floats
    fisher: Floats
    weight_errors: Floats
    costs: Floats
    own: Floats
    layers: Floats
    options: Floats
    rows: Indices
    losses: Floats
    budgets: Indices

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        arrays = {name: getattr(self, name) for name in (*ARRAYS, "rows", "losses", "budgets")}
        header = {
            "format": FORMAT,
            "name": self.name,
            "family": self.family,
            "names": list(self.names),
            "float_loss": self.float_loss,
            "limits": list(self.limits),
            "fixed": self.fixed,
        }
        tensors = {name: torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}
        write_file(path, save(tensors, metadata={"landscape": json.dumps(header)}))


class _Header(TypedDict):
    format: str
    name: str
    family: str
    names: list[str]
    float_loss: float
    limits: list[int]
    fixed: int


def read_landscape(path: Path) -> Landscape:
    """Read a landscape.

    Raises:
        FileFormatError: a damaged or foreign file.
        StorageError: it cannot be read.
    """
    with reading(path):
        file = read_tensors(path)
        header = read_as(_Header, parse_json(file.metadata.get("landscape", "{}")))
        if header["format"] != FORMAT:
            raise FileFormatError("no landscape of this version; have it made again")
        require_sound(file.tensors)
        arrays: dict[str, Any] = {name: t.numpy() for name, t in file.tensors.items()}
        return Landscape(
            name=header["name"],
            family=header["family"],
            names=tuple(header["names"]),
            float_loss=header["float_loss"],
            limits=tuple(header["limits"]),
            fixed=header["fixed"],
            **arrays,
        )
