"""Layers: which ones are found, in which order, and what is known of them."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import rlquant
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import DataError, NetworkError, UnknownNameError
from rlquant.layers import ERROR_BITS, LayerFacts, count_macs, find_layers, relative_errors
from rlquant.weight_sites import layer_kind
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
)


def facts_of(
    network: nn.Module, example: Tensor | tuple[Tensor, ...], **keywords: Any
) -> dict[str, LayerFacts]:
    return {facts.name: facts for facts in find_layers(network, example, **keywords)}


def single(module: nn.Module, example: Tensor) -> LayerFacts:
    (facts,) = find_layers(module, example)
    return facts


# --- order, names, kinds


def test_layers_come_in_the_order_in_which_they_run() -> None:
    network = fresh(Mlp)
    assert [n for n, m in network.named_modules() if layer_kind(m)] == ["last", "first", "second"]
    assert list(facts_of(network, torch.zeros(2, FEATURES))) == ["first", "second", "last"]
    found = list(facts_of(fresh(ConvNet), samples_of("conv", 2)[0]))
    assert found == ["stem", "conv", "shortcut", "grouped", "classifier"]


def test_a_network_that_is_itself_a_layer_has_the_empty_name() -> None:
    facts = single(nn.Linear(4, 3), torch.zeros(2, 4))
    assert (facts.name, facts.kind, facts.shape) == ("", "linear", (3, 4))


def test_several_inputs_are_passed_as_arguments() -> None:
    inputs, _ = samples(4)
    found = facts_of(fresh(TwoInputsNet), (inputs, inputs + 1))
    assert list(found) == ["left", "right", "classifier"]


def test_subclasses_count_as_their_parent() -> None:
    class Mine(nn.Linear):
        pass

    assert single(Mine(4, 3), torch.zeros(2, 4)).kind == "linear"
    assert layer_kind(nn.ReLU()) is None


def test_kept_layers_are_left_out() -> None:
    found = facts_of(fresh(Mlp), torch.zeros(2, FEATURES), exclude=("second",))
    assert list(found) == ["first", "last"]


def test_a_shared_module_is_found_once_with_the_macs_of_all_its_calls() -> None:
    found = facts_of(fresh(SharedLayerNet), samples_of("shared", 4)[0])
    assert list(found) == ["twice", "classifier"]
    assert (found["twice"].calls, found["twice"].macs) == (2, 2 * FEATURES * FEATURES)
    assert found["classifier"].calls == 1


def test_layers_that_never_run_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    network = fresh(Mlp)
    network.unused = nn.Linear(2, 2)
    network.spare = nn.Linear(2, 2)
    with caplog.at_level(logging.WARNING, logger="rlquant.layers"):
        found = find_layers(network, torch.zeros(2, FEATURES))
    assert [facts.name for facts in found] == ["first", "second", "last"]
    words = "left out, as a forward pass never calls their modules: unused, spare"
    assert caplog.messages == [words]


def test_nothing_is_said_of_layers_that_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    network = fresh(Mlp)
    network.unused = nn.Linear(2, 2)
    find_layers(network, torch.zeros(2, FEATURES), exclude=["unused"])
    assert caplog.messages == []


# --- multiply-accumulates, by hand


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Linear(7, 5), (4, 7), 7 * 5),
        (nn.Linear(7, 5), (4, 3, 7), 3 * 7 * 5),  # three positions a sample
        (nn.Conv1d(3, 4, 5), (2, 3, 12), 4 * 8 * 3 * 5),
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 6, 6), 8 * 36 * 3 * 9),
        (nn.Conv2d(3, 8, 3, stride=2), (2, 3, 7, 7), 8 * 9 * 3 * 9),
        (nn.Conv2d(4, 8, 3, groups=2, padding=1), (2, 4, 6, 6), 8 * 36 * 2 * 9),
        (nn.Conv2d(4, 4, 3, groups=4, padding=1), (2, 4, 6, 6), 4 * 36 * 1 * 9),
        (nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4), 3 * 27 * 2 * 8),
        # Transposed: every input element meets each output channel's kernel once.
        (nn.ConvTranspose1d(2, 5, 3), (2, 2, 10), 2 * 10 * 5 * 3),
        (nn.ConvTranspose2d(2, 5, 3, stride=2), (2, 2, 6, 6), 2 * 36 * 5 * 9),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 6, 6), 4 * 36 * 3 * 9),
        (nn.ConvTranspose3d(2, 3, 2), (2, 2, 3, 3, 3), 2 * 27 * 3 * 8),
    ],
    ids=lambda value: str(value),
)
def test_macs_of_one_sample(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    facts = single(module, torch.zeros(shape))
    assert facts.macs == macs
    assert facts.parameters == module.weight.numel()  # type: ignore[operator]


def test_an_embedding_looks_up_and_multiplies_nothing() -> None:
    found = facts_of(fresh(WordNet), samples_of("words", 3)[0])
    words = found["words"]
    assert (words.kind, words.macs, words.shape, words.has_bias) == ("embedding", 0, (12, 8), False)


def test_macs_of_named_layers_can_be_counted_alone() -> None:
    network, (images, _) = fresh(ConvNet), samples_of("conv", 2)
    assert count_macs(network, images, ["classifier"]) == {"classifier": 6 * 3}
    assert count_macs(network, images, []) == {}


# --- facts


def test_batch_norm_behind_is_seen_through_no_other_layer() -> None:
    found = facts_of(fresh(ConvNet), samples_of("conv", 2)[0])
    normalized = [name for name, facts in found.items() if facts.normalized]
    assert normalized == ["stem", "conv", "shortcut"]
    assert [name for name, facts in found.items() if facts.has_bias] == ["grouped", "classifier"]


def test_the_channels_of_a_transposed_convolution_lie_on_axis_1() -> None:
    found = facts_of(fresh(TransposedNet), samples_of("transposed", 2)[0])
    assert (found["up"].kind, found["up"].channel_axis) == ("conv_transpose2d", 1)
    assert found["classifier"].channel_axis == 0


def test_statistics_are_those_of_the_weights() -> None:
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[-3.0, -1.0], [1.0, 3.0]])
    facts = single(module, torch.zeros(1, 2))
    assert facts.std == pytest.approx(5**0.5)
    assert facts.largest == 3.0
    assert facts.kurtosis == pytest.approx((81 + 1 + 1 + 81) / 4 / 25)
    assert facts.has_bias is False


def test_more_bits_leave_less_error() -> None:
    facts = facts_of(fresh(Mlp), torch.zeros(2, FEATURES))["second"]
    assert len(facts.relative_error) == len(ERROR_BITS)
    assert all(a > b for a, b in zip(facts.relative_error, facts.relative_error[1:], strict=False))
    assert 0 < facts.relative_error[-1] < 1e-3 < facts.relative_error[0] < 1


def test_a_layer_of_zeros_has_no_error() -> None:
    assert relative_errors(torch.zeros(4, 5), 0) == (0.0,) * len(ERROR_BITS)


def test_large_layers_are_judged_on_evenly_spaced_channels() -> None:
    weight = torch.randn(1200, 110, generator=torch.Generator().manual_seed(0))
    assert relative_errors(weight, 0) == relative_errors(weight[::2], 0)


# --- the network stays as it is


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_stays_as_it_is(name: str) -> None:
    network = fresh(NETWORKS[name].build).train()
    state = copy.deepcopy(network.state_dict())
    find_layers(network, samples_of(name, 8)[0])
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    hooks = [(m._forward_hooks, m._forward_pre_hooks) for m in network.modules()]
    assert not any(hook for pair in hooks for hook in pair)


# --- networks that cannot be searched


def test_a_network_without_quantizable_layers_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"no quantizable layer: Sequential runs no Linear, Con"):
        find_layers(nn.Sequential(nn.ReLU(), nn.Flatten()), torch.zeros(2, 3))
    with pytest.raises(NetworkError, match=r"outside exclude=\['first', 'last', 'second'\]"):
        find_layers(fresh(Mlp), torch.zeros(2, FEATURES), exclude=("first", "second", "last"))


def test_an_unknown_layer_in_keep_gets_the_nearest_name() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown layer in exclude 'frist'; did you mean 'fi"
    ):
        find_layers(fresh(Mlp), torch.zeros(2, FEATURES), exclude=("frist",))


def test_tied_weights_are_left_out_together() -> None:
    example = samples_of("words", 2)[0]
    for exclude in ((), ("words",), ("words", "logits")):
        found = {layer.name for layer in find_layers(fresh(TiedNet), example, exclude=exclude)}
        assert found
        assert found.isdisjoint({"words", "logits"})


def test_a_linear_layer_of_hugging_face_has_its_outputs_at_axis_1() -> None:
    transformers = pytest.importorskip("transformers")
    network = nn.Sequential(transformers.pytorch_utils.Conv1D(5, 3), nn.Linear(5, 2))
    first, _ = find_layers(network, torch.zeros(4, 3))
    assert (first.kind, first.channel_axis, first.shape) == ("linear_transposed", 1, (3, 5))
    assert (first.macs, first.has_bias) == (15, True)
    config = QuantizationConfig((LayerChoice("0", 3),))
    weight = rlquant.quantize(network, config).get_submodule("0").weight
    assert isinstance(weight, Tensor)
    assert all(len(column.unique()) <= 2**3 for column in weight.T)
    assert len(weight.unique()) > 2**3  # a scale of its own for every output


def test_tied_weights_may_be_kept() -> None:
    found = facts_of(fresh(TiedNet), samples_of("words", 2)[0], exclude=("words", "logits"))
    assert list(found) == ["middle"]


def test_parametrized_weights_are_refused() -> None:
    network = fresh(Mlp)
    nn.utils.parametrizations.weight_norm(network.second)
    assert parametrize.is_parametrized(network.second)
    with pytest.raises(NetworkError, match="layer 'second': its weight is already parametrized"):
        find_layers(network, torch.zeros(2, FEATURES))
    # What is kept is saved too, and a file holds nothing that is parametrized.
    with pytest.raises(NetworkError, match=r"layer 'second': .*remove_parametrizations"):
        find_layers(network, torch.zeros(2, FEATURES), exclude=("second",))
    parametrize.remove_parametrizations(network.second, "weight")
    assert list(facts_of(network, torch.zeros(2, FEATURES))) == ["first", "second", "last"]


def test_a_parametrized_module_of_any_kind_is_refused() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4))
    parametrize.register_parametrization(network[1], "bias", nn.Identity())
    with pytest.raises(NetworkError, match="layer '1': its bias is already parametrized"):
        find_layers(network, torch.zeros(2, FEATURES))


def test_a_weight_that_is_no_parameter_can_only_be_kept() -> None:
    network = fresh(Mlp)
    weight = network.second.weight.detach()
    del network.second.weight
    network.second.register_buffer("weight", weight)
    with pytest.raises(NetworkError, match="layer 'second': its weight is no parameter of its own"):
        find_layers(network, torch.zeros(2, FEATURES))
    found = facts_of(network, torch.zeros(2, FEATURES), exclude=("second",))
    assert list(found) == ["first", "last"]


def test_a_frozen_network_is_refused_where_its_inputs_are_quantized() -> None:
    config = QuantizationConfig((LayerChoice("first", 4, activation_bits=4),))
    data = samples(16)
    frozen = rlquant.dequantize(rlquant.quantize(fresh(Mlp), config, data, calibration_samples=16))
    words = "'first.input_quantizer' quantizes the inputs of a layer: the network is already quan"
    for keep in ((), ("first",)):
        with pytest.raises(NetworkError, match=words):
            find_layers(frozen, torch.zeros(2, FEATURES), exclude=keep)


def test_a_quantized_network_is_refused() -> None:
    config = QuantizationConfig((LayerChoice("first", 4),))
    with pytest.raises(NetworkError, match="layer 'first': its weight is already parametrized or"):
        find_layers(rlquant.quantize(fresh(Mlp), config), torch.zeros(2, FEATURES))


def test_weights_without_data_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"'last.weight' has no data \(meta device\)"):
        find_layers(fresh(Mlp).to("meta"), torch.zeros(2, FEATURES))


def test_integer_weights_are_refused() -> None:
    network = fresh(Mlp)
    integers = nn.Parameter(torch.ones(8, FEATURES, dtype=torch.int8), requires_grad=False)
    network.first.weight = integers
    with pytest.raises(NetworkError, match=r"layer 'first': its weight is of type torch.int8; lo"):
        find_layers(network, torch.zeros(2, FEATURES))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    network = fresh(Mlp)
    network.first.weight.data[0, 0] = value
    with pytest.raises(NetworkError, match="layer 'first': its weight has NaN or infinite values"):
        find_layers(network, torch.zeros(2, FEATURES))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_weights_is_refused() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 0))
    with pytest.raises(NetworkError, match=r"layer '1': its weight of shape \(0, 3\) has no el"):
        find_layers(network, torch.zeros(2, 4))


def test_modules_called_by_keyword_are_found_like_others() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose1d(2, 3, 3)
            self.norm = nn.BatchNorm1d(3)
            self.outer = nn.Linear(3, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = self.norm(input=self.up(output_size=[6], input=inputs))
            output: Tensor = self.outer(input=hidden.mean(dim=2))
            return output

    found = facts_of(Keyword(), torch.zeros(2, 2, 4))
    assert [(f.name, f.macs, f.normalized) for f in found.values()] == [
        ("up", 2 * 4 * 3 * 3, True),
        ("outer", 6, False),
    ]
    assert list(facts_of(Keyword(), torch.zeros(2, 2, 4), exclude=("up",))) == ["outer"]
    assert count_macs(Keyword(), torch.zeros(2, 2, 4), ["up"]) == {"up": 72}


@pytest.mark.parametrize("example", [(), [], torch.zeros(0, FEATURES), (None,)])
def test_an_example_without_a_sample_is_refused(example: Any) -> None:
    with pytest.raises(DataError, match=r"example_input .* give (a tensor|at least one sample)"):
        find_layers(fresh(Mlp), example)


def test_an_example_without_data_is_refused() -> None:
    with pytest.raises(DataError, match="is a meta tensor; give one that has data"):
        find_layers(fresh(Mlp), torch.zeros(2, FEATURES, device="meta"))


def test_what_is_kept_must_be_names() -> None:
    config: Any = QuantizationConfig((LayerChoice("first", 2),))
    with pytest.raises(
        UnknownNameError, match=r"unknown layer in exclude .LayerChoice.*known: first"
    ):
        find_layers(fresh(Mlp), torch.zeros(2, FEATURES), exclude=config)
