"""Quantization of a network by a configuration, with calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache

from torch import nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.cost.float_share import FloatShare
from rlquant.data import Data, take_samples
from rlquant.errors import ChoiceError, DataError, unknown_name
from rlquant.evaluation_settings import Calibrate, require_calibrate
from rlquant.forward_pass import Arguments
from rlquant.layers import LayerFacts, find_layers, modules_of
from rlquant.network.calibrate import FloatReference
from rlquant.network.calibrate import calibrate as run_calibration
from rlquant.network.hessians import output_hessian
from rlquant.network.input_ranges import Ranges, measure_input_ranges
from rlquant.network.modules import install_activation, install_weight, mark_quantized
from rlquant.network.weights import Moments, quantize_weight
from rlquant.plain_network import device_of, require_network
from rlquant.quantizable import require_answering, require_quantizable
from rlquant.quantizers import ActivationQuantizer, QuantizedTensor, activation_grid
from rlquant.quantizers.activation_ranges import RangeMethod, require_range_method
from rlquant.weight_sites import channel_axis_of, site_of, weight_sites

logger = logging.getLogger(__name__)


def activation_quantizer(choice: LayerChoice, ranges: Ranges) -> ActivationQuantizer:
    """Return the quantizer of a layer's input from the ranges of inputs in the float network.

    Raises:
        ChoiceError: the layer is an embedding, or a part of a module, and has no activations.
        QuantizationError: its inputs were not finite, or of no float type.
    """
    bits = choice.activation_bits
    assert bits is not None
    if choice.layer not in ranges:
        raise ChoiceError(
            f"layer {choice.layer!r}: activation_bits={bits}, but an embedding has no activations "
            f"as inputs, and a part of a module none of its own; use activation_bits=None"
        )
    scale, zero_point = activation_grid(*ranges[choice.layer].at(bits), bits)
    return ActivationQuantizer(bits, scale, zero_point)


def require_known_layers(config: QuantizationConfig, network: nn.Module) -> None:
    """Raise `UnknownNameError` where `config` names a layer that `network` does not have."""
    known = weight_sites(network)
    for choice in config:
        if choice.layer not in known:
            raise unknown_name("layer", choice.layer, list(known))


def quantizes_activations(config: QuantizationConfig) -> bool:
    """Return whether a canonical configuration needs the ranges of any layer's inputs."""
    return any(choice.activation_bits is not None for choice in config)


def build_quantized(
    network: nn.Module,
    config: QuantizationConfig,
    weights: Callable[[LayerChoice], QuantizedTensor],
    ranges: Ranges,
) -> nn.Module:
    """Return a copy of `network` with quantized weights and inputs, not calibrated yet.

    Args:
        network: float network.
        config: canonical.
        weights: gives the quantized weight of a choice.
        ranges: of the layers' inputs; may be empty where no activations are quantized.
    """
    quantized = copy_network(network)
    mark_quantized(quantized)
    device = device_of(network)
    for choice in config:
        if choice.method == "float":
            continue
        site = site_of(quantized, choice.layer)
        install_weight(quantized, site, choice, weights(choice))
        if choice.activation_bits is not None:
            quantizer = activation_quantizer(choice, ranges)
            install_activation(site.owner_in(quantized), quantizer.to(device))
    return quantized.eval()  # what was installed came in training mode


@explained
@isolated(seed=0)
def quantize(
    network: nn.Module,
    config: QuantizationConfig,
    calibration: Data | None = None,
    *,
    seed: int = 0,
    calibration_samples: int = 512,
    activation_range: RangeMethod = "mse",
    calibrate: Calibrate = "auto",
) -> nn.Module:
    """Quantize a copy of `network` as `config` says; the network itself is never changed.

    Args:
        network: trained float network.
        config: one choice per layer; layers not named stay in float32 and, other than with
            `problem.build(config)`, which names them `exclude`, get no bias corrected.
        calibration: training data; with them the shift that quantization makes is taken back, see
            `calibrate`. Needed where activations are quantized, and for roundings "gptq" and
            "learned".
        seed: decides random draws: of stochastic rounding, and of the policy of learned rounding.
        calibration_samples: at most so many of the calibration data are used.
        activation_range: how the range of a layer's quantized inputs is chosen: "mse" (least
            squared error at the asked bits), "minmax" or "percentile" (99.9).
        calibrate: what of the shift is taken back: "statistics" of BatchNorms, "biases" of layers
            with no BatchNorm behind them, where that lowers the error of their outputs, "auto",
            both of them, or "none".

    Returns:
        A network of the same class and signature, in eval mode.

    Raises:
        UnknownNameError: `config` names a layer that is not there.
        NetworkError, DataError, QuantizationError: see `find_layers`, `take_samples`.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> config = rlquant.QuantizationConfig((rlquant.LayerChoice("hidden", 4),))
        >>> quantized = rlquant.quantize(network, config, calibration=data)
        >>> quantized(data[0]).shape
        torch.Size([96, 3])
    """
    require_known_layers(config, require_network(network))
    require_range_method(activation_range)
    require_calibrate(calibrate)
    quantized = [c.layer for c in config if c.method != "float"]
    require_quantizable(network, quantized)
    _log_float_share(network, quantized)
    config = config.canonical("calibrated")
    if calibration is None and quantizes_activations(config):
        raise DataError("activation_bits need the ranges of the inputs: give calibration data")
    moments: Moments | None = None

    def weights(choice: LayerChoice) -> QuantizedTensor:
        site = site_of(network, choice.layer)
        return quantize_weight(
            site.weight_in(network).detach(),
            choice,
            channel_axis=channel_axis_of(site.kind),
            seed=seed,
            moments=moments,
        )

    if calibration is None or not config.choices:
        require_answering(network, quantized)
        return build_quantized(network, config, weights, {})
    device = device_of(network)
    samples = take_samples(
        calibration,
        calibration_samples,
        name="calibration",
        device=device,
        setting="calibration_samples",
    )
    layers = layers_of(network, config, samples.first(2).inputs)
    network = copy_network(network)  # one that the passes below may share
    reference = FloatReference.measure(network, layers, samples, calibrate)
    called = modules_of(layers)
    moments = cache(lambda: output_hessian(network, called, samples, calibrate))
    ranges = (
        measure_input_ranges(network, layers, samples, activation_range)
        if quantizes_activations(config)
        else {}
    )
    copied = build_quantized(network, config, weights, ranges)
    run_calibration(copied, reference, samples)
    return copied


def _log_float_share(network: nn.Module, quantized: Sequence[str]) -> None:
    """Say which bytes stay float; a warning where most do although nobody chose that."""
    rest = [name for name in weight_sites(network) if name not in quantized]
    share = FloatShare.of(network, quantized, rest, "that the configuration does not quantize")
    forced = share.float_bytes - share.chosen
    logger.log(logging.WARNING if forced > share.total / 2 else logging.INFO, "%s", share)


def layers_of(
    network: nn.Module, config: QuantizationConfig, example: Arguments
) -> tuple[LayerFacts, ...]:
    """Return the facts of the layers that `config` names; every one must run in a forward pass."""
    named = {choice.layer for choice in config}
    rest = [name for name in weight_sites(network) if name not in named]
    layers = find_layers(network, example, exclude=rest)
    missing = named - {facts.name for facts in layers}
    if missing:
        raise ChoiceError(
            f"a forward pass never calls the modules of layers {sorted(missing)}; leave them out"
        )
    return layers
