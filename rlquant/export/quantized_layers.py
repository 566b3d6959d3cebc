"""The quantized layers of a network, and dequantization to a plain network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.copying.network_copy import independent_copy
from rlquant.cost.file_layout import needed_tensors
from rlquant.errors import NetworkError
from rlquant.network.modules import (
    INPUT_QUANTIZER,
    QuantizedWeight,
    is_marked_quantized,
    mark_quantized,
    quantized_weights,
)
from rlquant.quantizers import ActivationQuantizer
from rlquant.weight_sites import WeightSite, sites_of


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """A layer's quantized weight, where that is, and the quantizer of its inputs if it has one."""

    weight: QuantizedWeight
    inputs: ActivationQuantizer | None
    site: WeightSite


def quantized_layers(network: nn.Module) -> dict[str, QuantizedLayer]:
    """Return the quantized layers by name; those of a shared module under each of its paths.

    Raises:
        NetworkError: rlquant did not make it, or something else parametrized a tensor.
    """
    found: dict[str, QuantizedLayer] = {}
    modules = dict(network.named_modules(remove_duplicate=False))
    for name, module in modules.items():
        if not parametrize.is_parametrized(module):
            continue
        weights = quantized_weights(module)
        tensors = module.parametrizations
        assert isinstance(tensors, nn.ModuleDict)
        steps = [step for chain in tensors.values() for step in chain]  # type: ignore[attr-defined]
        if steps != list(weights.values()):
            kinds = [type(step).__name__ for step in steps if step not in weights.values()]
            raise NetworkError(
                f"layer {name!r} carries parametrizations that are not rlquant's ({kinds}); remove "
                f"them with torch.nn.utils.parametrize.remove_parametrizations, then quantize"
            )
        inputs = getattr(module, INPUT_QUANTIZER, None)
        sites = sites_of(name, module, modules.get(name.rpartition(".")[0]))
        of_parameter = {site.parameter: site for site in sites}
        for parameter, weight in weights.items():
            site = of_parameter[parameter]
            found[site.layer] = QuantizedLayer(weight, inputs, site)
    if not found and not is_marked_quantized(network):
        raise NetworkError(
            f"no layer of this {type(network).__name__} is quantized; call rlquant.quantize first "
            f"(a frozen network is not saved: save the one it was made from)"
        )
    return found


def float_tensors(network: nn.Module, layers: Mapping[str, QuantizedLayer]) -> dict[str, Tensor]:
    """Return what `stored_tensors` returned for the float network; quantized weights are latent.

    Raises:
        NetworkError: an input quantizer without a quantized weight, or state that cannot be
            stored.
    """
    sites = [layer.site for layer in layers.values()]
    prefixes = {f"{site.owner}." if site.owner else "" for site in sites}
    latent = {
        f"{site.tensor.removesuffix(site.parameter)}parametrizations.{site.parameter}.original": (
            site.tensor
        )
        for site in sites
    }
    ours = tuple(f"{p}{own}." for p in prefixes for own in ("parametrizations", INPUT_QUANTIZER))
    orphans = [
        name
        for name, module in network.named_modules()
        if isinstance(module, ActivationQuantizer) and not f"{name}.".startswith(ours)
    ]
    if orphans:
        raise NetworkError(
            f"{orphans[0]!r} quantizes the inputs of a layer whose weight is not quantized, which "
            f"a packed file cannot hold; quantize the float network again with rlquant.quantize"
        )
    state = network.state_dict(keep_vars=True)
    return needed_tensors(
        {
            latent.get(name, name): tensor
            for name, tensor in state.items()
            if name in latent or not name.startswith(ours)
        }
    )


@explained
@isolated()
def dequantize(quantized: nn.Module) -> nn.Module:
    """Return a plain copy: dequantized weights as ordinary parameters, the same outputs.

    Input quantizers stay, as the outputs need them. The copy can be traced, compiled and
    pickled; it is as large as the float network.

    Raises:
        NetworkError: `quantized` is not a network that `rlquant.quantize` returned.
    """
    quantized_layers(quantized)
    frozen = independent_copy(quantized)
    mark_quantized(frozen, False)
    for module in list(frozen.modules()):
        names = list(quantized_weights(module))
        if names:
            _give_own_class(module)
        for name in names:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return frozen


def _give_own_class(module: nn.Module) -> None:
    """Part a copied module from its original's class, which carries the properties of the weights.

    A copy shares that class, and removing a parametrization deletes the property from it.
    """
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
