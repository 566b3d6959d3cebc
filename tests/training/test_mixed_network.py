"""A network in training: what trains at which rate, by what gradient, and what it ends as."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import rlquant
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import QuantizationError
from rlquant.layers import find_layers
from rlquant.network.modules import quantized_weight
from rlquant.objective import Classification
from rlquant.samples import Samples
from rlquant.training.mixed_network import MixedNetwork
from rlquant.training.settings import TrainSettings
from rlquant.training.trainer import Trainer
from small_networks import FEATURES, TiedNet, fresh, samples
from training_runs import (
    SHORT,
    each,
    float_network,
    hash_of,
    mixed_network,
    outputs_of,
    taken,
)

RATES = TrainSettings(
    learning_rate=0.5,
    scale_rate=0.25,
    point_rate=0.125,
    bias_rate=0.0625,
    weight_decay=0.75,
    optimizer="sgd",
)


def rates(network: MixedNetwork) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of every parameter that is trained, by its name."""
    names = {id(p): name for name, p in network.network.named_parameters()}
    found = [
        (names[id(p)], (group["base"], group["weight_decay"]))
        for group in network.parameter_groups()
        for p in group["params"]
    ]
    assert len(dict(found)) == len(found)  # none twice
    return dict(found)


def root_mean_square(layer: nn.Module) -> float:
    assert isinstance(layer.weight, Tensor)
    return float(layer.weight.detach().square().mean().sqrt())


class TestWhatTrains:
    def test_every_kind_of_number_has_its_rate_and_latent_weights_alone_decay(self) -> None:
        network = mixed_network("conv", RATES)
        norms = ("stem_norm", "conv_norm", "shortcut_norm")
        assert rates(network) == {
            "conv.parametrizations.weight.original": (0.5, 0.75),
            "conv.parametrizations.weight.0.points": (0.125, 0.0),
            "shortcut.parametrizations.weight.original": (0.5, 0.75),
            "shortcut.parametrizations.weight.0.scales": (0.25, 0.0),
            "grouped.parametrizations.weight.original": (0.5, 0.75),
            "classifier.parametrizations.weight.0.points": (0.125, 0.0),
            **dict.fromkeys(("grouped.bias", "classifier.bias"), (0.0625, 0.0)),
            **dict.fromkeys((f"{norm}.weight" for norm in norms), (0.0625, 0.0)),
            **dict.fromkeys((f"{norm}.bias" for norm in norms), (0.0625, 0.0)),
        }
        asked = {name for name, p in network.network.named_parameters() if p.requires_grad}
        assert asked == rates(network).keys()

    def test_with_adam_rates_are_relative_to_what_they_move(self) -> None:
        relative = rates(mixed_network("conv", replace(RATES, optimizer="adam")))
        network = float_network("conv")
        for layer in ("conv", "shortcut", "grouped"):
            size = root_mean_square(network.get_submodule(layer))
            rate, _ = relative[f"{layer}.parametrizations.weight.original"]
            assert rate == pytest.approx(0.5 * size)
        scales = mixed_network("conv").weights["shortcut"].numbers()["scales"]
        rate, _ = relative["shortcut.parametrizations.weight.0.scales"]
        assert rate == pytest.approx(0.25 * float(scales.mean()))
        assert relative["conv.parametrizations.weight.0.points"] == (0.125, 0.0)
        assert relative["grouped.bias"] == (0.0625, 0.0)

    def test_kept_weights_train_only_where_that_is_asked_for(self) -> None:
        keep = QuantizationConfig((LayerChoice("first", 4), LayerChoice("second", 2)))
        biases = {"first.bias", "second.bias", "last.bias"}
        assert rates(mixed_network(config=keep)).keys() == biases
        kept = mixed_network(config=keep, settings=replace(RATES, train_kept=True))
        assert rates(kept) == {**dict.fromkeys(biases, (0.0625, 0.0)), "last.weight": (0.5, 0.75)}
        size = root_mean_square(float_network("mlp").get_submodule("last"))
        adam = replace(RATES, train_kept=True, optimizer="adam")
        rate, _ = rates(mixed_network(config=keep, settings=adam))["last.weight"]
        assert rate == pytest.approx(0.5 * size)

    def test_tied_weights_train_once(self) -> None:
        network, data = fresh(TiedNet), samples(32, (5,), words=True)
        settings = replace(SHORT, steps=4, train_kept=True)
        made, outcome = rlquant.train(network, QuantizationConfig(()), data, settings=settings)
        assert made.words.weight is made.logits.weight
        assert not torch.equal(made.words.weight, network.words.weight)
        assert not outcome.diverged

    def test_a_shared_layer_trains_once(self) -> None:
        config = QuantizationConfig((LayerChoice("twice", 3, method="distilled"),))
        network = mixed_network("shared", config=config)
        assert rates(network).keys() == {
            "twice.parametrizations.weight.original",
            "twice.bias",
            "norm.weight",
            "norm.bias",
            "classifier.bias",
        }


