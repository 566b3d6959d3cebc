"""Ways to assign a layer's weights by its own outputs, each with as many looks at the error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.adaround import relax
from rlquant.rounding.coordinate_descent import descend
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.learned import SWEEPS
from rlquant.rounding.neighbours import Neighbours, quadratic
from rlquant.rounding.policy import Baseline
from rlquant.rounding.reinforce import PolicySettings, learn_assignment
from rlquant_experiments.reproduction.assignment.lab import AssignLayer
from rlquant_experiments.reproduction.assignment.presets import AssignmentPreset

NEAREST, STOCHASTIC, FLIPS = "nearest", "stochastic, best", "random flips, best"
FEEDBACK, FEEDBACK_DESCENT = "GPTQ", "GPTQ + descent"
RELAXATION, RELAXATION_DESCENT = "relaxation", "relaxation + descent"
POLICY, CRITICAL, LEARNED = "policy", "policy, self-critical", "learned"
LAYER_WAYS = (
    *(NEAREST, STOCHASTIC, FLIPS, FEEDBACK, FEEDBACK_DESCENT),
    *(RELAXATION, RELAXATION_DESCENT, CRITICAL, POLICY),
)
"""Beside `LEARNED`, which the library's rounding does."""
CHUNK = 100
"""Draws scored at a time."""


def layer_ways(preset: AssignmentPreset) -> Mapping[str, AssignLayer]:
    """Return the ways by name."""
    return {
        NEAREST: lambda weight, nearest, moments, draws: nearest,
        STOCHASTIC: partial(_best_stochastic, preset),
        FLIPS: partial(_best_flips, preset),
        FEEDBACK: lambda weight, nearest, moments, draws: feed_back(weight, nearest, moments),
        FEEDBACK_DESCENT: lambda weight, nearest, moments, draws: descend(
            weight, feed_back(weight, nearest, moments), moments, sweeps=SWEEPS
        ),
        RELAXATION: lambda weight, nearest, moments, draws: relax(
            weight, nearest, moments, steps=preset.steps
        ),
        RELAXATION_DESCENT: lambda weight, nearest, moments, draws: descend(
            weight, relax(weight, nearest, moments, steps=preset.steps), moments, sweeps=SWEEPS
        ),
        CRITICAL: partial(_policy, preset, "greedy"),
        POLICY: partial(_policy, preset, "leave_one_out"),
    }


def _policy(
    preset: AssignmentPreset,
    baseline: Baseline,
    weight: Tensor,
    nearest: QuantizedTensor,
    moments: Tensor,
    draws: torch.Generator,
) -> QuantizedTensor:
    settings = PolicySettings(steps=preset.steps, samples=preset.samples, baseline=baseline)
    return learn_assignment(weight, nearest, moments, generator=draws, settings=settings)


def _best_stochastic(
    preset: AssignmentPreset,
    weight: Tensor,
    nearest: QuantizedTensor,
    moments: Tensor,
    draws: torch.Generator,
) -> QuantizedTensor:
    between = Neighbours.of(weight, nearest, moments)
    return _best(between, moments, between.position, preset.draws, draws)


def _best_flips(
    preset: AssignmentPreset,
    weight: Tensor,
    nearest: QuantizedTensor,
    moments: Tensor,
    draws: torch.Generator,
) -> QuantizedTensor:
    """Leave nearest rounding as often as the policy does, anywhere."""
    between = Neighbours.of(weight, nearest, moments)
    learned = _policy(preset, "leave_one_out", weight, nearest, moments, draws)
    rate = (between.going_up(learned) != between.nearest).float().mean()
    up = between.nearest.float()
    return _best(between, moments, up + rate * (1 - 2 * up), preset.draws, draws)


def _best(
    between: Neighbours, moments: Tensor, chance: Tensor, count: int, draws: torch.Generator
) -> QuantizedTensor:
    """Draw assignments of which every output channel keeps its best."""
    best, least = between.nearest, torch.full(chance.shape[:2], torch.inf)
    for first in range(0, count, CHUNK):
        number = min(CHUNK, count - first)
        up = torch.rand((number, *chance.shape), generator=draws) < chance
        errors, index = quadratic(between.error(up.float()), moments).min(dim=0)
        found = up.gather(0, index[None, :, :, None].expand(1, *chance.shape))[0]
        best = torch.where((errors < least)[:, :, None], found, best)
        least = torch.minimum(errors, least)
    return between.assigned(best)
