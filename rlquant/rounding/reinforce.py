"""Rounding by reinforcement (REINFORCE): sampled assignments, scored channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.errors import SettingsError, require_not_negative, whole_number
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grouping import Grouping
from rlquant.rounding.neighbours import Neighbours, quadratic
from rlquant.rounding.policy import Baseline, draw, greedy, prior_logits, score_gradient

PLACE = "PolicySettings"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """How an assignment is learned.

    Attributes:
        steps: updates of the policy.
        samples: assignments drawn a step; at least 2 for the baseline "leave_one_out".
        rate: of Adam on the logits; it falls to 0 along a line.
        baseline: see `score_gradient`.
        prior: logits of the start are this times the position between the points, less 1/2.
        start: logit added towards a given start, away from it elsewhere.
        entropy: bonus for staying undecided, per weight, relative to nearest rounding's loss.
        deviation: loss added per weight that is expected to leave its nearest point, likewise.
        weights_per_action: weights of a channel, alike in position, that go up or down together.
    """

    steps: int = 300
    samples: int = 8
    rate: float = 0.2
    baseline: Baseline = "leave_one_out"
    prior: float = 8.0
    start: float = 2.0
    entropy: float = 0.0
    deviation: float = 0.0
    weights_per_action: int = 1

    def __post_init__(self) -> None:
        whole_number(f"{PLACE}: steps", self.steps, 1)
        whole_number(
            f"{PLACE}: samples", self.samples, 2 if self.baseline == "leave_one_out" else 1
        )
        if self.baseline not in ("none", "greedy", "leave_one_out"):
            raise SettingsError(
                f"{PLACE}: baseline={self.baseline!r}, use none, greedy or leave_one_out"
            )
        whole_number(f"{PLACE}: weights_per_action", self.weights_per_action, 1)
        for field in ("rate", "prior", "start", "entropy", "deviation"):
            require_not_negative(PLACE, field, getattr(self, field))


def learn_assignment(
    weight: Tensor,
    quantized: QuantizedTensor,
    moments: Tensor,
    *,
    generator: torch.Generator,
    settings: PolicySettings = PolicySettings(),
    start: QuantizedTensor | None = None,
) -> QuantizedTensor:
    """Learn which neighbour each weight goes to, from the errors of sampled assignments.

    Each output channel is rewarded by its own part of the error, as no other depends on its
    weights, relative to nearest rounding. What is stored is, in each channel, the best of all
    samples and of the greedy assignment at the end.

    Args:
        weight: the float weight, output channels first.
        quantized: gives the grid, which is kept.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        generator: of the draws.
        settings: see there.
        start: an assignment on the same grid that the policy begins near; nearest for None.

    Returns:
        The same grid with other codes; every weight is at one of its neighbours.

    Source: Polino et al. 2018, future work, with the estimators of `score_gradient`.
    """
    between = Neighbours.of(weight, quantized, moments)
    grouping = Grouping.of(between.position, settings.weights_per_action)
    logits = grouping.means(prior_logits(between, settings.prior))
    if start is not None:
        logits = logits + settings.start * grouping.means(between.going_up(start).float() * 2 - 1)
    away = grouping.sums(1 - 2 * between.nearest.float())
    channels = _ChannelLosses.of(between, moments, settings.deviation)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], betas=(0.9, 0.99))
    best = BestSeen(between.nearest, torch.ones_like(channels.unit))
    for step in range(settings.steps):
        with torch.no_grad():
            drawn, now = draw(logits, settings.samples, generator), greedy(logits)
            up = grouping.spread(drawn)
            losses = channels.losses(up)
            best = best.after(up, channels.penalised(up, losses))
            usual = channels.losses(grouping.spread(now)) if settings.baseline == "greedy" else None
            gradient = score_gradient(logits, drawn, losses, settings.baseline, usual)
            chance = torch.sigmoid(logits)
            varied = chance * (1 - chance)
            bonus = settings.entropy * logits * grouping.sizes
            logits.grad = gradient + (settings.deviation * away + bonus) * varied
        optimizer.param_groups[0]["lr"] = settings.rate * (1 - step / settings.steps)
        optimizer.step()
    last = grouping.spread(greedy(logits.detach()))[None]
    return between.assigned(best.after(last, channels.penalised(last, channels.losses(last))).up)


@dataclass(frozen=True, slots=True, eq=False)
class _ChannelLosses:
    """What assignments cost each output channel, in units of nearest rounding's error."""

    between: Neighbours
    moments: Tensor
    unit: Tensor
    deviation: float

    @classmethod
    def of(cls, between: Neighbours, moments: Tensor, deviation: float) -> _ChannelLosses:
        error = quadratic(between.error(between.nearest), moments)
        return cls(between, moments, error.clamp_min(1e-30), deviation)

    def losses(self, up: Tensor) -> Tensor:
        """Return the error of each channel, shape `(..., groups, channels)`."""
        return quadratic(self.between.error(up.float()), self.moments) / self.unit

    def penalised(self, up: Tensor, losses: Tensor) -> Tensor:
        """Return the losses with what leaving the nearest points costs."""
        return losses + self.deviation * (up != self.between.nearest).sum(dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class BestSeen:
    """In each output channel the assignment with the least error so far.

    Attributes:
        up: bool, shape `(groups, channels, fan_in)`.
        losses: shape `(groups, channels)`.
    """

    up: Tensor
    losses: Tensor

    def after(self, drawn: Tensor, losses: Tensor) -> BestSeen:
        """Return the best of what it was and of samples, `(samples, groups, channels, fan_in)`."""
        least, index = losses.min(dim=0)
        found = drawn.take_along_dim(index[None, :, :, None], dim=0)[0]
        up = torch.where((least < self.losses)[:, :, None], found, self.up)
        return BestSeen(up, torch.minimum(least, self.losses))
