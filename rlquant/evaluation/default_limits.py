"""What evaluations keep in memory by default: beside a large network, less than the network takes.

A large network is in memory twice already, as the caller's and as the problem's, and its quantized
weights once; what is kept beside them makes evaluations faster, and is bound by the network's size.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from rlquant.evaluation.process_memory import available_bytes

LARGE = 2**28
"""Bytes of a network from which on memory is bound by its size."""
SHARE_OF_WEIGHTS = 1 / 2
"""Of the float weights: what two configurations of 8 bits take, or four of 4."""
MOST_PREFIXES = 2**30
"""Bytes of activations that are kept at most."""
SHARE_OF_PREFIXES = 1 / 8
"""Of a large network: the activations that are kept beside it."""
SHARE_OF_CODES = 3 / 2
"""Of the float weights: codes that expected increases are made of, six choices of up to 8 bits."""
SHARE_OF_FREE = 1 / 4
"""The most of the machine's free memory that any of them takes."""


def bank_limit(weights: Iterable[Tensor]) -> int:
    """Return the bytes of quantized weights that are kept for searched float weights."""
    taken = sum(weight.nbytes for weight in weights)
    return within_free(LARGE if taken <= LARGE else int(taken * SHARE_OF_WEIGHTS))


def prefix_limit(parameters: Iterable[Tensor]) -> int:
    """Return the bytes of shared activations that are kept beside a network's parameters."""
    taken = sum(parameter.nbytes for parameter in parameters)
    wanted = MOST_PREFIXES if taken <= LARGE else int(taken * SHARE_OF_PREFIXES)
    return within_free(min(wanted, MOST_PREFIXES))


def increase_limit(weights: Iterable[Tensor]) -> int:
    """Return the bytes of codes that expected increases of float weights are made of at a time.

    Whatever memory is free: it decides what the increases cost, which a search must repeat.
    """
    return max(LARGE, int(sum(weight.nbytes for weight in weights) * SHARE_OF_CODES))


def within_free(wanted: int) -> int:
    """Return what is wanted, within a share of the free memory where that is known."""
    free = available_bytes()
    return wanted if free is None else min(wanted, int(free * SHARE_OF_FREE))
