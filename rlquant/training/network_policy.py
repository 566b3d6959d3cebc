"""Learning an assignment across layers, by the loss of the whole network.

The future work of Polino et al. 2018 in full: the weights of all layers act at once, and what they
earn is minus the network's own loss, discrete and across layers, where no layer's moments reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlquant.ambient import callers_generators
from rlquant.errors import SettingsError, require_not_negative, whole_number
from rlquant.forward_pass import run
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.policy import draw, score_gradient
from rlquant.training.batches import Batch, Batches, Teacher
from rlquant.training.loop import take
from rlquant.training.losses import TrainingLoss
from rlquant.training.modes import train_batch_norms_alone
from rlquant.training.sampled_weight import SampledWeight
from rlquant.training.watching import WATCH_EVERY, Watcher
from rlquant.weight_sites import site_of

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
        point_rate: of Adam on stored codebooks, whose groups span 1; they get their gradient under
            the sampled assignments. 0 leaves them.
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
    point_rate: float = 0.0
    estimator: Estimator = "linear"

    def __post_init__(self) -> None:
        if self.estimator not in ("score", "linear", "corrected"):
            raise SettingsError(
                f"{PLACE}: estimator={self.estimator!r}, use score, linear or corrected"
            )
        whole_number(f"{PLACE}: steps", self.steps, 1)
        whole_number(f"{PLACE}: samples", self.samples, 1 if self.estimator == "linear" else 2)
        for field in ("rate", "start", "prior", "point_rate"):
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
    layers = sampled_weights(float_network, start, moments, settings)
    train_batch_norms_alone(network)  # with dropout, losses would differ by more than chance
    optimizer = _optimizer(layers.values(), settings)
    for step, batch in enumerate(take(batches, settings.steps)):
        answers = None if teacher is None else teacher(batch)
        drawn = _draw(network, layers, batch, answers, loss, settings, generator)
        _set_gradients(layers, drawn, settings.estimator)
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * (1 - step / settings.steps)
        optimizer.step()
        for layer in layers.values():
            layer.keep_order()
        taken = step + 1
        if watch is not None and (taken % WATCH_EVERY == 0 or taken == settings.steps):
            figures = {
                "loss": float(drawn.losses.mean()),
                "steps_left": float(settings.steps - taken),
            }
            with callers_generators():
                stopped = watch(taken, figures)
            if stopped:
                break
    return {name: layer.assigned() for name, layer in layers.items()}


def sampled_weights(
    network: nn.Module,
    start: Mapping[str, QuantizedTensor],
    moments: Mapping[str, Tensor],
    settings: NetworkPolicySettings,
) -> dict[str, SampledWeight]:
    """Return the layers that begin at `start`, with the float weights of `network`."""
    return {
        name: SampledWeight(
            site_of(network, name).weight_in(network).detach(),
            quantized,
            moments[name],
            lean=settings.start,
            prior=settings.prior,
            trains_points=settings.point_rate > 0,
        )
        for name, quantized in start.items()
    }


def _optimizer(
    layers: Iterable[SampledWeight], settings: NetworkPolicySettings
) -> torch.optim.Optimizer:
    logits, points = [each.logits for each in layers], [e.points for e in layers if e.trains_points]
    groups = [{"params": logits, "base": settings.rate}]
    if points:
        groups.append({"params": points, "base": settings.point_rate})
    return torch.optim.Adam(groups, betas=(0.9, 0.99))


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Sampled networks on one batch.

    Attributes:
        ups: by layer, what was drawn, bool, shape `(samples, *logits.shape)`.
        losses: of the samples, shape `(samples,)`.
        slopes: by layer, of each sample's loss by its shares; same shape, empty for "score".
        points: the mean gradient of the points of each layer that trains them.
    """

    ups: list[Tensor]
    losses: Tensor
    slopes: list[Tensor]
    points: list[Tensor]


def _draw(
    network: nn.Module,
    layers: Mapping[str, SampledWeight],
    batch: Batch,
    answers: Any,
    loss: TrainingLoss,
    settings: NetworkPolicySettings,
    generator: torch.Generator,
) -> _Drawn:
    ups = [draw(each.logits.detach(), settings.samples, generator) for each in layers.values()]
    sloped = settings.estimator != "score"
    points = [each.points for each in layers.values() if each.trains_points]
    losses, slopes, moves = [], [], []
    for sample in zip(*ups, strict=True):
        shares = [up.float().requires_grad_(sloped) for up in sample]
        wanted = [*(shares if sloped else ()), *points]
        with torch.set_grad_enabled(bool(wanted)):
            weights = {
                site_of(network, name).tensor: each.at(up)
                for (name, each), up in zip(layers.items(), shares, strict=True)
            }
            outputs = run(partial(functional_call, network, weights), batch.inputs)
            value = loss(outputs, batch, answers)[0]
        losses.append(value.detach())
        found = torch.autograd.grad(value, wanted) if wanted else ()
        slopes.append(found[: len(found) - len(points)])
        moves.append(found[len(found) - len(points) :])
    return _Drawn(
        ups, torch.stack(losses), _stacked(slopes), [m.mean(dim=0) for m in _stacked(moves)]
    )


def _stacked(of_samples: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return [torch.stack(of_layer) for of_layer in zip(*of_samples, strict=True)]


def _set_gradients(
    layers: Mapping[str, SampledWeight], drawn: _Drawn, estimator: Estimator
) -> None:
    for layer, gradient in zip(layers.values(), gradients(layers, drawn, estimator), strict=True):
        layer.logits.grad = gradient
    trained = [layer for layer in layers.values() if layer.trains_points]
    for layer, gradient in zip(trained, drawn.points, strict=True):
        layer.points.grad = gradient


def gradients(
    layers: Mapping[str, SampledWeight], drawn: _Drawn, estimator: Estimator
) -> Iterator[Tensor]:
    """Yield the estimated gradient of the expected loss by the logits of each layer."""
    logits = [layer.logits.detach() for layer in layers.values()]
    chances, left = [torch.sigmoid(each) for each in logits], drawn.losses
    if estimator == "corrected":
        left = left - sum(map(_expected, drawn.ups, drawn.slopes, chances))
    for index, (each, chance) in enumerate(zip(logits, chances, strict=True)):
        gradient = torch.zeros_like(chance)
        if estimator != "score":
            gradient += drawn.slopes[index].mean(dim=0) * chance * (1 - chance)
        if estimator != "linear":
            scored = score_gradient(each.flatten(), drawn.ups[index].flatten(1), left)
            gradient += scored.reshape(chance.shape)
        yield gradient


def _expected(up: Tensor, slopes: Tensor, chance: Tensor) -> Tensor:
    """Return by how much each loss differs to first order, by the slopes of the other samples."""
    others = (slopes.sum(dim=0) - slopes) / (len(slopes) - 1)
    return (others * (up.float() - chance)).flatten(1).sum(dim=1)
