"""The network of fixed-point training: what it may be made of, and its conversions as hooks.

Hooks and not modules: a network keeps its class, its names and its state dict, and copies of it
(`copy.deepcopy`) convert as it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.copying.network_copy import independent_copy
from rlquant.errors import NetworkError
from rlquant.quantizable import require_quantizable
from rlquant.quantizers.ste import convert_both_ways, straight_through
from rlquant.training.fixed_point.arithmetic import Arithmetic, Converter
from rlquant.training.fixed_point.number_format import NumberFormat, convert
from rlquant.weight_sites import layer_kind

KEEP_THE_GRID = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.ReLU,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
"""Modules that only pass numbers on: their outputs need no conversion."""


@dataclass(frozen=True, slots=True)
class StoredInputs:
    """Hook of a whole network: its inputs in float64, in the format to the nearest number.

    Inputs are no result of training: they are stored once, so chance has no part in them.
    """

    number_format: NumberFormat | None

    def __call__(self, network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the converted inputs; what is no float (word numbers) stays."""
        return tuple(self._stored(x) if _is_float(x) else x for x in inputs)

    def _stored(self, x: Tensor) -> Tensor:
        wide = x.to(torch.float64)
        return wide if self.number_format is None else convert(wide, self.number_format, "nearest")


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """Hook of a module of a trained network: its output in the format, to the nearest number."""

    number_format: NumberFormat

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        """Return the converted output, with the gradient of the unconverted one."""
        if not _is_float(output):
            return output
        return straight_through(output, convert(output.detach(), self.number_format, "nearest"))


class TrainedInputs:
    """Hook of a network in training: `StoredInputs` in the format that is in force."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic

    def __call__(self, network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the converted inputs."""
        return StoredInputs(self._arithmetic.passed)(network, inputs)


@dataclass(frozen=True, slots=True)
class TrainedOutput:
    """Hook of a module in training: converts its output, and the error that comes back to it."""

    value: Converter
    error: Converter

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        """Return the converted output."""
        return convert_both_ways(output, self.value, self.error) if _is_float(output) else output


def training_copy(network: nn.Module) -> nn.Module:
    """Return a copy in float64 and training mode, every parameter trained, without conversions."""
    copied = independent_copy(network).to(torch.float64).train().requires_grad_(True)
    for module in copied.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [k for k, h in hooks.items() if isinstance(h, (StoredInputs, StoredOutput))]:
                del hooks[key]
    return copied


class Conversions:
    """The hooks on a network in training, until they give way to those of the finished one."""

    def __init__(self, network: nn.Module, arithmetic: Arithmetic) -> None:
        self._network = network
        self._handles = [network.register_forward_pre_hook(TrainedInputs(arithmetic))]
        if arithmetic.passed is not None:
            for name, module in converted_modules(network):
                value, error = (arithmetic.converter(name, p) for p in ("output", "error"))
                self._handles.append(module.register_forward_hook(TrainedOutput(value, error)))

    def finish(self, number_format: NumberFormat | None) -> None:
        """Leave the network in eval mode, with conversions that draw nothing."""
        for handle in self._handles:
            handle.remove()
        self._network.register_forward_pre_hook(StoredInputs(number_format))
        if number_format is not None:
            for _, module in converted_modules(self._network):
                module.register_forward_hook(StoredOutput(number_format))
        self._network.eval()


def converted_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules whose outputs are converted: all that compute something themselves."""
    for name, module in network.named_modules():
        inside = any(True for _ in module.children())
        if not inside and not isinstance(module, KEEP_THE_GRID):
            yield name, module


def require_trainable(network: nn.Module) -> None:
    """Raise `NetworkError` for what the paper's arithmetic has no format for."""
    layers = {name: module for name, module in network.named_modules() if layer_kind(module)}
    if not layers:
        raise NetworkError(
            f"{type(network).__name__} has no Linear, convolution or embedding: there is nothing "
            f"to train in fixed point"
        )
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            raise NetworkError(
                f"layer {name!r}: fixed-point training has no format for the statistics of a "
                f"{type(module).__name__}; use a network without normalisation"
            )
        own = (*module._parameters.values(), *module._buffers.values())
        if name not in layers and any(tensor is not None for tensor in own):
            raise NetworkError(
                f"{name!r}: fixed-point training has no format for the tensors of a "
                f"{type(module).__name__}; use Linear, convolution and embedding layers alone"
            )
    require_quantizable(network, layers)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