class Smooth(nn.Module):
    """Without corners, so that finite differences are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(self.first(inputs)))
        output: Tensor = self.last(torch.tanh(self.second(hidden)))
        return output


def smooth() -> tuple[MixedNetwork, Samples]:
    network = fresh(Smooth).double()
    inputs, targets = samples(32)
    data = Samples((inputs.double(),), targets)
    layers = find_layers(network, data.first(2).inputs)
    config = QuantizationConfig(
        (
            LayerChoice("first", 2, method="ternary"),
            LayerChoice("second", 2, method="distilled", points="learned"),
            LayerChoice("last", 2, points="learned"),
        )
    )
    trainer = Trainer(network, layers, data, data, Classification(), SHORT)
    mixed = trainer.begin(config.canonical("trained")).mixed
    for trainable in mixed.weights.values():  # float16 steps are too coarse for differences
        object.__setattr__(trainable.form, "scale_dtype", torch.float32)
    return mixed, data


def test_finite_differences_agree_on_everything_that_is_learned_but_latent_weights() -> None:
    made, data = smooth()

    def loss() -> Tensor:
        return cross_entropy(made.network(*data.inputs), data.targets)

    loss().backward()
    step, checked = 2.0**-12, 0
    for name, parameter in made.network.named_parameters():
        if parameter.grad is None:
            continue
        for index in range(parameter.numel()):
            place = parameter.data.view(-1)
            ends = []
            for sign in (1, -2):
                place[index] += sign * step
                ends.append(float(loss().detach()))
            place[index] += step
            slope, gradient = (
                (ends[0] - ends[1]) / (2 * step),
                float(parameter.grad.view(-1)[index]),
            )
            if not name.endswith("original"):
                assert slope == pytest.approx(gradient, rel=2e-2, abs=2e-5), name
                checked += gradient != 0
            elif name.startswith("first"):  # the second layer's extremes decide its grid
                assert slope == 0 != gradient, name
    assert checked > 30


class TestTheEnd:
    @pytest.mark.parametrize("name", ["mlp", "conv"])
    def test_before_any_step_it_is_the_quantized_network(self, name: str) -> None:
        for config in (each(name, points="quantile"), each(name, method="ternary")):
            made = mixed_network(name, config=config).finish()
            wanted = rlquant.quantize(float_network(name), config)
            assert torch.equal(outputs_of(made, name), outputs_of(wanted, name))
            assert not any(module.training for module in made.modules())
            assert not any(p.requires_grad for p in made.parameters())

    @pytest.mark.parametrize("name", ["mlp", "conv"])
    def test_it_ends_as_what_is_stored_of_what_was_trained(self, name: str) -> None:
        made = mixed_network(name)
        with torch.no_grad():
            for parameter in made.network.parameters():
                if parameter.requires_grad:
                    parameter.mul_(1.05)
            for buffer_name, buffer in made.network.named_buffers():
                if buffer_name.endswith("running_mean"):
                    buffer.add_(0.25)
        end = made.finish()
        for layer, trainable in made.weights.items():
            found = quantized_weight(end.get_submodule(layer))
            assert found is not None
            stored = trainable.project(made.latent(layer).detach())
            assert torch.equal(found.tensor.codes, stored.codes)
            assert torch.equal(found.tensor.dequantize(), stored.dequantize())
        ended = end.state_dict()
        for key, tensor in made.network.state_dict().items():
            if key.endswith(("bias", "running_mean", "norm.weight")):
                assert torch.equal(ended[key], tensor), key
        assert outputs_of(end, name).isfinite().all()

    def test_what_it_computes_is_what_it_ends_as(self) -> None:
        config = each("mlp", bits=3, method="distilled", points="clipped")
        made = mixed_network("mlp", config=config)
        with torch.no_grad():
            made.latent("second").mul_(1.3)
        torch.testing.assert_close(
            outputs_of(made.network.eval(), "mlp"), outputs_of(made.finish(), "mlp")
        )

    def test_the_float_network_is_left_as_it_is(self) -> None:
        network = float_network("conv")
        before, names = hash_of(network), set(network.state_dict())
        made = mixed_network("conv")
        made.network(*taken("conv").inputs).sum().backward()
        made.finish()
        assert hash_of(network) == before
        assert set(network.state_dict()) == names
        assert all(p.grad is None for p in network.parameters())

    @pytest.mark.parametrize(
        "spoil",
        ["second.parametrizations.weight.original", "last.bias"],
    )
    def test_nan_cannot_be_stored(self, spoil: str) -> None:
        made = mixed_network()
        made.require_storable()
        with torch.no_grad():
            dict(made.network.named_parameters())[spoil].view(-1)[0] = torch.nan
        with pytest.raises(QuantizationError, match="NaN or infinite"):
            made.require_storable()

    def test_a_copy_of_what_it_ends_as_is_whole(self) -> None:
        made = mixed_network("conv")
        end = made.finish()
        kept = outputs_of(end, "conv")
        with torch.no_grad():
            for parameter in made.network.parameters():
                parameter.zero_()
        assert torch.equal(outputs_of(copy.deepcopy(end), "conv"), kept)
