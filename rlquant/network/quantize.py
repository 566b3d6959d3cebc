"""A configuration and a float network in, the quantized network out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rlquant.choices import BucketSize, LayerChoice, QuantizationConfig
from rlquant.data import Data, take_samples
from rlquant.errors import ChoiceError, DataError, unknown_name
from rlquant.layers import (
    LayerFacts,
    channel_axis_of,
    copy_network,
    find_layers,
    layer_kind,
    require_quantizable,
)
from rlquant.network.calibrate import FloatReference, calibrate
from rlquant.quantizers import (
    ActivationQuantizer,
    QuantizedTensor,
    activation_grid,
    kmeans_points,
    quantile_points,
    quantize_integer,
    quantize_power_of_two,
    quantize_ternary,
    quantize_to_points,
    quantize_uniform,
    ternary_scales,
)
from rlquant.quantizers.activation import RangeMethod
from rlquant.quantizers.buckets import require_bucket_size
from rlquant.size import LayerStorage


def layer_generator(seed: int, layer: str) -> torch.Generator:
    """Return the generator of a layer's random draws: the same in every process."""
    digest = hashlib.blake2b(f"{seed}:{layer}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def _integer(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    return quantize_integer(weight, choice.bits, clip=choice.points == "clipped", **common)


def _power_of_two(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    names = ("rounding", "generator", "scale_dtype")  # one scale per tensor: no buckets
    return quantize_power_of_two(weight, choice.bits, **{n: common[n] for n in names})


def _uniform(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    return quantize_uniform(weight, choice.bits, **common)


def _quantile(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    buckets = {n: common[n] for n in ("bucket_size", "channel_axis")}
    points = quantile_points(weight, 2**choice.bits, **buckets)
    return quantize_to_points(weight, points, **common)


def _kmeans(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    buckets = {n: common[n] for n in ("bucket_size", "channel_axis")}
    points = kmeans_points(weight, 2**choice.bits, **buckets)
    return quantize_to_points(weight, points, **common)


Quantizer = Callable[[Tensor, LayerChoice, dict[str, Any]], QuantizedTensor]

QUANTIZERS: Mapping[str, Quantizer] = {
    "symmetric": _integer,
    "clipped": _integer,
    "fixed_point": _power_of_two,
    "uniform": _uniform,
    "quantile": _quantile,
    "kmeans": _kmeans,
    "learned": _quantile,  # where learned points start
}
"""How each kind of points is placed after training, by its name in `LayerChoice.points`."""


def quantize_weight(
    weight: Tensor,
    choice: LayerChoice,
    *,
    bucket_size: BucketSize = "channel",
    channel_axis: int = 0,
    seed: int = 0,
) -> QuantizedTensor:
    """Quantize one layer's weight as `choice` says, scales rounded as they will be stored.

    Random draws depend on `seed` and the layer's name alone. The weight is not changed.
    """
    storage = LayerStorage.of(weight, bucket_size, channel_axis)
    dtype = storage.scale_dtype(choice)
    if choice.method == "ternary":
        return quantize_ternary(weight, *ternary_scales(weight), scale_dtype=dtype)
    common = {
        "rounding": choice.rounding,
        "generator": layer_generator(seed, choice.layer),
        "bucket_size": bucket_size,
        "channel_axis": channel_axis,
        "scale_dtype": dtype,
    }
    return QUANTIZERS[choice.points](weight, choice, common)


class QuantizedWeight(nn.Module):
    """The parametrization of a quantized layer's `weight`: codes in buffers, values on demand."""

    def __init__(self, choice: LayerChoice, tensor: QuantizedTensor) -> None:
        super().__init__()
        self.choice = choice
        self._form = (tensor.bits, tensor.kind, tensor.bucket_size, tensor.channel_axis)
        self._strides = tensor.strides
        self.register_buffer("codes", tensor.codes)
        self.register_buffer("scale", tensor.scale)
        self.register_buffer("offset", tensor.offset)
        self.register_buffer("values", tensor.values)

    @property
    def tensor(self) -> QuantizedTensor:
        """The quantized weight."""
        bits, kind, bucket_size, channel_axis = self._form
        buffers = {name: self._buffers[name] for name in ("scale", "offset", "values")}
        codes = self._buffers["codes"]
        assert codes is not None
        return QuantizedTensor(
            codes,
            bits,
            kind,
            **buffers,
            bucket_size=bucket_size,
            channel_axis=channel_axis,
            strides=self._strides,
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Return the dequantized weight in the type of the latent one."""
        return self.tensor.dequantize().to(latent.dtype)


def install_weight(module: nn.Module, choice: LayerChoice, tensor: QuantizedTensor) -> None:
    """Make `module.weight` the dequantized `tensor`."""
    parametrize.register_parametrization(
        module, "weight", QuantizedWeight(choice, tensor), unsafe=True
    )


def quantized_weight(module: nn.Module) -> QuantizedWeight | None:
    """Return the parametrization that `install_weight` put on a layer, if there is one."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    first = module.parametrizations.weight[0]  # type: ignore[union-attr, index]
    return first if isinstance(first, QuantizedWeight) else None


INPUT_QUANTIZER = "input_quantizer"


def _quantize_first_input(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    quantizer = getattr(module, INPUT_QUANTIZER)
    return (quantizer(args[0]), *args[1:])


def install_activation(module: nn.Module, quantizer: ActivationQuantizer) -> Callable[[], None]:
    """Quantize the layer's first input; returns what undoes it."""
    module.add_module(INPUT_QUANTIZER, quantizer)
    handle = module.register_forward_pre_hook(_quantize_first_input)

    def remove() -> None:
        handle.remove()
        delattr(module, INPUT_QUANTIZER)

    return remove


def activation_quantizer(choice: LayerChoice, reference: FloatReference) -> ActivationQuantizer:
    """Return the quantizer of a layer's input from the range it had in the float network.

    Raises:
        ChoiceError: the layer is an embedding, whose inputs are no activations.
    """
    assert choice.activation_bits is not None
    if choice.layer not in reference.input_ranges:
        raise ChoiceError(
            f"layer {choice.layer!r}: activation_bits={choice.activation_bits}, but an embedding "
            f"has no activations as inputs; use activation_bits=None"
        )
    low, high = reference.input_ranges[choice.layer]
    scale, zero_point = activation_grid(low, high, choice.activation_bits)
    return ActivationQuantizer(choice.activation_bits, scale, zero_point)


def require_known_layers(config: QuantizationConfig, network: nn.Module) -> None:
    """Raise `UnknownNameError` where `config` names a layer that `network` does not have."""
    known = [name for name, module in network.named_modules() if layer_kind(module)]
    for choice in config:
        if choice.layer not in known:
            raise unknown_name("layer", choice.layer, known)


def build_quantized(
    network: nn.Module,
    config: QuantizationConfig,
    weights: Callable[[LayerChoice], QuantizedTensor],
    reference: FloatReference | None,
) -> nn.Module:
    """Return a copy of `network` with quantized weights and inputs, not calibrated yet."""
    quantized = copy_network(network)
    device = next(network.parameters()).device
    for choice in config:
        module = quantized.get_submodule(choice.layer)
        if choice.method == "keep":
            continue
        install_weight(module, choice, weights(choice))
        if choice.activation_bits is not None:
            assert reference is not None
            quantizer = activation_quantizer(choice, reference)
            install_activation(module, quantizer.to(device))
    return quantized.eval()  # what was installed came in training mode


def quantize(
    network: nn.Module,
    config: QuantizationConfig,
    calibration: Data | None = None,
    *,
    bucket_size: BucketSize = "channel",
    seed: int = 0,
    calibration_samples: int = 512,
    activation_range: RangeMethod = "percentile",
) -> nn.Module:
    """Quantize a copy of `network` as `config` says; the network itself is never changed.

    Args:
        network: trained float network.
        config: one choice per layer; layers not named stay in float32.
        calibration: training data; with them BatchNorm statistics are re-estimated and biases
            corrected (worth more than any search). Needed where activations are quantized.
        bucket_size: weights that share a scale: a number, "channel" or None (whole tensor).
        seed: decides the draws of stochastic rounding.
        calibration_samples: how many of the calibration data are used.
        activation_range: "minmax" or "percentile" (99.9) of each layer's inputs.

    Returns:
        A network of the same class and signature, in eval mode.

    Raises:
        UnknownNameError: `config` names a layer that is not there.
        NetworkError, DataError, QuantizationError: see `find_layers`, `take_samples`.
    """
    require_known_layers(config, network)
    require_bucket_size(bucket_size)
    quantized = [c.layer for c in config if c.method != "keep"]
    require_quantizable(network, {name: network.get_submodule(name) for name in quantized})
    config = config.canonical("calibrated")
    if calibration is None and any(c.activation_bits is not None for c in config):
        raise DataError("activation_bits need the ranges of the inputs: give calibration data")

    def weights(choice: LayerChoice) -> QuantizedTensor:
        module = network.get_submodule(choice.layer)
        weight = module.weight
        assert isinstance(weight, Tensor)
        return quantize_weight(
            weight.detach(),
            choice,
            bucket_size=bucket_size,
            channel_axis=channel_axis_of(module),
            seed=seed,
        )

    if calibration is None or not config.choices:
        return build_quantized(network, config, weights, None)
    device = next(network.parameters()).device
    samples = take_samples(
        calibration, calibration_samples, name="calibration", device=device, exactly=True
    )
    layers = layers_of(network, config, samples.first(2).inputs)
    reference = FloatReference.measure(network, layers, samples, activation_range)
    copied = build_quantized(network, config, weights, reference)
    calibrate(copied, reference, samples)
    return copied


def layers_of(
    network: nn.Module, config: QuantizationConfig, example: tuple[Tensor, ...]
) -> tuple[LayerFacts, ...]:
    """Return the facts of the layers that `config` names; every one must run in a forward pass."""
    named = {choice.layer for choice in config}
    rest = [n for n, m in network.named_modules() if layer_kind(m) and n not in named]
    layers = find_layers(network, example, keep=rest)
    missing = named - {facts.name for facts in layers}
    if missing:
        raise ChoiceError(f"layers {sorted(missing)} never run in a forward pass; leave them out")
    return layers
