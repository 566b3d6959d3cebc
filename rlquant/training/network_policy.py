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
from rlquant.assignment.policy import draw, greedy, prior_logits
from rlquant.errors import SettingsError, require_not_negative, whole_number
from rlquant.quantizers import QuantizedTensor
from rlquant.training.batches import Batch, Batches, Teacher
from rlquant.training.loop import take, with_gradients
from rlquant.training.losses import TrainingLoss

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
            runs = [
                _run(network, policy, batch, answers, loss, generator)
                for _ in range(settings.samples)
            ]
            for logits, gradient in zip(policy.logits, _gradients(policy, runs), strict=True):
                logits.grad = gradient
            optimizer.param_groups[0]["lr"] = settings.rate * (1 - step / settings.steps)
            optimizer.step()
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
class _Run:
    """One sampled network on a batch: what was drawn, its loss, the slopes of the loss."""

    ups: list[Tensor]
    loss: Tensor
    slopes: list[Tensor]


def _run(
    network: nn.Module,
    policy: _Policy,
    batch: Batch,
    answers: Any,
    loss: TrainingLoss,
    generator: torch.Generator,
) -> _Run:
    ups = [draw(x.detach(), 1, generator)[0].to(x.dtype) for x in policy.logits]
    sloped = policy.settings.estimator != "score"
    for up in ups:
        up.requires_grad_(sloped)
    with torch.set_grad_enabled(sloped):
        outputs = functional_call(network, policy.parameters(ups), batch.inputs)
        value = loss(outputs, batch.targets, answers)[0]
    slopes = list(torch.autograd.grad(value, ups)) if sloped else []
    return _Run([up.detach() for up in ups], value.detach(), slopes)


def _gradients(policy: _Policy, runs: list[_Run]) -> Iterator[Tensor]:
    """Yield the estimated gradient of the expected loss by the logits of each layer."""
    estimator, count = policy.settings.estimator, len(runs)
    chances = [torch.sigmoid(logits.detach()) for logits in policy.logits]
    weights = _advantages(runs, chances, estimator) if estimator != "linear" else []
    for layer, chance in enumerate(chances):
        total = torch.zeros_like(chance)
        for k, run in enumerate(runs):
            if estimator != "score":
                total += run.slopes[layer] * chance * (1 - chance)
            if estimator != "linear":
                total += weights[k] * (run.ups[layer] - chance)
        yield total / count


def _advantages(runs: list[_Run], chances: list[Tensor], estimator: Estimator) -> list[Tensor]:
    """Return each sample's loss less what the other samples let expect of it."""
    others, found = len(runs) - 1, []
    for run in runs:
        rest = [other for other in runs if other is not run]
        advantage = run.loss - sum(other.loss for other in rest) / others
        if estimator == "corrected":
            for layer, chance in enumerate(chances):
                slope = sum(other.slopes[layer] for other in rest) / others
                advantage = advantage - (slope * (run.ups[layer] - chance)).sum()
        found.append(advantage)
    return found


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
