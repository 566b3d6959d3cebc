"""The evaluator: what it measures is what `build` returns, whatever came before."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rlquant.config import FLOAT_BITS, LayerChoice, QuantizationConfig
from rlquant.errors import DataError, StorageError
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.weight_bank import WeightBank
from rlquant.evaluation.weight_folder import WeightFolder
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.input_ranges import measure_input_ranges
from rlquant.network.weights import quantize_weight
from rlquant.objective import Classification
from rlquant.quantizers import QuantizedTensor
from rlquant.samples import Samples
from rlquant.score import Measurement
from rlquant.space import for_layer
from small_networks import CLASSES, FEATURES, NETWORKS, Mlp, fresh, samples, samples_of, trained

SEED = 7
CHOICES = (
    LayerChoice("", 1),
    LayerChoice("", 2),
    LayerChoice("", 2, method="ternary"),
    LayerChoice("", 3, points="clipped"),
    LayerChoice("", 3, "stochastic"),
    LayerChoice("", 4, "stochastic", points="affine"),
    LayerChoice("", 4, points="fixed_point"),
    LayerChoice("", 3, points="quantile"),
    LayerChoice("", 2, "stochastic", points="kmeans"),
    LayerChoice("", FLOAT_BITS, method="float"),
)


def with_activation_bits(choice: LayerChoice, bits: int | None) -> LayerChoice:
    return replace(choice, activation_bits=bits)


def evaluator_of(network: nn.Module, name: str, *, seed: int = SEED) -> Evaluator:
    """Make an evaluator whose last validation batch is shorter than the others."""
    calibration, validation = (samples_of(name, count, seed=count) for count in (40, 50))
    return Evaluator(
        network,
        find_layers(network, calibration[0]),
        Samples((calibration[0],), calibration[1]),
        Samples((validation[0],), validation[1]).batches(16),
        Classification(),
        seed=seed,
    )


@cache
def shared_evaluator(name: str) -> Evaluator:
    return evaluator_of(trained(name), name)


@st.composite
def canonical_configs(draw: st.DrawFn, layers: tuple[LayerFacts, ...]) -> QuantizationConfig:
    chosen = []
    for facts in layers:
        choice = for_layer(draw(st.sampled_from(CHOICES)), facts.name)
        bits = draw(st.sampled_from((None, None, 2, 6)))
        if facts.kind != "embedding" and choice.method != "float":
            choice = with_activation_bits(choice, bits)
        chosen.append(choice.canonical())
    return QuantizationConfig(tuple(chosen))


def uniform(evaluator: Evaluator, choice: LayerChoice) -> QuantizationConfig:
    return QuantizationConfig(tuple(for_layer(choice, f.name) for f in evaluator.layers))


def measured_by_hand(evaluator: Evaluator, network: nn.Module) -> Measurement:
    """Run the validation batches through a network, as a user would."""
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for batch in evaluator.batches:
            outputs = network(*batch.inputs)
            loss += float(nn.functional.cross_entropy(outputs, batch.targets, reduction="sum"))
            correct += int((outputs.argmax(dim=1) == batch.targets).sum())
            count += len(batch)
    return Measurement(loss / count, correct / count, count)


# --- the same numbers


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_what_is_measured_is_what_is_built(name: str, data: st.DataObject) -> None:
    evaluator = shared_evaluator(name)
    config = data.draw(canonical_configs(evaluator.layers))
    measured = evaluator.measure(config)
    by_hand = measured_by_hand(evaluator, evaluator.build(config))
    if math.isfinite(by_hand.loss):
        assert measured == by_hand
    else:
        assert measured.loss == math.inf


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_measurement_does_not_depend_on_what_came_before(name: str, data: st.DataObject) -> None:
    evaluator = shared_evaluator(name)
    configs = canonical_configs(evaluator.layers)
    chosen = data.draw(st.lists(configs, min_size=2, max_size=4, unique=True))
    forward = [evaluator.measure(config) for config in chosen]
    backward = [evaluator.measure(config) for config in reversed(chosen)]
    assert forward == backward[::-1]
    assert evaluator_of(evaluator.network, name).measure(chosen[-1]) == forward[-1]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_float_network_is_measured_as_it_is(name: str) -> None:
    evaluator = shared_evaluator(name)
    assert evaluator.measure_float() == measured_by_hand(evaluator, evaluator.network)


@pytest.mark.parametrize("name", NETWORKS)
def test_sixteen_bits_are_nearly_float(name: str) -> None:
    evaluator = shared_evaluator(name)
    measured = evaluator.measure(uniform(evaluator, LayerChoice("", 16)))
    kept = evaluator.measure(uniform(evaluator, LayerChoice("", FLOAT_BITS, method="float")))
    assert measured.loss == pytest.approx(kept.loss, abs=1e-3)
    assert measured.samples == 50


def test_the_network_is_left_as_it_is() -> None:
    network = trained("conv")
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    evaluator = evaluator_of(network, "conv")
    evaluator.measure(uniform(evaluator, LayerChoice("", 2, activation_bits=4)))
    evaluator.build(uniform(evaluator, LayerChoice("", 2, activation_bits=4)))
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_random_draws_follow_the_seed() -> None:
    network = trained("mlp")
    stochastic = LayerChoice("", 2, "stochastic")
    first, same, other = (evaluator_of(network, "mlp", seed=seed) for seed in (0, 0, 1))
    config = uniform(first, stochastic)
    assert first.measure(config) == same.measure(config)
    assert first.measure(config) != other.measure(config)


def test_input_ranges_are_measured_on_first_use() -> None:
    evaluator = evaluator_of(trained("conv"), "conv")
    evaluator.measure(uniform(evaluator, LayerChoice("", 3)))
    evaluator.build(uniform(evaluator, LayerChoice("", 3)))
    assert "input_ranges" not in vars(evaluator)
    evaluator.measure(uniform(evaluator, LayerChoice("", 3, activation_bits=4)))
    ranges = evaluator.input_ranges
    expected = measure_input_ranges(evaluator.network, evaluator.layers, evaluator.calibration)
    assert {name: found.at(4) for name, found in ranges.items()} == {
        name: found.at(4) for name, found in expected.items()
    }
    evaluator.measure(uniform(evaluator, LayerChoice("", 2, activation_bits=4)))
    assert evaluator.input_ranges is ranges


# --- trouble


class Ratio(nn.Module):
    """Positive weights whose sum divides: with one symmetric bit, -1 or 0, nothing is left."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(FEATURES, 4, bias=False)
        self.inner.weight.data.abs_().add_(0.1)
        self.outer = nn.Linear(4, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.inner(inputs.abs() + 1)
        output: Tensor = self.outer(hidden / hidden.sum(dim=1, keepdim=True))
        return output


def test_a_network_broken_by_quantization_has_an_infinite_loss() -> None:
    evaluator = evaluator_of(fresh(Ratio).eval(), "mlp")
    broken = uniform(evaluator, LayerChoice("", 1))
    fine = uniform(evaluator, LayerChoice("", 8))
    before = evaluator.measure(fine)
    measured = evaluator.measure(broken)
    assert measured.loss == math.inf
    assert 0 <= measured.accuracy <= 1
    assert torch.isnan(evaluator.build(broken)(*evaluator.batches[0].inputs)).any()
    assert evaluator.measure(fine) == before  # the NaN in its biases is gone
    assert math.isfinite(before.loss)


def test_an_interrupted_measurement_leaves_nothing_behind() -> None:
    class Failing(Classification):
        """Judges some batches and is then interrupted."""

        left = 3

        def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            Failing.left -= 1
            if Failing.left == 0:
                raise KeyboardInterrupt
            return Classification.__call__(self, outputs, targets)

    evaluator = evaluator_of(trained("conv"), "conv")
    config = uniform(evaluator, LayerChoice("", 3))
    before = evaluator.measure(config)
    evaluator.objective = Failing()
    with pytest.raises(KeyboardInterrupt):
        evaluator.measure(uniform(evaluator, LayerChoice("", 2, activation_bits=2)))
    evaluator.objective = Classification()
    assert evaluator.measure(config) == before


def test_outputs_and_targets_must_belong_together() -> None:
    evaluator = evaluator_of(nn.Linear(FEATURES, CLASSES - 1).eval(), "mlp")
    with pytest.raises(DataError, match="labels reach from 0 to 2, the network has 2 outputs"):
        evaluator.measure_float()


# --- the weight bank


def bank_of(
    network: nn.Module, *, max_bytes: int | None = None, folder: WeightFolder | None = None
) -> WeightBank:
    layers = find_layers(network, samples(4)[0])
    weights = {}
    for facts in layers:
        weight = network.get_submodule(facts.name).weight
        assert isinstance(weight, Tensor)
        weights[facts.name] = weight.detach()
    return WeightBank(weights, layers, SEED, max_bytes, folder=folder)


def test_a_weight_is_quantized_once() -> None:
    network = fresh(Mlp)
    bank = bank_of(network)
    choice = LayerChoice("first", 3, "stochastic")
    values = bank.values(choice)
    assert bank.values(choice) is values
    expected = quantize_weight(network.first.weight.detach(), choice, seed=SEED)
    assert torch.equal(values, expected.dequantize())
    assert torch.equal(bank.tensor(choice).dequantize(), values)


def test_a_layer_is_assigned_once_and_every_network_has_its_own_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def counted(weight: Tensor, choice: LayerChoice, **more: Any) -> QuantizedTensor:
        calls.append(choice.layer)
        return quantize_weight(weight, choice, **more)

    monkeypatch.setattr("rlquant.evaluation.weight_bank.quantize_weight", counted)
    bank = bank_of(fresh(Mlp))
    choice = LayerChoice("first", 3)
    values = bank.values(choice).clone()
    taken = bank.tensor(choice)
    taken.codes.zero_()  # as loading another state into a built network does
    assert torch.equal(bank.tensor(choice).dequantize(), values)
    assert torch.equal(bank.values(choice), values)
    assert calls == ["first"]


def test_dequantized_weights_that_are_let_go_of_come_back_the_same() -> None:
    bank = bank_of(fresh(Mlp))
    choice = LayerChoice("first", 3)
    codes = bank.packed(choice)
    only_codes = bank.bytes
    values = bank.values(choice)
    assert bank.bytes > only_codes
    bank.forget_values()
    assert bank.bytes == only_codes
    assert torch.equal(bank.values(choice), values)
    assert bank.packed(choice) is codes


def test_activation_bits_do_not_quantize_the_weight_again() -> None:
    bank = bank_of(fresh(Mlp))
    plain = bank.values(LayerChoice("first", 3))
    assert bank.values(LayerChoice("first", 3, activation_bits=8)) is plain
    assert bank.values(LayerChoice("first", 4, activation_bits=8)) is not plain


def test_a_kept_weight_is_the_original() -> None:
    network = fresh(Mlp)
    kept = LayerChoice("first", FLOAT_BITS, method="float")
    assert bank_of(network).values(kept).data_ptr() == network.first.weight.data_ptr()


def test_weights_keep_their_type_and_layout() -> None:
    network = nn.Conv2d(3, 4, 3).double().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    facts = find_layers(network, torch.zeros(1, 3, 5, 5, dtype=torch.float64))
    weight = network.weight.detach()
    values = WeightBank({"": weight}, facts, SEED).values(LayerChoice("", 3))
    assert (values.dtype, values.stride()) == (weight.dtype, weight.stride())


SECOND = 8 * 8
"""Weights of the second layer, each with a value of 4 bytes; in it are two codes
of 3 or 4 bits or four of 2."""
SCALES = 2 * 8


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the bits of every weight that is quantized from now on."""
    found: list[int] = []

    def counting(weight: Tensor, choice: LayerChoice, **more: Any) -> QuantizedTensor:
        found.append(choice.bits)
        return quantize_weight(weight, choice, **more)

    monkeypatch.setattr("rlquant.evaluation.weight_bank.quantize_weight", counting)
    return found


def test_values_go_before_codes_and_the_least_recently_used_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quantized = counted(monkeypatch)
    choices = [LayerChoice("second", bits, group_size="channel") for bits in (2, 3, 4)]
    bank = bank_of(fresh(Mlp), max_bytes=5 * SECOND // 4 + 3 * SCALES + 2 * 4 * SECOND)
    two, three = (bank.values(choice) for choice in choices[:2])
    assert bank.values(choices[0]) is two  # used again
    bank.values(choices[2])
    assert bank.values(choices[0]) is two
    again = bank.values(choices[1])
    assert again is not three
    assert torch.equal(again, three)
    assert quantized == [2, 3, 4]
    assert bank.bytes <= bank.max_bytes


@pytest.mark.parametrize("filed", [False, True])
def test_codes_that_do_not_fit_are_made_again_or_read(
    filed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = counted(monkeypatch)
    bank = bank_of(fresh(Mlp), max_bytes=0, folder=WeightFolder(tmp_path, "key") if filed else None)
    choices = [LayerChoice("second", bits) for bits in (2, 3, 12)]
    first = [bank.values(choice).clone() for choice in choices]
    again = [bank.values(choice) for choice in choices]
    assert all(map(torch.equal, first, again))
    assert torch.equal(bank.tensor(choices[0]).dequantize(), first[0])
    assert sorted(set(quantized)) == [2, 3, 12]
    assert (len(quantized) == 3) == filed


def test_the_next_process_reads_what_was_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = counted(monkeypatch)
    choice = LayerChoice("second", 3)
    first = bank_of(fresh(Mlp), folder=WeightFolder(tmp_path, "key")).values(choice)
    for key, times in (("key", 1), ("another", 2)):
        again = bank_of(fresh(Mlp), folder=WeightFolder(tmp_path, key)).values(choice)
        assert torch.equal(again, first)
        assert len(quantized) == times


def test_a_full_disk_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise StorageError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr("rlquant.evaluation.weight_folder.write_file", full)
    bank = bank_of(fresh(Mlp), folder=WeightFolder(tmp_path, "key"))
    for bits in (3, 4):
        assert torch.isfinite(bank.values(LayerChoice("second", bits))).all()
    assert caplog.text.count("not kept on disk") == 1


def test_a_weight_larger_than_the_bank_is_kept_while_it_is_the_last() -> None:
    bank = bank_of(fresh(Mlp), max_bytes=1)
    choice = LayerChoice("second", 3)
    assert bank.values(choice) is bank.values(choice)
