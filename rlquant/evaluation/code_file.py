"""A file of quantized weights that do not fit into memory."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass, replace

import numpy as np
import torch

from rlquant.config import LayerChoice
from rlquant.evaluation.packed_weight import PackedWeight


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """Where the codes of a weight begin, and how many there are; the rest stays in memory."""

    start: int
    count: int
    rest: PackedWeight


class CodeFile:
    """Keeps codes in a file without a name, which goes when this process ends.

    Args:
        folder: on a disk with room, up to 1 byte for each weight and choice.
    """

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this is
        weakref.finalize(self, self._file.close)
        self._entries: dict[LayerChoice, _Entry] = {}

    def put(self, choice: LayerChoice, weight: PackedWeight) -> None:
        """Write a weight's codes, once."""
        if choice in self._entries:
            return
        codes = weight.codes
        start = self._file.seek(0, 2)
        self._file.write(codes.cpu().numpy().tobytes())
        rest = replace(weight, codes=codes.new_empty(0))
        self._entries[choice] = _Entry(start, len(codes), rest)

    def get(self, choice: LayerChoice) -> PackedWeight | None:
        """Return a weight that was written; None for any other."""
        entry = self._entries.get(choice)
        if entry is None:
            return None
        empty = entry.rest.codes
        kind = np.uint8 if empty.dtype == torch.uint8 else np.int32
        self._file.seek(entry.start)
        read = np.frombuffer(self._file.read(entry.count * np.dtype(kind).itemsize), kind).copy()
        return replace(entry.rest, codes=torch.from_numpy(read).to(empty.device))
