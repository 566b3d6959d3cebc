"""Mean bits per weight under a Huffman code."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import torch
from torch import nn

from rlquant.errors import DataError
from rlquant.export.quantized_layers import quantized_layers


def mean_length(frequencies: Sequence[float]) -> float:
    """Return the mean length of a Huffman code in bits.

    Args:
        frequencies: of each symbol, 0 or more, of any sum; symbols that never come have no code.

    Returns:
        The mean over symbols by frequency; 0 for a single symbol, which needs no bit.

    Raises:
        DataError: no symbol comes, or a frequency is below 0.

    Source: Huffman 1952: the mean length is the sum of all merged frequencies.
    """
    waiting = _shares(frequencies)
    heapq.heapify(waiting)
    total = 0.0
    while len(waiting) > 1:
        merged = heapq.heappop(waiting) + heapq.heappop(waiting)
        total += merged
        heapq.heappush(waiting, merged)
    return total


def entropy(frequencies: Sequence[float]) -> float:
    """Return the entropy in bits; arguments and errors as of `mean_length`."""
    shares = torch.tensor(_shares(frequencies), dtype=torch.float64)
    return abs(float((shares * shares.log2()).sum()))


def code_frequencies(quantized: nn.Module) -> list[float]:
    """Return how often each code comes in all layers of a quantized network together.

    One code for all tensors, as in the code released with the paper.
    """
    codes = [layer.weight.tensor.codes for layer in quantized_layers(quantized).values()]
    pooled = torch.cat([c.reshape(-1).long() for c in codes])
    return [float(count) for count in torch.bincount(pooled)]


def _shares(frequencies: Sequence[float]) -> list[float]:
    present = [float(frequency) for frequency in frequencies if frequency]
    if not present or min(present) < 0:
        raise DataError(f"frequencies {list(frequencies)}: use some above 0 and none below")
    total = sum(present)
    return [frequency / total for frequency in present]
