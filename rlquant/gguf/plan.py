"""What a GGUF file of a network holds beside its quantized weights: known before any is chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from rlquant.errors import FileFormatError, NetworkError, SettingsError
from rlquant.gguf.architecture import (
    architecture_of,
    file_names,
    hyperparameters,
    require_gguf,
    rows_in_file,
    vocabulary_size,
)
from rlquant.gguf.blocks import Bytes
from rlquant.gguf.container import GgufFile, TensorInfo, header_bytes, padded, tensor_bytes
from rlquant.gguf.ggml_types import float_type
from rlquant.gguf.tokenizer import tokenizer_metadata
from rlquant.gguf.values import decode, encode
from rlquant.paths import PathLike, path_of

NOT_COPIED = ("general.file_type", "general.alignment")
"""What a source says of its own tensors."""
NOT_COPIED_FROM = ("split.", "quantize.imatrix.")
TOKENS = "tokenizer.ggml.tokens"
OURS = {"general.quantization_version": encode("uint32", 2)}
ONLY_IN_FILES = ("rope_freqs.weight",)
"""Tensors that transformers computes of its configuration."""


@dataclass(frozen=True, slots=True, eq=False)
class GgufPlan:
    """A GGUF file up to the types of the weights that are quantized.

    Attributes:
        metadata: values by key, encoded.
        names: of tensors in the file, by their names in the network.
        rows: for tensors whose rows have another order there, which row each row of the file is.
        floats: bytes of each tensor where it stays float, by its name in the network.
        shapes: of the tensors, by their names in the network.
        copied: tensors that only the source has, with their bytes.
    """

    metadata: Mapping[str, bytes]
    names: Mapping[str, str]
    rows: Mapping[str, npt.NDArray[np.int64]]
    floats: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]
    copied: tuple[tuple[TensorInfo, Bytes], ...] = ()

    @classmethod
    def of(
        cls, network: nn.Module, tensors: Mapping[str, Tensor], source: PathLike | None
    ) -> GgufPlan:
        """Plan the file of a network.

        Args:
            network: of transformers, one of `ARCHITECTURES`, quantized or not.
            tensors: of the float network, as `stored_tensors` returns them.
            source: a GGUF file of the same network, whose metadata are copied, or the folder of
                transformers that it was loaded from, for its tokenizer.

        Raises:
            NetworkError: a network that such a file cannot hold.
            SettingsError: the package gguf is not installed, or there is no source.
            DataError, FileFormatError: the source is damaged, of another network, or has no
                tokenizer.
        """
        require_gguf()
        architecture_of(network)
        if source is None:
            raise SettingsError(
                "a GGUF file holds a tokenizer too: give as source the folder of transformers that "
                "the network was loaded from, or a GGUF file of the same network"
            )
        path = path_of("source", source)
        if path.is_dir():
            tokenizer = tokenizer_metadata(path, vocabulary_size(network))
            metadata = {**hyperparameters(network), **OURS, **tokenizer}
            return cls._with(network, tensors, metadata, ())
        file = GgufFile.open(path)
        metadata = _copied_metadata(network, file)
        return cls._with(network, tensors, metadata, _copied_tensors(file))

    @classmethod
    def _with(
        cls,
        network: nn.Module,
        tensors: Mapping[str, Tensor],
        metadata: Mapping[str, bytes],
        copied: tuple[tuple[TensorInfo, Bytes], ...],
    ) -> GgufPlan:
        orders = ((name, rows_in_file(network, name)) for name in tensors)
        return cls(
            metadata,
            file_names(network, list(tensors)),
            {name: rows for name, rows in orders if rows is not None},
            {name: float_bytes(tensor) for name, tensor in tensors.items()},
            {name: tuple(tensor.shape) for name, tensor in tensors.items()},
            copied,
        )

    def fixed_bytes(self, searched: Collection[str]) -> int:
        """Return the bytes of the file without the weights of searched layers.

        Args:
            searched: names of those weights in the network.
        """
        infos = [TensorInfo(self.names[name], self.shapes[name], 0) for name in self.names]
        header = header_bytes(self.metadata, [*infos, *(info for info, _ in self.copied)])
        floats = (padded(size) for name, size in self.floats.items() if name not in searched)
        return header + sum(floats) + sum(padded(len(data)) for _, data in self.copied)


def float_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor that stays float."""
    return float_type(tensor).bytes_of(tensor.numel())


def _copied_metadata(network: nn.Module, file: GgufFile) -> dict[str, bytes]:
    """Return a source's metadata, once they are of the same network."""
    own = hyperparameters(network, scaled=True)
    kind = architecture_of(network)
    compared = ["general.architecture", *(f"{kind.name}.{key}" for key in kind.hyperparameters)]
    for key in compared:
        theirs = decode(file.metadata[key]) if key in file.metadata else None
        if key.endswith("context_length") or theirs == decode(own[key]):
            continue
        raise NetworkError(
            f"{file.path} is of another network: its {key} is {str(theirs)[:60]!r}, this "
            f"network's {decode(own[key])!r}"
        )
    if TOKENS not in file.metadata:
        raise FileFormatError(f"{file.path} has no tokenizer ({TOKENS})")
    tokens = len(file.value(TOKENS))
    if tokens != vocabulary_size(network):
        raise NetworkError(f"{file.path} has {tokens:,} tokens, the network another number")
    kept = {
        key: OURS.get(key, value)
        for key, value in file.metadata.items()
        if key not in NOT_COPIED and not key.startswith(NOT_COPIED_FROM)
    }
    return {**kept, **OURS}


def _copied_tensors(file: GgufFile) -> tuple[tuple[TensorInfo, Bytes], ...]:
    there = [file.tensors[name] for name in ONLY_IN_FILES if name in file.tensors]
    return tuple((info, np.array(file.raw(info.name))) for info in there if tensor_bytes(info))


def is_gguf(path: Path) -> bool:
    """Return whether a path names a GGUF file."""
    return path.suffix == ".gguf"
