"""A file of quantized weights that do not fit into memory."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.quantizers import QuantizedTensor


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """Where the codes of a weight begin; scales and offsets stay in memory."""

    start: int
    shape: torch.Size
    dtype: torch.dtype
    rest: QuantizedTensor


class CodeFile:
    """Keeps codes in a file without a name, which goes when this process ends.

    Args:
        folder: on a disk with room, 1 byte for each weight and choice.
    """

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this is
        weakref.finalize(self, self._file.close)
        self._entries: dict[LayerChoice, _Entry] = {}

    def put(self, choice: LayerChoice, tensor: QuantizedTensor) -> None:
        """Write a weight's codes, once."""
        if choice in self._entries:
            return
        codes = tensor.codes
        start = self._file.seek(0, 2)
        self._file.write(codes.cpu().contiguous().numpy().tobytes())
        rest = replace(tensor, codes=codes.new_empty(0))
        self._entries[choice] = _Entry(start, codes.shape, codes.dtype, rest)

    def get(self, choice: LayerChoice) -> QuantizedTensor | None:
        """Return a weight that was written; None for any other."""
        entry = self._entries.get(choice)
        if entry is None:
            return None
        kind = np.uint8 if entry.dtype == torch.uint8 else np.int32
        count = entry.shape.numel()
        self._file.seek(entry.start)
        read = np.frombuffer(self._file.read(count * np.dtype(kind).itemsize), kind).copy()
        codes: Tensor = torch.from_numpy(read).reshape(entry.shape)
        return replace(entry.rest, codes=codes.to(entry.rest.codes.device))
