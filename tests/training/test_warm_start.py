"""Warm starts: layers adapted on their own, never for the worse, and always in the same way."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from rlquant.config import LayerChoice
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.hessians import InputMoments, measure_hessians
from rlquant.quantizers.formats import form_of
from rlquant.rounding.output_error import reconstruction_error
from rlquant.samples import fingerprint_tensors
from rlquant.training import warm_start
from rlquant.training.mixed_network import begin, trainable_weight
from rlquant.training.settings import TrainSettings
from rlquant.training.trainable_weight import LayerStart, TrainableWeight
from rlquant.training.warm_start import WarmStarts, adapt_layer
from strategies import seeded
from trainable_weights import BUCKET_SIZES, WAYS, made, weight
from training_runs import CHOICES, float_network, taken

SETTLED = [name for name, way in WAYS.items() if not (way.is_stochastic and "learned" in name)]
"""The ways in which what is adapted is what is stored; learned points see other draws."""


def hessians(groups: int = 1, fan_in: int = 27, mean: float = 0.5) -> Tensor:
    """Moments of correlated inputs whose mean is not 0."""
    mixing = torch.randn(groups, fan_in, fan_in, generator=seeded(5))
    rows = mean + torch.randn(groups, 200, fan_in, generator=seeded(6)) @ mixing / fan_in**0.5
    return rows.transpose(1, 2) @ rows / 200


def error_of(
    trainable: TrainableWeight, latent: Tensor, w: Tensor, moments: Tensor | None
) -> float:
    return float(reconstruction_error(trainable.project(latent).dequantize() - w, moments))


def restored(name: str, group_size: object, start: LayerStart) -> tuple[TrainableWeight, Tensor]:
    """A fresh layer that begins where it is told to."""
    trainable, latent = made(name, group_size), weight()  # type: ignore[arg-type]
    begin(trainable, latent, start)
    return trainable, latent


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.parametrize(
    ("kind", "group_size"),
    [*(("moments", size) for size in BUCKET_SIZES), ("two groups", "channel"), ("none", "tensor")],
)
def test_no_layer_ends_above_its_start(name: str, group_size: object, kind: str) -> None:
    moments = None if kind == "none" else hessians()
    w = weight()
    if kind == "two groups":
        w, moments = w[:4], hessians(2)
    before = fingerprint_tensors([w])
    trainable = made(name, group_size, w)  # type: ignore[arg-type]
    cold = error_of(trainable, w, w, moments)
    start = adapt_layer(w, trainable, moments)
    assert error_of(trainable, start.latent, w, moments) <= cold * (1 + 1e-5)
    assert fingerprint_tensors([w]) == before
    assert start.numbers.keys() == WAYS[name].numbers


@pytest.mark.parametrize("name", [n for n in SETTLED if n != "post_training-learned-nearest"])
def test_with_moments_most_of_the_error_of_correlated_inputs_goes(name: str) -> None:
    w, moments = weight(), hessians()
    trainable = made(name)
    cold = error_of(trainable, w, w, moments)
    start = adapt_layer(w, trainable, moments)
    assert error_of(trainable, start.latent, w, moments) < 0.8 * cold


@pytest.mark.parametrize("name", WAYS)
def test_a_layer_begins_where_it_was_left(name: str) -> None:
    adapted = made(name)
    start = adapt_layer(weight(), adapted, hessians())
    trainable, latent = restored(name, "channel", start)
    assert torch.equal(latent, start.latent)
    left, begun = adapted.project(start.latent), trainable.project(latent)
    assert torch.equal(left.codes, begun.codes)
    assert torch.equal(left.dequantize(), begun.dequantize())
    if not WAYS[name].trains_latent:
        assert torch.equal(latent, weight())


@pytest.mark.parametrize("name", WAYS)
def test_the_same_layer_is_adapted_in_the_same_way(name: str) -> None:
    starts = [adapt_layer(weight(), made(name), hessians()) for _ in range(2)]
    assert torch.equal(starts[0].latent, starts[1].latent)
    for key, value in starts[0].numbers.items():
        assert torch.equal(value, starts[1].numbers[key])


def test_where_it_begins_does_not_change_with_what_was_adapted() -> None:
    trainable = made("distilled-learned-nearest")
    start = adapt_layer(weight(), trainable, hessians())
    kept = [start.latent.clone(), start.numbers["points"].clone()]
    with torch.no_grad():
        trainable.points.add_(1.0)  # type: ignore[operator]
    assert torch.equal(start.latent, kept[0])
    assert torch.equal(start.numbers["points"], kept[1])


@pytest.mark.parametrize("name", ["ternary-threshold", "distilled-clipped-nearest"])
def test_zeros_and_wide_types_are_adapted_too(name: str) -> None:
    zeros = torch.zeros(5, 3, 3, 3)
    start = adapt_layer(zeros, made(name, w=zeros), hessians())
    assert not start.latent.any()
    wide = weight().double()
    trainable = made(name, w=wide)
    cold = error_of(trainable, wide, wide, hessians())
    start = adapt_layer(wide, trainable, hessians())
    assert start.latent.dtype == torch.float64
    assert error_of(trainable, start.latent, wide, hessians()) < cold


# --- layers of a network


def facts_of(name: str) -> tuple[LayerFacts, ...]:
    return find_layers(float_network(name), taken(name).first(2).inputs)


def moments_of(name: str) -> Mapping[str, InputMoments]:
    return measure_hessians(float_network(name), facts_of(name), taken(name))


def weight_of(name: str, layer: str) -> Tensor:
    found = float_network(name).get_submodule(layer).weight
    assert isinstance(found, Tensor)
    return found.detach()


def starts_of(name: str, absorbed: frozenset[str] = frozenset()) -> tuple[WarmStarts, mock.Mock]:
    """Warm starts of the network's layers, and what counts how often moments are asked for."""
    weights = {f.name: weight_of(name, f.name) for f in facts_of(name)}
    matrices = {
        layer: (found.covariance if layer in absorbed else found.second).float()
        for layer, found in moments_of(name).items()
    }
    measure = mock.Mock(return_value=matrices)
    made = WarmStarts(
        weights,
        lambda choice: form_of(weights[choice.layer], choice),
        measure,
        TrainSettings(),
    )
    return made, measure


