"""Assignments learned across layers: gradients against enumeration, and what they are worth."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rlquant.errors import SettingsError
from rlquant.objective import Classification
from rlquant.quantizers import QuantizedTensor, quantize_integer, quantize_to_points
from rlquant.rounding.neighbours import Neighbours
from rlquant.samples import Samples
from rlquant.training.batches import Batch, SampleBatches, Teacher
from rlquant.training.losses import TrainingLoss
from rlquant.training.network_policy import (
    NetworkPolicySettings,
    _draw,
    gradients,
    learn_across_layers,
    sampled_weights,
)
from rlquant.training.sampled_weight import SampledWeight
from rlquant.training.settings import TrainSettings
from strategies import seeded

LOSS = TrainingLoss(Classification())
NAMES = ("0", "2")


def small(width: int = 3) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(parameter.numel())))
    return network.requires_grad_(False)


def starts(network: nn.Sequential) -> dict[str, QuantizedTensor]:
    return {n: quantize_integer(network.get_submodule(n).weight, 2) for n in NAMES}  # type: ignore[arg-type]


def moments(network: nn.Sequential) -> dict[str, Tensor]:
    return {n: torch.eye(network.get_submodule(n).weight.shape[1])[None] for n in NAMES}  # type: ignore[union-attr, arg-type]


def data(network: nn.Module, count: int = 256) -> Samples:
    inputs = torch.randn(count, 2, generator=seeded(7))
    return Samples((inputs,), network(inputs).argmax(dim=1))


def loss_of(network: nn.Module, samples: Samples, tensors: dict[str, QuantizedTensor]) -> float:
    weights = {f"{n}.weight": t.dequantize() for n, t in tensors.items()}
    outputs = torch.func.functional_call(network, weights, samples.inputs)
    return float(LOSS(outputs, samples, None)[0])


@pytest.mark.parametrize("estimator", ["score", "corrected"])
def test_the_mean_of_estimates_is_the_exact_gradient(estimator: Any) -> None:
    """All assignments of 10 weights, each with its probability, against many draws."""
    network = small(width=2)
    settings = NetworkPolicySettings(estimator=estimator, samples=4, start=0.5, prior=1.0)
    layers = sampled_weights(network, starts(network), moments(network), settings)
    samples = data(network, 32)
    batch = Batch(samples.inputs, samples.targets)
    logits = [layer.logits.detach() for layer in layers.values()]
    chances = torch.cat([torch.sigmoid(x).flatten() for x in logits])
    exact = torch.zeros_like(chances)
    for bits in itertools.product([0.0, 1.0], repeat=len(chances)):
        up = torch.tensor(bits)
        ups = [u.reshape(x.shape) for u, x in zip(up.split([4, 4]), logits, strict=True)]
        weights = {f"{n}.weight": layers[n].at(u) for n, u in zip(NAMES, ups, strict=True)}
        outputs = torch.func.functional_call(network, weights, batch.inputs)
        value = LOSS(outputs, batch, None)[0]
        probability = torch.where(up > 0, chances, 1 - chances).prod()
        exact += probability * value * (up - chances)
    draws, count = seeded(1), 400
    estimates = []
    for _ in range(count):
        drawn = _draw(network, layers, batch, None, LOSS, settings, draws)
        estimates.append(torch.cat([g.flatten() for g in gradients(layers, drawn, estimator)]))
    found = torch.stack(estimates)
    error = found.std(dim=0) / count**0.5
    assert ((found.mean(dim=0) - exact).abs() < 4 * error).all()
    assert exact.abs().max() > 8 * error.max()  # else noise would hide a wrong estimate


def test_the_linear_part_takes_most_of_the_noise() -> None:
    network = small(width=16)
    samples = data(network, 32)
    batch = Batch(samples.inputs, samples.targets)
    spread = {}
    for estimator in ("score", "corrected", "linear"):
        settings = NetworkPolicySettings(estimator=estimator, samples=4, start=2.0)
        layers = sampled_weights(network, starts(network), moments(network), settings)
        draws = seeded(1)
        found = []
        for _ in range(80):
            drawn = _draw(network, layers, batch, None, LOSS, settings, draws)
            found.append(torch.cat([g.flatten() for g in gradients(layers, drawn, estimator)]))
        spread[estimator] = float(torch.stack(found).var(dim=0).sum())
    assert 10 * spread["linear"] < spread["corrected"] < spread["score"]


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize(
    ("estimator", "steps"), [("score", 100), ("linear", 40), ("corrected", 40)]
)
def test_the_loss_falls_and_the_same_seed_gives_the_same(
    estimator: Any, steps: int, follows: bool
) -> None:
    network = small(width=8)
    samples = data(network)
    begun = starts(network)
    settings = NetworkPolicySettings(estimator=estimator, steps=steps, samples=8, start=0.5)

    def learned() -> dict[str, QuantizedTensor]:
        return learn_across_layers(
            small(width=8),
            begun,
            moments(network),
            SampleBatches(samples, TrainSettings(batch_size=128), seed=0),
            LOSS,
            float_network=network,
            generator=seeded(3),
            teacher=Teacher(network, len(samples)) if follows else None,
            settings=settings,
        )

    found, again = learned(), learned()
    assert loss_of(network, samples, found) < loss_of(network, samples, begun)
    for name in NAMES:
        assert torch.equal(found[name].codes, again[name].codes)
        assert torch.equal(found[name].codebook, begun[name].codebook)
        moved = found[name].codes.long() - begun[name].codes.long()
        assert moved.abs().max() <= 1


def test_a_watcher_hears_of_the_run_and_may_end_it() -> None:
    network = small(width=8)
    heard: list[tuple[int, float]] = []

    def watch(step: int, figures: Any) -> bool:
        heard.append((step, figures["steps_left"]))
        assert figures["loss"] > 0
        return step == 20

    learn_across_layers(
        small(width=8),
        starts(network),
        moments(network),
        SampleBatches(data(network), TrainSettings(batch_size=64), seed=0),
        LOSS,
        float_network=network,
        generator=seeded(3),
        settings=NetworkPolicySettings(steps=35),
        watch=watch,
    )
    assert heard == [(10, 25.0), (20, 15.0)]


@pytest.mark.parametrize("estimator", ["score", "linear", "corrected"])
def test_points_are_trained_under_the_sampled_assignment(estimator: Any) -> None:
    network = small(width=8)
    samples = data(network)
    begun = {
        n: quantize_to_points(
            network.get_submodule(n).weight, torch.tensor([0.0, 0.3, 0.4, 1.0]), group_size="tensor"
        )  # type: ignore[arg-type]
        for n in NAMES
    }
    found = learn_across_layers(
        small(width=8),
        begun,
        moments(network),
        SampleBatches(samples, TrainSettings(batch_size=128), seed=0),
        LOSS,
        float_network=network,
        generator=seeded(3),
        settings=NetworkPolicySettings(
            estimator=estimator, steps=100, samples=4, rate=0.0, start=9.0, point_rate=0.02
        ),
    )
    for name in NAMES:  # a rate of 0: the points alone have moved
        assert torch.equal(found[name].codes, begun[name].codes)
        assert not torch.equal(found[name].codebook, begun[name].codebook)
        assert (found[name].codebook.diff() >= 0).all()
    assert loss_of(network, samples, found) < loss_of(network, samples, begun)


def test_points_that_would_cross_stay_ascending() -> None:
    network = small()
    start = quantize_to_points(network[0].weight, torch.tensor([0.0, 0.4, 0.5, 1.0]))  # type: ignore[arg-type]
    layer = SampledWeight(
        network[0].weight,  # type: ignore[arg-type]
        start,
        moments(network)["0"],
        lean=1.0,
        prior=1.0,
        trains_points=True,
    )
    with torch.no_grad():
        layer.points.copy_(torch.tensor([0.0, 0.6, 0.5, 0.9]))
    layer.keep_order()
    expected = torch.tensor([0.0, 0.6, 0.6, 0.9])
    assert torch.equal(layer.points.detach(), expected)
    torch.testing.assert_close(layer.assigned().codebook, expected, rtol=1e-3, atol=1e-3)


def test_where_a_weight_is_stays_among_its_two_points() -> None:
    draw = seeded(5)
    weight = torch.randn(6, 9, generator=draw)
    rows = torch.randn(50, 3, generator=draw) @ torch.randn(3, 9, generator=draw)
    matrix = (rows.T @ rows / 50)[None]
    begun = quantize_integer(weight, 2)
    shuffled = torch.randint(0, 4, begun.codes.shape, generator=draw).to(begun.codes.dtype)
    for codes in (begun.codes, shuffled):
        here = replace(begun, codes=codes)
        between = Neighbours.around(weight, here, matrix)
        up = between.going_up(here)
        assert torch.equal(between.assigned(up).codes, codes)
        error = between.error(up).reshape(weight.shape)
        torch.testing.assert_close(error, here.dequantize() - weight)


def test_impossible_settings_are_refused() -> None:
    for wrong, words in (
        ({"estimator": "exact"}, "estimator='exact', use score, linear or corrected"),
        ({"steps": 0}, "steps=0"),
        ({"samples": 0}, "samples=0"),
        ({"samples": 1, "estimator": "score"}, "samples=1"),
        ({"rate": -1.0}, "rate=-1.0"),
        ({"start": float("nan")}, "start=nan"),
    ):
        with pytest.raises(SettingsError, match=words):
            NetworkPolicySettings(**wrong)  # type: ignore[arg-type]
