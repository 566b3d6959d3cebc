"""From a configuration to a network: real quantized weights, and a user's network left alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from layer_choices import CHOICES
from rlquant.config import GroupSize, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.errors import (
    ChoiceError,
    DataError,
    NetworkError,
    QuantizationError,
    UnknownNameError,
)
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.input_ranges import Ranges, measure_input_ranges
from rlquant.network.modules import quantized_weight
from rlquant.network.quantize import activation_quantizer, quantize
from rlquant.network.weights import quantize_weight
from rlquant.problem.live import QuantizationProblem
from rlquant.quantizers import (
    activation_grid,
    activation_range,
)
from rlquant.quantizers.activation_ranges import METHODS
from rlquant.space import for_layer
from rlquant.weight_sites import channel_axis_of, layer_kind
from small_networks import (
    FEATURES,
    NETWORKS,
    ConvNet,
    Mlp,
    SharedLayerNet,
    TiedNet,
    TransposedNet,
    TwoInputsNet,
    WordNet,
    fresh,
    samples,
    samples_of,
    trained,
)

SAMPLES = 48


def config(*choices: LayerChoice) -> QuantizationConfig:
    return QuantizationConfig(choices)


def all_layers(network: nn.Module, example: Tensor, **fields: Any) -> QuantizationConfig:
    return config(*(LayerChoice(f.name, **fields) for f in find_layers(network, example)))


def weight_of(network: nn.Module, name: str) -> Tensor:
    weight = network.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight


# --- random draws


def test_stochastic_rounding_depends_on_seed_and_layer_alone() -> None:
    network = fresh(Mlp)
    choice = LayerChoice("second", 3, "stochastic")
    alone = quantize(network, config(choice), seed=1)
    among = quantize(network, config(LayerChoice("first", 2, "stochastic"), choice), seed=1)
    other_seed = quantize(network, config(choice), seed=2)
    assert torch.equal(weight_of(alone, "second"), weight_of(among, "second"))
    assert not torch.equal(weight_of(alone, "second"), weight_of(other_seed, "second"))
    renamed = quantize_weight(weight_of(network, "second"), for_layer(choice, "other"), seed=1)
    assert not torch.equal(renamed.dequantize(), weight_of(alone, "second"))


def test_the_global_random_state_is_not_touched() -> None:
    before = torch.get_rng_state()
    network = fresh(Mlp)
    quantize(network, all_layers(network, samples(4)[0], bits=3, rounding="stochastic"))
    assert torch.equal(torch.get_rng_state(), before)


# --- the network


def test_roundings_hessian_based_need_calibration_data_and_are_worth_them() -> None:
    network, data = trained("conv"), samples_of("conv", 400, seed=3)
    layers = [f.name for f in find_layers(network, (data[0][:2],))]
    configs = {
        rounding: QuantizationConfig(
            tuple(LayerChoice(name, 3, rounding, points="clipped") for name in layers)
        )
        for rounding in ("nearest", "gptq", "learned")
    }
    with pytest.raises(QuantizationError, match="give calibration data"):
        quantize(network, configs["gptq"])
    outputs = network(data[0]).detach()
    errors = {
        rounding: float(
            (quantize(network, config, data, calibration_samples=256)(data[0]).detach() - outputs)
            .square()
            .mean()
        )
        for rounding, config in configs.items()
    }
    for rounding in ("gptq", "learned"):  # which is better depends on the layers behind
        assert errors[rounding] < errors["nearest"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("calibrated", [False, True])
def test_the_users_network_is_never_changed(name: str, calibrated: bool) -> None:
    data = samples_of(name, SAMPLES)
    network = fresh(NETWORKS[name].build).train()
    state = copy.deepcopy(network.state_dict())
    chosen = all_layers(network, data[0], bits=2)
    quantize(network, chosen, data if calibrated else None, calibration_samples=SAMPLES)
    assert list(network.state_dict()) == list(state)
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    for module in network.modules():
        assert module.training
        assert not parametrize.is_parametrized(module)
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_without_calibration_the_weights_alone_are_another() -> None:
    network = trained("conv")
    chosen = config(LayerChoice("conv", 3), LayerChoice("classifier", 4, points="affine"))
    quantized = quantize(network, chosen)
    for name in ("conv", "classifier"):
        expected = quantize_weight(weight_of(network, name).detach(), chosen[name]).dequantize()
        assert torch.equal(weight_of(quantized, name), expected)
    assert torch.equal(weight_of(quantized, "stem"), weight_of(network, "stem"))
    state = quantized.state_dict()
    for name, tensor in network.state_dict().items():
        if name not in ("conv.weight", "classifier.weight"):
            assert torch.equal(state[name], tensor)


def test_a_quantized_network_is_ready_for_use() -> None:
    network = fresh(Mlp)
    quantized = quantize(network, config(LayerChoice("first", 3)))
    assert not any(module.training for module in quantized.modules())
    assert not any(parameter.requires_grad for parameter in quantized.parameters())
    found = quantized_weight(quantized.get_submodule("first"))
    assert found is not None
    assert found.choice == LayerChoice("first", 3)
    assert found.tensor.bits == 3
    assert torch.equal(found.tensor.dequantize(), weight_of(quantized, "first"))
    assert quantized_weight(quantized.get_submodule("second")) is None
    normalized = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    assert quantized_weight(normalized) is None


def test_the_state_of_a_quantized_network_holds_all_of_it() -> None:
    data = samples_of("conv", SAMPLES)
    network = trained("conv")
    chosen = all_layers(network, data[0], bits=3, points="kmeans", activation_bits=6)
    first = quantize(network, chosen, data, calibration_samples=SAMPLES)
    blank = fresh(ConvNet, seed=5)
    second = quantize(blank, chosen, data, calibration_samples=SAMPLES)
    assert not torch.equal(first(data[0]), second(data[0]))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(data[0]), second(data[0]))
    assert torch.equal(first(data[0]), copy.deepcopy(first)(data[0]))


def test_kept_layers_stay_exactly() -> None:
    network = fresh(Mlp)
    quantized = quantize(network, config(LayerChoice("first", 32, method="float")))
    assert not parametrize.is_parametrized(quantized.get_submodule("first"))
    assert torch.equal(quantized(samples(4)[0]), network(samples(4)[0]))


def test_nothing_chosen_is_a_copy_in_float() -> None:
    network, data = trained("conv"), samples_of("conv", SAMPLES)
    for calibration in (None, data):
        copied = quantize(network, config(), calibration, calibration_samples=SAMPLES)
        assert copied is not network
        assert torch.equal(copied(data[0]), network(data[0]))


def test_a_shared_layer_is_quantized_once_for_both_names() -> None:
    network, data = fresh(SharedLayerNet), samples_of("shared", SAMPLES)
    quantized = quantize(network, config(LayerChoice("twice", 2)), data, calibration_samples=48)
    assert quantized.get_submodule("again") is quantized.get_submodule("twice")
    assert len(torch.unique(weight_of(quantized, "again"))) <= 4 * FEATURES


def test_a_network_of_two_inputs_is_calibrated() -> None:
    (left, targets), (right, _) = samples(SAMPLES), samples(SAMPLES, seed=1)
    network = fresh(TwoInputsNet)
    chosen = config(LayerChoice("left", 2), LayerChoice("classifier", 3, activation_bits=4))
    data = ((left, right), targets)
    errors = []
    for what in ("auto", "none"):
        quantized = quantize(network, chosen, data, calibration_samples=SAMPLES, calibrate=what)
        difference = quantized(left, right) - network(left, right)
        errors.append(difference.square().mean().item())
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(3, 8, 3), (2, 3, 6, 6)),
        (nn.Conv2d(1, 8, 3), (2, 1, 6, 6)),  # one input channel: its strides are ambiguous
        (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 6, 6)),
        (nn.Conv2d(4, 8, 1), (2, 4, 6, 6)),
        (nn.ConvTranspose2d(3, 5, 3), (2, 3, 6, 6)),
    ],
    ids=str,
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("choice", [LayerChoice("", 3), LayerChoice("", 3, points="kmeans")])
def test_weights_keep_their_strides(
    module: nn.Module,
    shape: tuple[int, ...],
    memory_format: torch.memory_format,
    choice: LayerChoice,
) -> None:
    network = copy.deepcopy(module).to(memory_format=memory_format)  # type: ignore[call-overload]
    quantized = quantize(network, config(choice))
    assert weight_of(quantized, "").stride() == weight_of(network, "").stride()
    images = torch.randn(shape).to(memory_format=memory_format)
    plain = quantize(module, config(choice))
    assert torch.equal(weight_of(plain, ""), weight_of(quantized, ""))
    assert torch.allclose(plain(images), quantized(images), atol=1e-5)


def test_the_channels_of_a_transposed_convolution_have_a_scale_each() -> None:
    network = fresh(TransposedNet)
    quantized = quantize(network, config(LayerChoice("up", 3)))
    found = quantized_weight(quantized.get_submodule("up"))
    assert found is not None
    assert found.tensor.scale is not None
    assert found.tensor.scale.shape == (5,)
    for channel in range(5):
        assert len(torch.unique(weight_of(quantized, "up")[:, channel])) <= 8
    assert channel_axis_of(layer_kind(network.up) or "") == 1


@pytest.mark.parametrize(
    ("group_size", "scales"), [("channel", 8), (6, 8), (7, 8), (4, 16), ("tensor", 1)]
)
def test_groups_are_as_large_as_asked(group_size: GroupSize, scales: int) -> None:
    quantized = quantize(fresh(Mlp), config(LayerChoice("first", 3, group_size=group_size)))
    found = quantized_weight(quantized.get_submodule("first"))
    assert found is not None
    assert found.tensor.scale is not None
    assert len(found.tensor.scale) == scales


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_keep_their_type(dtype: torch.dtype) -> None:
    network, (inputs, targets) = fresh(Mlp).to(dtype), samples(SAMPLES)
    data = (inputs.to(dtype), targets)
    chosen = all_layers(network, data[0], bits=4, activation_bits=8)
    quantized = quantize(network, chosen, data, calibration_samples=SAMPLES)
    assert weight_of(quantized, "first").dtype == dtype
    assert quantized(data[0]).dtype == dtype


# --- activations


def test_the_input_of_a_layer_lies_on_its_grid() -> None:
    network, data = trained("mlp"), samples_of("mlp", SAMPLES)
    chosen = config(
        LayerChoice("second", 32, method="float"), LayerChoice("last", 8, activation_bits=3)
    )
    quantized = quantize(network, chosen, data, calibration_samples=SAMPLES)
    seen: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(args[0])

    layer = quantized.get_submodule("last")
    layer.register_forward_hook(look)
    quantized(data[0])
    levels = torch.unique(seen[0])
    assert 2 < len(levels) <= 8
    assert 0.0 in levels
    quantizer = layer.get_submodule("input_quantizer")
    assert torch.equal(quantizer(seen[0]), seen[0])


@pytest.mark.parametrize("method", METHODS)
def test_the_grid_covers_the_range_in_the_float_network(method: Any) -> None:
    network, data = trained("mlp"), samples_of("mlp", SAMPLES)
    chosen = config(LayerChoice("first", 2), LayerChoice("second", 2, activation_bits=5))
    quantized = quantize(
        network, chosen, data, calibration_samples=SAMPLES, activation_range=method
    )
    hidden = torch.relu(network.get_submodule("first")(data[0])).detach()
    scale, zero_point = activation_grid(*activation_range(hidden, method).at(5), 5)
    quantizer = quantized.get_submodule("second.input_quantizer")
    assert (float(quantizer.scale), int(quantizer.zero_point)) == (scale, zero_point)  # type: ignore[arg-type]
    assert not hasattr(quantized.get_submodule("first"), "input_quantizer")


def test_activation_bits_need_data() -> None:
    with pytest.raises(DataError, match="activation_bits need the ranges of the inputs: give"):
        quantize(fresh(Mlp), config(LayerChoice("first", 4, activation_bits=8)))


def test_a_kept_layer_needs_no_ranges() -> None:
    quantize(fresh(Mlp), config(LayerChoice("first", 4, method="float", activation_bits=8)))


def test_an_embedding_has_no_activations_to_quantize() -> None:
    network, data = fresh(WordNet), samples_of("words", SAMPLES)
    chosen = config(LayerChoice("words", 4, activation_bits=8))
    words = "layer 'words': activation_bits=8, but an embedding has no activations"
    with pytest.raises(ChoiceError, match=words):
        quantize(network, chosen, data, calibration_samples=SAMPLES)
    with pytest.raises(ChoiceError, match=words):
        activation_quantizer(chosen["words"], {})


# --- the same network as a problem's


@cache
def problem_of(name: str) -> QuantizationProblem:
    return QuantizationProblem(
        trained(name),
        samples_of(name, SAMPLES, seed=1),
        samples_of(name, 20, seed=2),
        budget=Budget.average_bits(32),
        evaluation=EvaluationSettings(calibration_samples=SAMPLES),
        seed=3,
    )


@st.composite
def configs_of(draw: st.DrawFn, layers: tuple[LayerFacts, ...]) -> QuantizationConfig:
    chosen = []
    for facts in layers:
        choice = for_layer(draw(st.sampled_from(CHOICES)), facts.name)
        bits = draw(st.sampled_from((None, 2, 8)))
        if bits is not None and facts.kind != "embedding":
            choice = replace(choice, activation_bits=bits)
        chosen.append(choice)
    return QuantizationConfig(tuple(chosen))


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_quantize_builds_the_very_network_that_a_problem_builds(
    name: str, data: st.DataObject
) -> None:
    problem = problem_of(name)
    chosen = data.draw(configs_of(problem.layers))
    quantized = quantize(
        problem.network, chosen, samples_of(name, SAMPLES, seed=1), calibration_samples=48, seed=3
    )
    built = problem.build(chosen)
    inputs = problem.validation.inputs
    assert torch.equal(quantized(*inputs).nan_to_num(), built(*inputs).nan_to_num())
    assert built.state_dict().keys() == quantized.state_dict().keys()


def test_layers_left_out_are_not_calibrated_but_kept_ones_are() -> None:
    network, data = trained("mlp", seed=4), samples_of("mlp", SAMPLES)
    first, kept = LayerChoice("first", 2), LayerChoice("last", 32, method="float")
    biases = []
    for chosen in (config(first), config(first, kept)):
        quantized = quantize(network, chosen, data, calibration_samples=SAMPLES)
        biases.append(quantized.get_submodule("last").bias)
    assert torch.equal(biases[0], network.get_submodule("last").bias)  # type: ignore[arg-type]
    assert not torch.equal(biases[0], biases[1])  # type: ignore[arg-type]


def test_ranges_are_measured_only_where_activations_are_quantized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def counted(*args: Any) -> Ranges:
        asked.append("ranges")
        return measure_input_ranges(*args)

    monkeypatch.setattr("rlquant.network.quantize.measure_input_ranges", counted)
    for bits, times in ((None, 0), (4, 1)):
        chosen = config(LayerChoice("first", 2, activation_bits=bits))
        quantize(fresh(Mlp), chosen, samples(SAMPLES), calibration_samples=SAMPLES)
        assert len(asked) == times


# --- errors


def test_an_unknown_layer_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown layer 'secnod'; did you mean 'second'"):
        quantize(fresh(Mlp), config(LayerChoice("secnod", 4)))


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_network_that_cannot_be_quantized_is_refused(calibrated: bool) -> None:
    data = samples(SAMPLES) if calibrated else None
    four_bits = config(LayerChoice("first", 4))
    quantized = quantize(fresh(Mlp), four_bits)
    with pytest.raises(NetworkError, match="layer 'first': its weight is already parametrized"):
        quantize(quantized, four_bits, data, calibration_samples=SAMPLES)
    broken = fresh(Mlp)
    broken.first.weight.data[0, 0] = float("nan")
    with pytest.raises(NetworkError, match="layer 'first': its weight has NaN"):
        quantize(broken, four_bits, data, calibration_samples=SAMPLES)
    sentences = samples_of("words", SAMPLES) if calibrated else None
    with pytest.raises(NetworkError, match="layer 'words': its weight is tied"):
        quantize(fresh(TiedNet), config(LayerChoice("words", 4)), sentences)


def test_a_layer_that_never_runs_is_refused() -> None:
    network = fresh(Mlp)
    network.spare = nn.Linear(2, 2)
    chosen = config(LayerChoice("first", 4), LayerChoice("spare", 4))
    with pytest.raises(ChoiceError, match=r"never calls the modules of layers \['spare'\]"):
        quantize(network, chosen, samples(SAMPLES), calibration_samples=SAMPLES)


def test_all_of_few_calibration_data_are_used_which_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network, chosen, data = fresh(Mlp), config(LayerChoice("first", 4)), samples(SAMPLES)
    few = quantize(network, chosen, data)
    said = "calibration has 48 samples: all are used, calibration_samples=512 is the most"
    assert caplog.messages.count(said) == 1
    exactly = quantize(network, chosen, data, calibration_samples=SAMPLES)
    assert torch.equal(few(data[0]), exactly(data[0]))
    assert caplog.messages.count(said) == 1


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_calibration_data_that_make_statistics_infinite_are_refused(name: str) -> None:
    inputs, targets = samples_of(name, SAMPLES)
    inputs[5].view(-1)[0] = float("inf")
    network = fresh(NETWORKS[name].build)
    (first, *_) = find_layers(network, inputs[:2])
    words = r"calibration: .* are not finite in the float network; 1 of the 48 samples have inf"
    with pytest.raises(DataError, match=words):
        quantize(network, config(LayerChoice(first.name, 4)), (inputs, targets))
    hessian_based = config(LayerChoice(first.name, 4, rounding="gptq"))
    with pytest.raises(DataError, match=words):
        quantize(network, hessian_based, (inputs, targets))


def test_an_unknown_range_method_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown activation range 'maximum'"):
        quantize(
            fresh(Mlp),
            config(LayerChoice("first", 4)),
            samples(SAMPLES),
            calibration_samples=SAMPLES,
            activation_range="maximum",  # type: ignore[arg-type]
        )
