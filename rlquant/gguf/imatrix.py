"""llama.cpp's importance matrices: how large each input of a layer is, over a calibration text.

A GGUF file with two tensors for each weight, `NAME.in_sum2`, sums of squares of the inputs, and
`NAME.counts`, over how many tokens. Files of the older form (.dat) are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rlquant.errors import FileFormatError, NetworkError
from rlquant.files import reading
from rlquant.gguf.architecture import file_names, require_gguf
from rlquant.gguf.container import GgufFile
from rlquant.layers import LayerFacts

SUMS, COUNTS = ".in_sum2", ".counts"


def read_imatrix(path: Path, network: nn.Module, layers: Sequence[LayerFacts]) -> dict[str, Tensor]:
    """Return the mean square of each input of the layers that a file has, shape `(1, inputs)`.

    Args:
        path: of the file, as `llama-imatrix` writes it.
        network: of transformers, of a kind that GGUF files hold.
        layers: of it; embeddings and others may be missing in the file.

    Raises:
        StorageError: the file cannot be read.
        FileFormatError: it is no GGUF file, or a damaged one.
        NetworkError: it has none of the layers, or other numbers of inputs.
        SettingsError: the package gguf is not installed.
    """
    require_gguf()
    file = GgufFile.open(path)
    names = file_names(network, [f"{facts.name}.weight" for facts in layers])
    found = {}
    for facts in layers:
        name = names[f"{facts.name}.weight"]
        if name + SUMS in file.tensors and facts.kind == "linear":
            found[facts.name] = _mean_squares(file, name, facts.shape[1])
    if not found:
        raise NetworkError(f"{path} has importances of none of the network's Linear layers")
    return found


def digest(path: Path) -> str:
    """Return a hash of a file, for what depends on its contents."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mean_squares(file: GgufFile, name: str, inputs: int) -> Tensor:
    if name + COUNTS not in file.tensors:
        raise FileFormatError(f"{file.path} has no tensor {name + COUNTS!r}")
    sums, counts = file.floats(name + SUMS).reshape(-1), file.floats(name + COUNTS).reshape(-1)
    if len(sums) != inputs or len(counts) != 1:
        raise NetworkError(
            f"{file.path} is of another network: {name!r} has {len(sums)} inputs there, in the "
            f"network {inputs}"
        )
    with np.errstate(all="ignore"):
        squares = sums / counts[0]
    if not np.isfinite(squares).all() or squares.min() < 0 or not 0 < counts[0] < np.inf:
        raise FileFormatError(f"{file.path}: {name!r} has sums or counts that cannot be")
    return torch.from_numpy(squares)[None]
