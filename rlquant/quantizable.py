"""Which layers can be quantized: each has a plain, finite weight of its own that it answers to."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rlquant.errors import NetworkError
from rlquant.layer_names import matching
from rlquant.plain_network import remedy_of, require_network, require_plain
from rlquant.responsiveness import require_responsive_alone
from rlquant.weight_sites import KINDS, WeightSite, is_transposed_linear, site_of, weight_sites


def excluded_layers(network: nn.Module, exclude: Iterable[str]) -> tuple[str, ...]:
    """Return the quantizable layers that names or shell patterns mean, and those that are tied.

    A weight that several modules share stays float in all of them.

    Raises:
        UnknownNameError: a name or pattern of no layer.
    """
    candidates = weight_sites(network)
    named = matching("layer in exclude", exclude, list(candidates))
    shared = tied_weights(network)
    tied = [n for n, site in candidates.items() if id(_parameter(network, site)) in shared]
    return tuple(dict.fromkeys((*named, *tied)))


def require_quantizable(network: nn.Module, searched: Iterable[str]) -> None:
    """Raise `NetworkError` unless every searched layer has a plain, finite weight of its own.

    The other modules, kept layers among them, must be plain as well: a packed file holds nothing
    that is parametrized.
    """
    require_network(network)
    for name, module in network.named_modules():
        require_plain(name, module)
    sites = [site_of(network, name) for name in searched]
    for site in sites:
        _require_plain_weight(network, site)
    _require_untied(network, sites)


def _parameter(network: nn.Module, site: WeightSite) -> nn.Parameter | None:
    """Return the weight, None where it is no parameter of its own."""
    return site.owner_in(network)._parameters.get(site.parameter)


def _require_plain_weight(network: nn.Module, site: WeightSite) -> None:
    name, weight = site.layer, _parameter(network, site)
    if weight is None:
        remedy = remedy_of(site.owner_in(network))
        raise NetworkError(f"layer {name!r}: its weight is no parameter of its own; {remedy}")
    if not weight.is_floating_point():
        raise NetworkError(
            f"layer {name!r}: its weight is of type {weight.dtype}; load float weights first"
        )
    if weight.numel() == 0:
        raise NetworkError(
            f"layer {name!r}: its weight of shape {tuple(weight.shape)} has no element; "
            f"name the layer in exclude"
        )
    if not torch.isfinite(weight.detach()).all():
        raise NetworkError(f"layer {name!r}: its weight has NaN or infinite values")


def require_answering(network: nn.Module, names: Iterable[str]) -> None:
    """Raise `NetworkError` where a layer with code of its own does not answer to its weight.

    For networks of whose inputs nothing is known; `find_layers` looks at all layers in a pass.
    """
    sites = [site_of(network, name) for name in names]
    runners = {site.layer: site.runner_in(network) for site in sites}
    parts = {site.layer for site in sites if site.is_part}
    require_responsive_alone(
        network,
        {n: _example(m) for n, m in runners.items() if n in parts or _has_own_code(m)},
    )


def _has_own_code(module: nn.Module) -> bool:
    """Return whether a layer runs anything else than the `forward` of its kind."""
    changed = "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks
    known = type(module) in KINDS or is_transposed_linear(module)
    return not known or bool(changed)


def _example(module: nn.Module) -> tuple[Tensor, ...]:
    """Return two samples as a module of this kind usually takes them."""
    weight = next(module.parameters())
    if isinstance(module, nn.Embedding):
        return (torch.arange(min(2, len(weight)), device=weight.device),)
    if isinstance(module, nn.Linear):
        return (weight.new_ones(2, module.in_features),)
    if isinstance(module, nn.RNNBase):
        return (weight.new_ones(2, 2, module.input_size),)
    if isinstance(module, nn.MultiheadAttention):
        widths = (module.embed_dim, module.kdim, module.vdim)
        steps = torch.arange(1, 5, dtype=weight.dtype, device=weight.device).reshape(2, 2, 1)
        return tuple(steps.expand(2, 2, width) for width in widths)
    assert isinstance(module, nn.modules.conv._ConvNd)
    reach = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    return (weight.new_ones(2, module.in_channels, *reach),)


def tied_weights(network: nn.Module) -> dict[int, list[str]]:
    """Return the parameters that several modules share: id -> their names."""
    owners: dict[int, list[str]] = {}
    for module_name, module in network.named_modules():
        for parameter_name, parameter in module._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(f"{module_name}.{parameter_name}")
    return {key: names for key, names in owners.items() if len(names) > 1}


def _require_untied(network: nn.Module, searched: Iterable[WeightSite]) -> None:
    tied = tied_weights(network)
    for site in searched:
        shared = tied.get(id(_parameter(network, site)))
        if shared is not None:
            raise NetworkError(
                f"layer {site.layer!r}: its weight is tied ({', '.join(shared)}) and cannot be "
                f"quantized once for all; leave the layer out"
            )
