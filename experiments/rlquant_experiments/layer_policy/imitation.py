"""Regression on measured configurations: sums of corrected increases are to predict them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.ambient import seeded
from rlquant_experiments.layer_policy.encoder import LayerEncoder
from rlquant_experiments.layer_policy.examples import Examples
from rlquant_experiments.layer_policy.features import FEATURES

NOISE = 0.1
"""Standard deviation of logs that no option's increase explains."""


@dataclass(frozen=True, kw_only=True)
class ImitationSettings:
    """How an encoder learns from measured configurations.

    Attributes:
        steps: of AdamW.
        rate: the largest learning rate of AdamW; it rises and falls once.
        decay: weight decay.
        pull: weight of the corrections' mean square, which draws them to nothing.
        width, blocks: of the encoder.
        batch: examples of a step.
    """

    steps: int = 250
    rate: float = 2e-3
    decay: float = 0.05
    pull: float = 1.0
    width: int = 32
    blocks: int = 2
    batch: int = 8


def imitate(examples: Examples, settings: ImitationSettings, seed: int) -> LayerEncoder:
    """Return an encoder that predicts the examples.

    Only differences within an example count: a factor that all increases of a network have in
    common changes no knapsack.
    """
    with seeded(seed):
        encoder = LayerEncoder(len(FEATURES), settings.width, settings.blocks)
        count = len(examples.of)
        optimizer = torch.optim.AdamW(
            encoder.parameters(), settings.rate, weight_decay=settings.decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, settings.steps)
        for _ in range(settings.steps):
            batch = examples.at(torch.randperm(count)[: settings.batch])
            loss = loss_of(encoder, batch, settings.pull)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return encoder.eval()


def loss_of(encoder: LayerEncoder, batch: Examples, pull: float) -> Tensor:
    """Return minus the mean log likelihood of what was measured, and what holds it back."""
    found = encoder(batch.features, batch.own)
    error = centred(batch.targets - batch.predicted(found.mean), batch.targets)
    variance = batch.variance(found.mean.detach(), found.deviation) + NOISE**2
    known = ~batch.targets.isnan()
    likelihood = 0.5 * (error.square() / variance + variance.log())[known].mean()
    loss: Tensor = likelihood + pull * found.mean[batch.own].square().mean()
    return loss


def centred(errors: Tensor, targets: Tensor) -> Tensor:
    """Return errors less the mean of their example; 0 where nothing was measured."""
    known = ~targets.isnan()
    filled = errors.where(known, torch.zeros_like(errors))
    mean = filled.sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True)
    return (filled - mean).where(known, torch.zeros_like(errors))
