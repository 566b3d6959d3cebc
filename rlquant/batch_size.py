"""Sizes of batches that a network is run on: as many samples as its tensors leave room for."""

from __future__ import annotations

from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.copying.network_copy import shared_copy
from rlquant.forward_pass import output_bytes, outputs_of
from rlquant.samples import Samples

LARGEST_BATCH = 250
"""Samples of a batch by default."""
BATCH_BYTES = 2**27
"""Bytes of a batch's outputs, at most: a language model gives a number for every token and word."""
ACTIVATION_BYTES = 2**24
"""Bytes of the largest tensor inside a network on a CPU, at most.

Larger ones fit no cache, and glibc's allocator gives them back to the system after every operation:
EfficientNet-Lite0 takes three times as long for an image in batches of 64 as in batches of 3.
"""
FEWEST = 2
"""Samples of a batch that large tensors inside a network leave: `squeeze()` does more to one."""


def batch_size_within(
    network: nn.Module,
    samples: Samples,
    asked: int | None = None,
    *,
    most: int = LARGEST_BATCH,
    name: str = "data",
) -> int:
    """Return the samples of a batch: those asked for, or by default `most` or fewer.

    By default the outputs of a batch take at most `BATCH_BYTES`, and on a CPU the largest tensor
    inside the network at most `ACTIVATION_BYTES`.

    Args:
        network: left as it is.
        samples: of which two are run, by a copy.
        asked: None for the default.
        most: samples, by default.
        name: what the samples are called in errors.
    """
    if asked is not None:
        return asked
    few = samples.first(2)
    outside, inside = (max(1, size // len(few)) for size in _largest_bytes(network, few, name))
    fitting = max(1, BATCH_BYTES // outside)
    if samples.device.type == "cpu":
        fitting = min(fitting, max(FEWEST, ACTIVATION_BYTES // inside))
    return min(most, fitting)


def _largest_bytes(network: nn.Module, few: Samples, name: str) -> tuple[int, int]:
    """Return the bytes of a network's outputs, and of the largest tensor that is none of them."""
    seen: list[tuple[int, ref[Tensor]]] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        seen.extend((t.nbytes, ref(t)) for t in tree_leaves(output) if isinstance(t, Tensor))

    copied = shared_copy(network)
    for module in copied.modules():
        if not any(module.children()):
            module.register_forward_hook(note)
    with torch.inference_mode():
        outputs = outputs_of(copied, few.inputs, name)
    given = {id(leaf) for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)}
    inside = (taken for taken, tensor in seen if id(tensor()) not in given)
    return output_bytes(outputs), max(inside, default=0)
