"""Learning an assignment across layers, by the loss of the whole network.

The future work of Polino et al. 2018 in full: the weights of all layers act at once, and what they
earn is minus the network's own loss, discrete and across layers, where no layer's moments reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlquant.assignment.neighbours import Neighbours
from rlquant.assignment.policy import draw, greedy, prior_logits, score_gradient
from rlquant.errors import SettingsError, require_not_negative, whole_number
from rlquant.quantizers import QuantizedTensor
from rlquant.training.batches import Batch, Batches, Teacher
from rlquant.training.loop import take, with_gradients
from rlquant.training.losses import TrainingLoss
from rlquant.training.watching import WATCH_EVERY, Watcher

Estimator = Literal["score", "linear", "corrected"]
PLACE = "NetworkPolicySettings"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicySettings:
    """How an assignment is learned across layers.

    Attributes:
        steps: updates of the policy.
        samples: assignments drawn a step, all on one batch; at least 2 unless "linear".
        rate: of Adam on the logits; it falls to 0 along a line.
        start: logit towards the assignment that is begun at, away from it elsewhere.
        prior: logits added are this times the position between the points, less 1/2.
        estimator: of the gradient of the expected loss. "score": score function with the mean loss
            of the other samples as baseline; unbiased, and as noisy as there are weights. "linear":
            what the loss is to first order around each sample; biased by its curvature, with
            little noise. "corrected": the second with the score function of what it leaves, the
            slopes those of the other samples; unbiased.
    """

    steps: int = 200
    samples: int = 2
    rate: float = 0.1
    start: float = 3.0
    prior: float = 2.0
    estimator: Estimator = "linear"

    def __post_init__(self) -> None:
        if self.estimator not in ("score", "linear", "corrected"):
            raise SettingsError(
                f"{PLACE}: estimator={self.estimator!r}, use score, linear or corrected"
            )
        whole_number(f"{PLACE}: steps", self.steps, 1)
        whole_number(f"{PLACE}: samples", self.samples, 1 if self.estimator == "linear" else 2)
        for field in ("rate", "start", "prior"):
            require_not_negative(PLACE, field, getattr(self, field))


def learn_across_layers(
    network: nn.Module,
    start: Mapping[str, QuantizedTensor],
    moments: Mapping[str, Tensor],
    batches: Batches,
    loss: TrainingLoss,
    *,
    float_network: nn.Module,
    generator: torch.Generator,
    teacher: Teacher | None = None,
    settings: NetworkPolicySettings = NetworkPolicySettings(),
    watch: Watcher | None = None,
) -> dict[str, QuantizedTensor]:
    """Learn which of two points each weight goes to, from losses of sampled networks.

    Each weight chooses between where it is and the point on the other side of what the layer's
    outputs want of it. What is stored is the greedy assignment.

    Args:
        network: a plain copy, calibrated with the weights of `start`; BatchNorms take the
            statistics of each batch. Its buffers are changed.
        start: by layer, the assignment to begin at; grids are kept.
        moments: of the inputs of the same layers.
        batches: what losses are taken on.
        loss: of a batch.
        float_network: has the float weights.
        generator: of the draws.
        teacher: gives the answers to follow, where the loss has a teacher's part.
        settings: see there.
        watch: told how the run goes; may end it, and what was learned so far is returned.

    Returns:
        By layer, the same grids with other codes.

    Source: Polino et al. 2018, future work; Gu et al. 2016, "MuProp", for the linear part.
    """
    policy = _Policy(float_network, start, moments, settings)
    _normalise_by_batch(network)
    optimizer = torch.optim.Adam(policy.logits, betas=(0.9, 0.99))
    with with_gradients():
        for step, batch in enumerate(take(batches, settings.steps)):
            answers = None if teacher is None else teacher(batch)
            drawn = _draw(network, policy, batch, answers, loss, generator)
            for logits, gradient in zip(policy.logits, _gradients(policy, drawn), strict=True):
                logits.grad = gradient
            optimizer.param_groups[0]["lr"] = settings.rate * (1 - step / settings.steps)
            optimizer.step()
            taken = step + 1
            if watch is not None and (taken % WATCH_EVERY == 0 or taken == settings.steps):
                figures = {
                    "loss": float(drawn.losses.mean()),
                    "steps_left": float(settings.steps - taken),
                }
                if watch(taken, figures):
                    break
    return policy.assigned()


class _Policy:
    """The logits of all layers, in one order."""

    def __init__(
        self,
        network: nn.Module,
        start: Mapping[str, QuantizedTensor],
        moments: Mapping[str, Tensor],
        settings: NetworkPolicySettings,
    ) -> None:
        self.settings = settings
        self._weights = [_weight(network, name) for name in start]
        self._names = list(start)
        self._between = [
            Neighbours.around(weight, start[name], moments[name])
            for name, weight in zip(start, self._weights, strict=True)
        ]
        self.logits = [
            self._first(between, start[name]).requires_grad_()
            for name, between in zip(start, self._between, strict=True)
        ]

    def _first(self, between: Neighbours, start: QuantizedTensor) -> Tensor:
        toward = between.going_up(start).float() * 2 - 1
        return prior_logits(between, self.settings.prior) + self.settings.start * toward

    def parameters(self, ups: list[Tensor]) -> dict[str, Tensor]:
        """Return the weights by parameter name; `ups` may be shares."""
        parts = zip(self._names, self._weights, self._between, ups, strict=True)
        return {
            f"{name}.weight": (weight + between.error(up).reshape(weight.shape)).to(weight.dtype)
            for name, weight, between, up in parts
        }

    def assigned(self) -> dict[str, QuantizedTensor]:
        """Return the greedy assignment."""
        parts = zip(self._names, self._between, self.logits, strict=True)
        return {n: between.assigned(greedy(logits.detach())) for n, between, logits in parts}


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Sampled networks on one batch.

    Attributes:
        ups: by layer, what was drawn, bool, shape `(samples, *logits.shape)`.
        losses: of the samples, shape `(samples,)`.
        slopes: by layer, of each sample's loss by its shares; same shape, empty for "score".
    """

    ups: list[Tensor]
    losses: Tensor
    slopes: list[Tensor]