def test_a_choice_is_adapted_once_and_moments_are_asked_for_late() -> None:
    starts, measure = starts_of("conv")
    measure.assert_not_called()
    choices = [c for c in CHOICES["conv"] if c.layer != "stem"]
    with mock.patch.object(warm_start, "adapt_layer", side_effect=adapt_layer) as adapted:
        found = [starts(choice) for choice in choices]
        assert all(starts(c) is f for c, f in zip(choices, found, strict=True))
        assert adapted.call_count == len(choices)
        starts(LayerChoice("conv", 2, method="distilled", points="learned"))
        assert adapted.call_count == len(choices) + 1


def test_what_is_frozen_has_no_start() -> None:
    starts, _ = starts_of("conv")
    assert starts(LayerChoice("stem", 8, points="clipped")) is None


def test_what_was_asked_before_does_not_matter() -> None:
    choices = [c for c in CHOICES["conv"] if c.layer != "stem"]
    forward, backward = starts_of("conv")[0], starts_of("conv")[0]
    for choice in reversed(choices):
        backward(choice)
    for choice in choices:
        one, other = forward(choice), backward(choice)
        assert one is not None
        assert other is not None
        assert torch.equal(one.latent, other.latent)
        assert all(torch.equal(v, other.numbers[k]) for k, v in one.numbers.items())


def test_a_layer_whose_mean_is_taken_up_is_judged_by_the_covariance() -> None:
    moments, w = moments_of("mlp")["second"], weight_of("mlp", "second")
    choice = LayerChoice("second", 2, method="ternary")
    errors = []
    for absorbed in (frozenset[str](), frozenset({"second"})):
        start = starts_of("mlp", absorbed)[0](choice)
        assert start is not None
        trainable = trainable_weight(form_of(w, choice), w, TrainSettings())
        assert trainable is not None
        latent = w.clone()
        begin(trainable, latent, start)
        kinds = (moments.second.float(), moments.covariance.float())
        errors.append([error_of(trainable, latent, w, kind) for kind in kinds])
    (second, covariance), (shifted, absorbed_covariance) = errors
    assert second < shifted
    assert absorbed_covariance < covariance


def test_layers_of_no_moments_have_their_numbers_fitted() -> None:
    w = weight_of("words", "words")
    choice = LayerChoice("words", 2, method="ternary")
    start = starts_of("words")[0](choice)
    assert start is not None
    assert torch.equal(start.latent, w)
    trainable = trainable_weight(form_of(w, choice), w, TrainSettings())
    assert trainable is not None
    cold = error_of(trainable, w, w, None)
    begin(trainable, w.clone(), start)
    assert error_of(trainable, w, w, None) <= cold


@pytest.mark.parametrize("layer", ["stem", "conv", "grouped", "classifier"])
def test_the_error_that_falls_is_that_of_the_layers_real_outputs(layer: str) -> None:
    choice = LayerChoice(layer, 2, method="distilled")
    start, w = starts_of("conv")[0](choice), weight_of("conv", layer)
    trainable = trainable_weight(form_of(w, choice), w, TrainSettings())
    assert start is not None
    assert trainable is not None
    module = copy.deepcopy(float_network("conv").get_submodule(layer)).requires_grad_(False)
    seen: list[Tensor] = []
    handle = (
        float_network("conv")
        .get_submodule(layer)
        .register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    )
    float_network("conv")(*taken("conv").inputs)
    handle.remove()
    outputs = []
    for latent in (w, start.latent):
        module.weight = nn.Parameter(trainable.project(latent).dequantize(), False)
        outputs.append(module(seen[0]))
    module.weight = nn.Parameter(w, False)
    errors = [float((each - module(seen[0])).square().mean()) for each in outputs]
    assert errors[1] < errors[0]
