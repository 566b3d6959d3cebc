"""The assignment problem of one layer of a network, for any agent."""

from __future__ import annotations

from torch import nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import LayerChoice, Points
from rlquant.copying.network_copy import copy_network
from rlquant.data import Data, take_samples
from rlquant.errors import ChoiceError, unknown_name
from rlquant.layers import find_layers, modules_of
from rlquant.network.hessians import output_hessian
from rlquant.network.weights import quantize_weight
from rlquant.network_kind import WIDEST
from rlquant.plain_network import device_of, require_network
from rlquant.rounding.layer_problem import LayerProblem
from rlquant.weight_sites import site_of


@explained
@isolated(seed=0)
def layer_problem(
    network: nn.Module,
    calibration: Data,
    layer: str | None = None,
    *,
    bits: int = 2,
    points: Points = "clipped",
    weights_per_action: int = 1,
    calibration_samples: int = 512,
) -> LayerProblem:
    """Return the assignment of a layer of a float network as a problem.

    Args:
        network: trained float network.
        calibration: training data, of which the layer's inputs are measured.
        layer: its name; the first that can be quantized by default.
        bits: width of a code.
        points: where the points lie.
        weights_per_action: weights that share an action.
        calibration_samples: at most so many of the calibration data are used.

    Raises:
        UnknownNameError: no quantizable layer of that name.
        ChoiceError: a layer whose inputs have no moments.
        NetworkError, DataError, SettingsError: see `find_layers`, `take_samples`, `LayerProblem`.
    """
    device = device_of(require_network(network))
    samples = take_samples(
        calibration,
        calibration_samples,
        name="calibration",
        device=device,
        setting="calibration_samples",
    )
    layers = find_layers(network, samples.first(2).inputs)
    names = [facts.name for facts in layers]
    chosen = names[0] if layer is None else layer
    if chosen not in names:
        raise unknown_name("layer", chosen, names)
    network = copy_network(network)  # one that the passes below may share
    moments = output_hessian(network, modules_of(layers), samples)
    if chosen not in moments:
        raise ChoiceError(
            f"layer {chosen!r}: its inputs have no moments; choose a linear layer or a convolution "
            f"of up to {WIDEST} weights an output channel"
        )
    weight = site_of(network, chosen).weight_in(network)
    nearest = quantize_weight(weight.detach(), LayerChoice(chosen, bits, points=points))
    place = names.index(chosen) / max(len(names) - 1, 1)
    return LayerProblem.of(
        weight.detach(),
        nearest,
        moments[chosen],
        weights_per_action=weights_per_action,
        place=place,
    )
