"""Checks that a network is a plain module with data, before it is copied, run and quantized."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from rlquant.errors import NetworkError
from rlquant.quantizers.activation import ActivationQuantizer

WRAPPERS = {"_orig_mod": "torch.compile", "module": "data parallelism"}
"""Where modules that wrap another one keep it: attribute -> what wraps."""

REMEDIES: dict[type, str] = {
    BasePruningMethod: "torch.nn.utils.prune.remove(layer, 'weight')",
    WeightNorm: "torch.nn.utils.remove_weight_norm(layer)",
    SpectralNorm: "torch.nn.utils.remove_spectral_norm(layer)",
}
"""What makes a weight a parameter again that a hook computes again in every pass."""


def require_network(network: Any) -> nn.Module:
    """Return a network whose layers can be exchanged; `NetworkError` for anything else."""
    if isinstance(network, torch.jit.ScriptModule):
        raise NetworkError(
            "network is a ScriptModule, whose layers cannot be exchanged; give the module that it "
            "was made from"
        )
    given = require_module(network)
    for name, module in given.named_modules():
        _require_unwrapped(name, module)
    for name, tensor in given.state_dict(keep_vars=True).items():
        if is_lazy(tensor):
            raise NetworkError(f"{name!r} is lazy and has no shape yet; run the network once first")
        if isinstance(tensor, Tensor) and tensor.is_meta:
            raise NetworkError(f"{name!r} has no data (meta device); load the weights first")
    return given


def require_module(network: Any) -> nn.Module:
    """Return a module; `NetworkError` for anything else."""
    if isinstance(network, nn.Module):
        return network
    raise NetworkError(f"network is {repr(network)[:100]}; give a trained torch.nn.Module")


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight of a quantizable layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's parameters are, the CPU for one without any."""
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _require_unwrapped(name: str, module: nn.Module) -> None:
    place = f"network.{name}" if name else "network"
    if isinstance(module, torch.jit.ScriptModule):
        if next(module.parameters(recurse=False), None) is not None:
            raise NetworkError(
                f"{place} is a ScriptModule with weights, which cannot be copied without "
                f"gradients; put the module that it was made from in its place"
            )
        return
    inside = _inside(module)
    if inside is None:
        return
    give = f"set {place} = {place}.{inside}" if name else f"give {place}.{inside}"
    raise NetworkError(
        f"{place} is wrapped by {WRAPPERS[inside]}, so that its layers cannot be exchanged; "
        f"{give}, the module inside, and wrap what comes back"
    )


def _inside(module: nn.Module) -> str | None:
    """Return the attribute in which a wrapper keeps what it wraps, None for any other module."""
    if "_orig_mod" in module._modules:
        return "_orig_mod"
    return "module" if isinstance(module, (nn.DataParallel, DistributedDataParallel)) else None


def require_plain(name: str, module: nn.Module) -> None:
    """Raise `NetworkError` where a module is parametrized, quantized already, or has a bad name."""
    _require_text(name, module)
    if parametrize.is_parametrized(module):
        tensors = ", ".join(module.parametrizations)  # type: ignore[arg-type]
        raise NetworkError(
            f"layer {name!r}: its {tensors} is already parametrized or quantized; give the plain "
            f"float network, or call torch.nn.utils.parametrize.remove_parametrizations first"
        )
    if isinstance(module, ActivationQuantizer):
        raise NetworkError(
            f"{name!r} quantizes the inputs of a layer: the network is already quantized; give "
            f"the float network that it was made from"
        )


def _require_text(name: str, module: nn.Module) -> None:
    """Raise `NetworkError` where a name cannot be written to a file, as it is half a character."""
    for part in (name, *module._parameters.keys(), *module._buffers.keys()):
        try:
            part.encode()
        except UnicodeEncodeError as error:
            raise NetworkError(
                f"the name {part!r} of a module or tensor is no valid Unicode text; rename it"
            ) from error


def remedy_of(module: nn.Module) -> str:
    """Return what to do about a layer whose weight is computed by something else."""
    for hook in module._forward_pre_hooks.values():
        for cls, call in REMEDIES.items():
            if isinstance(hook, cls):
                return f"call {call} first, or name the layer in exclude"
    return "name the layer in exclude"
