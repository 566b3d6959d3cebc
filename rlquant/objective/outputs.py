"""Outputs and targets as objectives take them, with the errors where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rlquant.errors import DataError
from rlquant.samples import Samples

IGNORED = -100
"""The label of positions that do not count, as in PyTorch and Hugging Face."""

MAIN_OUTPUTS = ("logits", "last_hidden_state", "out", "output")
"""Which of the outputs by name is scored, the first that there is."""


def main_output(outputs: Any, name: str) -> Tensor:
    """Return the tensor that is scored of a network's outputs.

    A tensor is itself; of a mapping (Hugging Face's outputs are some) it is the first of
    `MAIN_OUTPUTS` or the only tensor; of a tuple the first element.

    Raises:
        DataError: there is none; it names the objective.
    """
    found = outputs
    if isinstance(outputs, Mapping):
        tensors = [key for key, value in outputs.items() if isinstance(value, Tensor)]
        named = [key for key in MAIN_OUTPUTS if key in tensors] or tensors[: len(tensors) == 1]
        found = outputs[named[0]] if named else outputs
    elif isinstance(outputs, Sequence) and outputs:
        found = outputs[0]
    if not isinstance(found, Tensor):
        keys = f" with {sorted(map(str, outputs))}" if isinstance(outputs, Mapping) else ""
        raise DataError(
            f"{name} needs a tensor of outputs, the network gives a {type(outputs).__name__}"
            f"{keys}; give an objective of your own that takes it out, or a network that returns "
            f"it alone"
        )
    return found


def require_targets(targets: Any, name: str) -> None:
    """Raise `DataError` where targets are no tensor; it names the objective."""
    if not isinstance(targets, Tensor):
        what = f"targets named {sorted(targets)}" if targets else "no targets"
        raise DataError(
            f"{name} needs a tensor of targets, batches have {what}; give (inputs, targets), or "
            f"objective=Distillation(), which needs none"
        )


def mask_of(batch: Samples, outputs: Tensor) -> Tensor:
    """Return which vectors of features count, bool, the shape of the outputs but for the last."""
    mask = batch.mask
    shape = outputs.shape[:-1]
    if mask is None or mask.shape != shape[:2]:
        return torch.ones(shape, dtype=torch.bool, device=outputs.device)
    return mask.reshape(*mask.shape, *[1] * (len(shape) - 2)).expand(shape).contiguous()


def wide(outputs: Tensor) -> Tensor:
    """Return float outputs in at least float32: a sum of losses in bfloat16 has two digits."""
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


IN_CACHE = 2**19
"""Numbers that are reduced at a time: what a vocabulary takes more of falls out of the cache."""


def in_cache(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield some rows after the others of tensors of as many rows; of the first they are few."""
    rows = max(1, IN_CACHE // max(1, tensors[0].shape[-1]))
    yield from zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)
