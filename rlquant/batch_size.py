"""Sizes of batches that a network is run on: as many samples as their outputs leave room for."""

from __future__ import annotations

import torch
from torch import nn

from rlquant.copying.network_copy import shared_copy
from rlquant.forward_pass import output_bytes, outputs_of
from rlquant.samples import Samples

LARGEST_BATCH = 250
"""Samples of a batch by default; more images at once are slower on a CPU."""
BATCH_BYTES = 2**27
"""Bytes of a batch's outputs, at most: a language model gives a number for every token and word."""


def batch_size_within(
    network: nn.Module,
    samples: Samples,
    asked: int | None = None,
    *,
    most: int = LARGEST_BATCH,
    name: str = "data",
) -> int:
    """Return the samples of a batch: those asked for, or by default `most` or fewer.

    By default the outputs of a batch take at most `BATCH_BYTES`.

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
    with torch.inference_mode():
        each = output_bytes(outputs_of(shared_copy(network), few.inputs, name)) // len(few)
    return max(1, min(most, BATCH_BYTES // max(1, each)))
