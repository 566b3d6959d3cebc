"""Check that a network is deterministic, as comparable scores presume."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.copying.network_copy import shared_copy
from rlquant.errors import NetworkError
from rlquant.evaluation.repeated import PASSES
from rlquant.forward_pass import run, tensors_in
from rlquant.responsiveness import any_finite, as_data, distinct_sites, same_outputs
from rlquant.samples import Samples

ROUNDS = 3
"""How often a network is run with other weights and other samples between two comparisons."""
SEEDS = 32
"""Seeds under which a network is compared that draws random numbers: they may change little."""
FEW, MORE = 2, 32
"""Samples that outputs are compared on, where nothing is drawn and where something is."""
RANDOM_WEIGHTS = 8
"""Random weights under which outputs that never change are looked at."""


def require_steady(
    network: nn.Module, layers: Sequence[str], first: Samples, other: Samples
) -> None:
    """Raise `NetworkError` unless outputs depend on weights and inputs alone.

    Args:
        network: left as it is.
        layers: paths of the layers whose weights evaluations exchange.
        first: a few samples that are run in between.
        other: outputs are compared on the first ones of these samples.
    """
    reason = unsteadiness(network, layers, first, other)
    if reason is not None:
        raise NetworkError(
            f"the network is not the same function every time: {reason}. A score would depend on "
            f"what was evaluated before; make it compute the same in eval mode, or accept it with "
            f"stochastic=True: scores are then means over {PASSES} passes with fixed seeds"
        )


@torch.no_grad()
def unsteadiness(
    network: nn.Module, layers: Sequence[str], first: Samples, other: Samples
) -> str | None:
    """Say how a network's outputs depend on more than weights and inputs; None where they do not.

    A copy that was run before, with other weights and on other samples, is compared with a fresh
    one; its buffers must stay as they were after the first pass.
    """
    if _draws(network, other.first(FEW)) and _differs_by_seed(network, other.first(MORE)):
        return "it draws random numbers (a dropout that is always on?)"
    other = other.first(FEW)
    expected = _run(shared_copy(network), other)
    used = shared_copy(network)
    buffers: dict[str, Tensor] = {}
    for number in range(ROUNDS):
        for samples in (first, other):
            halved = _run_with(used, layers, samples, lambda weight: weight / 2)
        if not same_outputs(expected, _run(used, other)):
            return "its outputs depend on what it was run on before (a cache, a running mean?)"
        changed = _changed(buffers, used) if number else None
        if changed is not None:
            return f"every pass changes its buffer {changed[:100]!r}"
        buffers = {name: buffer.clone() for name, buffer in used.named_buffers()}
    if same_outputs(expected, halved) and not _answers(used, layers, other, expected):
        return "its outputs stay the same whatever the weights (a cache of weights or outputs?)"
    return None


def require_repeatable(network: nn.Module, samples: Samples) -> None:
    """Raise `NetworkError` unless fresh copies give the same outputs from the same seeds."""
    outputs = []
    for _ in range(2):
        with seeded(0), torch.no_grad():
            outputs.append(_run(shared_copy(network), samples))
    if not same_outputs(*outputs):
        raise NetworkError(
            "the network gives other outputs from the same seeds, so that stochastic=True cannot "
            "make its scores comparable; let it draw from the global generators of torch, NumPy "
            "or random, and keep what it remembers in its own attributes, not in globals"
        )


def _run(network: nn.Module, samples: Samples) -> Any:
    return run(network, samples.inputs)


def _answers(network: nn.Module, layers: Sequence[str], samples: Samples, expected: Any) -> bool:
    """Return whether some random weights give other outputs, or nothing can be said.

    Outputs may all be zero for some weights, and for all of them where the inputs are zero.
    """
    if not any(tensor.any() for tensor in tensors_in(samples.inputs)) or not any_finite(expected):
        return True
    for seed in range(RANDOM_WEIGHTS):
        with seeded(seed):
            outputs = _run_with(network, layers, samples, torch.randn_like)
        if not same_outputs(expected, outputs):
            return True
    return False


def _run_with(
    network: nn.Module,
    layers: Sequence[str],
    samples: Samples,
    other: Callable[[Tensor], Tensor],
) -> Any:
    """Run a network with other weights in its layers, which get theirs back."""
    with ExitStack() as exchanged:
        for site in distinct_sites(network, layers):
            weight = other(site.weight_in(network))
            exchanged.enter_context(as_data(network, site, weight))
        return _run(network, samples)


def _draws(network: nn.Module, samples: Samples) -> bool:
    """Return whether a pass draws from a global random generator, for whatever it is."""
    clone, device = shared_copy(network), samples.device
    with seeded(0):
        untouched = _next_draws(device)
    with seeded(0):
        _run(clone, samples)
        return _next_draws(device) != untouched


def _differs_by_seed(network: nn.Module, samples: Samples) -> bool:
    """Return whether fresh copies give other outputs under some seeds."""
    expected = None
    for seed in range(SEEDS):
        with seeded(seed):
            outputs = _run(shared_copy(network), samples)
        if seed and not same_outputs(expected, outputs):
            return True
        expected = outputs
    return False


def _next_draws(device: torch.device) -> tuple[float, ...]:
    drawn = (torch.rand(()), torch.rand((), device=device), random.random(), np.random.random())
    return tuple(float(number) for number in drawn)


def _changed(before: Mapping[str, Tensor], network: nn.Module) -> str | None:
    """Return the name of a buffer that is not as it was, None where all are."""
    now = dict(network.named_buffers())
    if before.keys() != now.keys():
        return min(before.keys() ^ now.keys())
    return next((name for name in now if not same_outputs(before[name], now[name])), None)