def _draw(
    network: nn.Module,
    policy: _Policy,
    batch: Batch,
    answers: Any,
    loss: TrainingLoss,
    generator: torch.Generator,
) -> _Drawn:
    settings = policy.settings
    ups = [draw(logits.detach(), settings.samples, generator) for logits in policy.logits]
    sloped = settings.estimator != "score"
    losses, slopes = [], []
    for sample in zip(*ups, strict=True):
        shares = [up.float().requires_grad_(sloped) for up in sample]
        with torch.set_grad_enabled(sloped):
            outputs = functional_call(network, policy.parameters(shares), batch.inputs)
            value = loss(outputs, batch.targets, answers)[0]
        losses.append(value.detach())
        if sloped:
            slopes.append(torch.autograd.grad(value, shares))
    return _Drawn(ups, torch.stack(losses), [torch.stack(s) for s in zip(*slopes, strict=True)])


def _gradients(policy: _Policy, drawn: _Drawn) -> Iterator[Tensor]:
    """Yield the estimated gradient of the expected loss by the logits of each layer."""
    chances = [torch.sigmoid(logits.detach()) for logits in policy.logits]
    estimator, left = policy.settings.estimator, drawn.losses
    if estimator == "corrected":
        left = left - sum(map(_expected, drawn.ups, drawn.slopes, chances))
    for layer, (logits, chance) in enumerate(zip(policy.logits, chances, strict=True)):
        gradient = torch.zeros_like(chance)
        if estimator != "score":
            gradient += drawn.slopes[layer].mean(dim=0) * chance * (1 - chance)
        if estimator != "linear":
            flat = logits.detach().flatten()
            scored = score_gradient(flat, drawn.ups[layer].flatten(1), left)
            gradient += scored.reshape(chance.shape)
        yield gradient


def _expected(up: Tensor, slopes: Tensor, chance: Tensor) -> Tensor:
    """Return by how much each loss differs to first order, by the slopes of the other samples."""
    others = (slopes.sum(dim=0) - slopes) / (len(slopes) - 1)
    return (others * (up.float() - chance)).flatten(1).sum(dim=1)


def _weight(network: nn.Module, name: str) -> Tensor:
    weight = network.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def _normalise_by_batch(network: nn.Module) -> None:
    """BatchNorms alone in training mode: no dropout, or losses would differ by more than chance."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
