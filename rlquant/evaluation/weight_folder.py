"""Quantized weights in a folder, a file each: beyond what memory holds, and for later processes."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from rlquant.config import GroupSize, LayerChoice
from rlquant.documents import parse_json, read_as
from rlquant.documents.tensor_file import TensorFile, read_tensors
from rlquant.errors import FileFormatError
from rlquant.evaluation.packed_weight import PackedWeight
from rlquant.evaluation_settings import WEIGHTS
from rlquant.files import make_folder, write_file
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.tensor import CodebookKind

logger = logging.getLogger(__name__)

NUMBERS = ("scale", "offset", "zero_point", "values")
"""Tensors of a quantized weight beside its codes."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of its weight beside the tensors; `digest` is of these."""

    bits: int
    kind: CodebookKind
    group_size: GroupSize
    channel_axis: int
    strides: tuple[int, ...] | None
    shape: tuple[int, ...]
    digest: str


class WeightFolder:
    """Keeps quantized weights under a key of what they were made of.

    A file that is damaged, or not a weight of the shape that is asked for, counts as none.

    Args:
        folder: on a disk with room, up to a byte for each weight and choice; made when the first
            weight is put into it.
        key: of all that decides the weights of a choice: network, calibration samples, seed and
            version of the code; letters and digits.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        self._folder = Path(folder) / key

    def put(self, choice: LayerChoice, weight: PackedWeight) -> None:
        """Write a weight whole or not at all; `StorageError` where the disk does not take it."""
        if not self._folder.is_dir():
            make_folder(self._folder)
        rest = weight.rest
        tensors = {"codes": weight.codes}
        for name in NUMBERS:
            number = getattr(rest, name)
            if number is not None and not (name == "offset" and rest.zero_point is not None):
                tensors[name] = number
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        header = _Header(
            bits=rest.bits,
            kind=rest.kind,
            group_size=rest.group_size,
            channel_axis=rest.channel_axis,
            strides=rest.strides,
            shape=tuple(weight.shape),
            digest=_digest(tensors),
        )
        data = save(tensors, metadata={"weight": json.dumps(asdict(header))})
        write_file(self._path(choice), data)

    def get(self, choice: LayerChoice, like: Tensor) -> PackedWeight | None:
        """Return a weight that was written, on the device of the float weight; None for no such."""
        path = self._path(choice)
        if not path.exists():
            return None
        try:
            return _parsed(read_tensors(path), like)
        except (FileFormatError, OSError) as error:
            logger.warning("%s is not used, and quantized again: %s", path.name, error)
            return None

    def _path(self, choice: LayerChoice) -> Path:
        text = json.dumps(asdict(choice), sort_keys=True)
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return self._folder / f"{name}.safetensors"


def remove_weights(run_folder: Path) -> None:
    """Remove the weights that `EvaluationSettings.with_weights_in` keeps in a run folder.

    Whoever goes on with an interrupted search needs them again, nobody those of a finished one.
    """
    shutil.rmtree(run_folder / WEIGHTS, ignore_errors=True)


def _parsed(file: TensorFile, like: Tensor) -> PackedWeight:
    header = read_as(_Header, parse_json(file.metadata.get("weight", "")))
    tensors = file.tensors
    if header.digest != _digest(tensors) or not {"codes"} <= set(tensors) <= {"codes", *NUMBERS}:
        raise FileFormatError("its tensors are not those that were written")
    if header.shape != tuple(like.shape):
        raise FileFormatError(f"its weight has shape {header.shape}, not {tuple(like.shape)}")
    codes = tensors.pop("codes").to(like.device)
    numbers = {name: tensor.to(like.device) for name, tensor in tensors.items()}
    rest = QuantizedTensor(
        codes.new_empty(0),
        header.bits,
        header.kind,
        group_size=header.group_size,
        channel_axis=header.channel_axis,
        strides=header.strides,
        **numbers,
    )
    return PackedWeight(codes, torch.Size(header.shape), rest)


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].cpu().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()
