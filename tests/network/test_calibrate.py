"""Calibration of whole networks: differences to the float network, in execution order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.errors import QuantizationError
from rlquant.evaluation_settings import Calibrate
from rlquant.layers import find_layers
from rlquant.network.bias_correction import output_rows
from rlquant.network.calibrate import (
    Calibrator,
    FloatReference,
    calibrate,
    calibrated_tensors,
)
from rlquant.network.input_ranges import measure_input_ranges
from rlquant.network.quantize import quantize
from rlquant.quantizers import activation_range
from rlquant.quantizers.activation_ranges import METHODS
from rlquant.samples import Samples
from small_networks import (
    CLASSES,
    FEATURES,
    NETWORKS,
    ConvNet,
    Pair,
    fresh,
    samples,
    samples_of,
    trained,
)

COUNT = 64


def as_samples(pair: Pair) -> Samples:
    return Samples((pair[0],), pair[1])


def reference_of(network: nn.Module, taken: Samples) -> FloatReference:
    return FloatReference.measure(network, find_layers(network, taken.inputs), taken)


def two_bits(network: nn.Module, example: Tensor, **fields: int) -> QuantizationConfig:
    layers = find_layers(network, example)
    return QuantizationConfig(tuple(LayerChoice(f.name, 2, **fields) for f in layers))  # type: ignore[arg-type]


def quantized_pair(name: str, **fields: int) -> tuple[nn.Module, nn.Module, Pair]:
    """Return a trained network, its calibrated two-bit version, and the calibration data."""
    data = samples_of(name, COUNT, seed=1)
    network = trained(name)
    chosen = two_bits(network, data[0], **fields)
    return network, quantize(network, chosen, data, calibration_samples=COUNT), data


@contextmanager
def watching(network: nn.Module, *names: str) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Note the input and the output of each named module."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    handles = []
    for name in names:

        def hook(
            module: nn.Module, args: tuple[Tensor, ...], output: Tensor, name: str = name
        ) -> None:
            seen[name] = (args[0].detach().clone(), output.detach().clone())

        handles.append(network.get_submodule(name).register_forward_hook(hook))
    yield seen
    for handle in handles:
        handle.remove()


def tensor_of(network: nn.Module, module: str, name: str) -> Tensor:
    tensor = getattr(network.get_submodule(module), name)
    assert isinstance(tensor, Tensor)
    return tensor


# --- BatchNorm


@pytest.mark.parametrize("activation_bits", [None, 4])
def test_statistics_move_by_the_difference_in_execution_order(activation_bits: int | None) -> None:
    fields = {} if activation_bits is None else {"activation_bits": activation_bits}
    network, quantized, (images, _) = quantized_pair("conv", **fields)
    names = ("stem_norm", "conv_norm", "shortcut_norm")
    with watching(network, *names) as wanted, watching(quantized, *names) as got:
        network(images)
        quantized(images)
    for name in names:
        running_var, running_mean = (
            tensor_of(network, name, f"running_{n}") for n in ("var", "mean")
        )
        (float_var, float_mean), (variance, mean) = (
            torch.var_mean(seen[name][0], dim=(0, 2, 3), correction=0) for seen in (wanted, got)
        )
        grown = torch.where(variance > float_var, variance - float_var, torch.inf)
        expected = torch.minimum(running_var * variance / float_var, running_var + grown)
        moved = running_mean + mean - float_mean
        assert torch.allclose(tensor_of(quantized, name, "running_mean"), moved, atol=1e-5)
        assert torch.allclose(tensor_of(quantized, name, "running_var"), expected, rtol=1e-2)
    assert not torch.allclose(mean, float_mean, atol=1e-2)  # there was something to mend


def test_a_batch_norm_that_runs_twice_is_left_alone() -> None:
    network, quantized, data = quantized_pair("shared")
    assert not reference_of(network, as_samples(data)).batch_norms
    for name in ("running_mean", "running_var"):
        assert torch.equal(tensor_of(quantized, "norm", name), tensor_of(network, "norm", name))


def test_a_batch_norm_without_running_statistics_is_left_alone() -> None:
    network = fresh(
        lambda: nn.Sequential(
            nn.Linear(FEATURES, 4),
            nn.BatchNorm1d(4, track_running_stats=False),
            nn.Linear(4, CLASSES),
        )
    ).eval()
    data = samples(COUNT)
    assert not reference_of(network, as_samples(data)).batch_norms
    quantized = quantize(network, two_bits(network, data[0]), data, calibration_samples=COUNT)
    assert torch.isfinite(quantized(data[0])).all()


# --- bias correction


@pytest.mark.parametrize(
    ("name", "activation_bits"),
    [("mlp", None), ("mlp", 3), ("conv", None), ("conv", 3), ("transposed", 3), ("words", None)],
)
def test_weighted_mean_outputs_are_those_of_the_float_network(
    name: str, activation_bits: int | None
) -> None:
    fields = {} if activation_bits is None else {"activation_bits": activation_bits}
    network, quantized, data = quantized_pair(name, **fields)
    corrected = reference_of(network, as_samples(data)).output_means
    assert (
        list(corrected)
        == {
            "mlp": ["first", "second", "last"],
            "conv": ["grouped", "classifier"],  # the others feed a BatchNorm
            "transposed": ["up", "classifier"],
            "words": ["classifier"],  # an embedding has no bias
        }[name]
    )
    with watching(quantized, *corrected) as seen:
        quantized(data[0])
    kept = 0
    for layer, means in corrected.items():
        module = quantized.get_submodule(layer)
        rows = output_rows(module, seen[layer][1])
        error = (means.weights[..., None] * rows).sum(dim=(0, 1)) - means.halves.sum(dim=0)
        moved = tensor_of(quantized, layer, "bias") - tensor_of(network, layer, "bias")
        kept += bool(moved.any())
        assert not moved.any() or torch.allclose(error, torch.zeros_like(error), atol=1e-4)
    assert kept


def test_a_layer_that_runs_twice_keeps_its_bias() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(FEATURES, FEATURES)
            self.outer = nn.Linear(FEATURES, CLASSES)

        def forward(self, inputs: Tensor) -> Tensor:
            output: Tensor = self.outer(torch.relu(self.inner(torch.relu(self.inner(inputs)))))
            return output

    network, data = fresh(Twice), samples(COUNT)
    assert list(reference_of(network, as_samples(data)).output_means) == ["outer"]
    quantized = quantize(network, two_bits(network, data[0]), data, calibration_samples=COUNT)
    assert torch.equal(tensor_of(quantized, "inner", "bias"), tensor_of(network, "inner", "bias"))
    assert not torch.equal(
        tensor_of(quantized, "outer", "bias"), tensor_of(network, "outer", "bias")
    )


# --- what it is good for, and what it leaves alone


def test_calibration_mends_a_low_bit_network() -> None:
    # Three networks of two bits; validation samples are none of the calibration samples.
    raw, mended = 0.0, 0.0
    for seed in range(3):
        network = trained("conv", seed)
        data, (images, labels) = samples_of("conv", 128, seed=1), samples_of("conv", 200, seed=2)
        chosen = two_bits(network, data[0])
        for calibration in (None, data):
            quantized = quantize(network, chosen, calibration, calibration_samples=128)
            loss = float(functional.cross_entropy(quantized(images), labels))
            raw, mended = (raw + loss, mended) if calibration is None else (raw, mended + loss)
    assert mended < 0.7 * raw


@pytest.mark.parametrize("name", NETWORKS)
def test_calibration_writes_exactly_what_it_says(name: str) -> None:
    taken = as_samples(samples_of(name, COUNT, seed=1))
    network = copy_network(fresh(NETWORKS[name].build))
    reference = reference_of(network, taken)
    for facts in find_layers(network, taken.inputs):
        tensor_of(network, facts.name, "weight").data.mul_(1.3)  # something to calibrate
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    said = {tensor.data_ptr() for tensor in calibrated_tensors(network, reference)}
    calibrate(network, reference, taken)
    state = network.state_dict()
    written = {t.data_ptr() for key, t in state.items() if not torch.equal(t, before[key])}
    assert written
    assert written <= said


class ByKeyword(ConvNet):
    """The same network, whose modules are called by keyword."""

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.stem_norm(input=self.stem(input=images)))
        block = self.conv_norm(input=self.conv(input=hidden))
        block = block + self.shortcut_norm(input=self.shortcut(input=hidden))
        block = torch.relu(self.grouped(input=torch.relu(block)))
        output: Tensor = self.classifier(input=block.mean(dim=(2, 3)))
        return output


@pytest.mark.parametrize("activation_bits", [None, 4])
def test_modules_called_by_keyword_are_calibrated_alike(activation_bits: int | None) -> None:
    data = samples_of("conv", COUNT, seed=1)
    quantized = []
    for build in (ConvNet, ByKeyword):
        network = fresh(build).eval()
        layers = find_layers(network, data[0])
        chosen = QuantizationConfig(
            tuple(LayerChoice(f.name, 2, activation_bits=activation_bits) for f in layers)
        )
        quantized.append(quantize(network, chosen, data, calibration_samples=COUNT))
    assert torch.equal(quantized[0](data[0]), quantized[1](data[0]))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_an_unquantized_network_stays_what_it_was_bit_for_bit(
    name: str, dtype: torch.dtype
) -> None:
    inputs, labels = samples_of(name, COUNT, seed=1)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    network = trained(name).to(dtype)
    calibrated = copy_network(network)
    taken = as_samples((inputs, labels))
    calibrate(calibrated, reference_of(network, taken), taken)
    for key, tensor in network.state_dict().items():
        assert torch.equal(calibrated.state_dict()[key], tensor), key


def test_what_is_calibrated_can_be_chosen() -> None:
    network, data = trained("conv"), samples_of("conv", COUNT, seed=1)
    chosen = two_bits(network, data[0])
    moved = {}
    for what in get_args(Calibrate):
        quantized = quantize(network, chosen, data, calibration_samples=COUNT, calibrate=what)
        names = ("conv_norm.running_mean", "conv_norm.running_var", "grouped.bias")
        state, before = quantized.state_dict(), network.state_dict()
        moved[what] = tuple(not torch.equal(state[name], before[name]) for name in names)
    assert moved == {
        "auto": (True, True, True),
        "statistics": (True, True, False),
        "biases": (False, False, True),
        "none": (False, False, False),
    }


def test_nothing_is_run_where_there_is_nothing_to_calibrate() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 4, bias=False), nn.LayerNorm(4))
    taken = as_samples(samples(COUNT))
    reference = reference_of(network, taken)
    assert reference.is_empty
    network.register_forward_pre_hook(lambda module, args: pytest.fail("it was run"))
    calibrate(network, reference, taken)


def test_no_hook_stays_behind_even_when_the_network_fails() -> None:
    taken = as_samples(samples_of("conv", COUNT, seed=1))
    network = copy_network(fresh(ConvNet))
    reference = reference_of(network, taken)
    with pytest.raises(ZeroDivisionError), Calibrator(network, reference).watching():
        raise ZeroDivisionError
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


# --- the float network, measured once


def test_ranges_are_those_of_the_inputs() -> None:
    network, (inputs, labels) = trained("mlp"), samples_of("mlp", COUNT, seed=1)
    taken = as_samples((inputs, labels))
    layers = find_layers(network, inputs)
    hidden = torch.relu(network.get_submodule("first")(inputs)).detach()
    for method in METHODS:
        ranges = measure_input_ranges(network, layers, taken, method)
        assert list(ranges) == ["first", "second", "last"]
        for bits in (3, 8):
            assert ranges["first"].at(bits) == activation_range(inputs, method).at(bits)
            assert ranges["second"].at(bits) == activation_range(hidden, method).at(bits)


def test_the_range_of_a_shared_layer_covers_all_its_calls() -> None:
    network, (inputs, labels) = trained("shared"), samples_of("shared", COUNT, seed=1)
    layers = find_layers(network, inputs)
    taken = as_samples((inputs, labels))
    ranges = measure_input_ranges(network, layers, taken, "minmax")
    low, high = (float(x) for x in inputs.aminmax())
    with watching(network, "again") as seen:  # the second call is seen last
        network(inputs)
    second_low, second_high = (float(x) for x in seen["again"][0].aminmax())
    assert ranges["twice"].at(8) == (min(low, second_low), max(high, second_high))


def test_an_embedding_has_no_range() -> None:
    network, data = trained("words"), samples_of("words", COUNT, seed=1)
    layers = find_layers(network, data[0])
    assert list(measure_input_ranges(network, layers, as_samples(data))) == ["classifier"]


def test_inputs_that_are_not_finite_name_their_layer() -> None:
    network, (inputs, labels) = trained("mlp"), samples_of("mlp", COUNT, seed=1)
    tensor_of(network, "first", "bias").data[0] = float("inf")
    layers = find_layers(network, inputs)
    ranges = measure_input_ranges(network, layers, as_samples((inputs, labels)))
    low, high = ranges["first"].at(8)
    assert low < 0 < high
    with pytest.raises(QuantizationError, match=r"inputs of layer 'second': 64 of 512 activations"):
        ranges["second"].at(8)


def test_a_call_that_cannot_be_quantized_is_an_error_of_its_layer_whatever_the_other_calls() -> (
    None
):
    layer = nn.Linear(4, 4)
    nn.init.ones_(layer.weight)  # of any other sign some outputs may be 0 / 0
    network = nn.Sequential(layer, nn.Identity(), layer, nn.Hardtanh(), layer)
    inputs, labels = torch.ones(8, 4), torch.zeros(8, dtype=torch.long)
    network[1].register_forward_hook(lambda module, args, output: output / 0)
    ranges = measure_input_ranges(
        network, find_layers(network, inputs), as_samples((inputs, labels)), "minmax"
    )
    with pytest.raises(QuantizationError, match="inputs of layer '0': 32 of 32 activations"):
        ranges["0"].at(8)
