"""Rounding by reinforcement (REINFORCE): sampled assignments, scored channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.errors import SettingsError, require_not_negative, whole_number
from rlquant.quantizers import QuantizedTensor
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
    """

    steps: int = 300
    samples: int = 8
    rate: float = 0.2
    baseline: Baseline = "leave_one_out"
    prior: float = 8.0
    start: float = 2.0

    def __post_init__(self) -> None:
        whole_number(f"{PLACE}: steps", self.steps, 1)
        whole_number(
            f"{PLACE}: samples", self.samples, 2 if self.baseline == "leave_one_out" else 1
        )
        if self.baseline not in ("none", "greedy", "leave_one_out"):
            raise SettingsError(
                f"{PLACE}: baseline={self.baseline!r}, use none, greedy or leave_one_out"
            )
        for field in ("rate", "prior", "start"):
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
    logits = prior_logits(between, settings.prior)
    if start is not None:
        logits = logits + settings.start * (between.going_up(start).float() * 2 - 1)
    unit = quadratic(between.error(between.nearest), moments).clamp_min(1e-30)

    def losses_of(up: Tensor) -> Tensor:
        """Return each channel's error over that of nearest rounding."""
        return quadratic(between.error(up.float()), moments) / unit

    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], betas=(0.9, 0.99))
    best = BestSeen(between.nearest, torch.ones_like(unit))
    for step in range(settings.steps):
        with torch.no_grad():
            drawn = draw(logits, settings.samples, generator)
            losses = losses_of(drawn)
            best = best.after(drawn, losses)
            usual = losses_of(greedy(logits)) if settings.baseline == "greedy" else None
            logits.grad = score_gradient(logits, drawn, losses, settings.baseline, usual)
        optimizer.param_groups[0]["lr"] = settings.rate * (1 - step / settings.steps)
        optimizer.step()
    last = greedy(logits.detach())[None]
    return between.assigned(best.after(last, losses_of(last)).up)


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
