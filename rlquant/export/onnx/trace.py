"""From a quantized network to an ONNX graph with a placeholder for every quantized part.

PyTorch's exporter runs a copy whose quantizers are replaced by operators of a domain of our own.
It optimises around what it does not know, so that packed weights are not unfolded to floats; the
placeholders are then lowered by the files beside this one.

The exporter makes Python source of the network and executes it, and writes names of modules and
tensors into it as they are. So it is shown numbers instead, and the names are put back afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from rlquant.copying.network_copy import independent_copy
from rlquant.errors import NetworkError
from rlquant.export.quantized_layers import QuantizedLayer
from rlquant.forward_pass import own
from rlquant.network.modules import INPUT_QUANTIZER

DOMAIN = "rlquant"
WEIGHT, INPUTS, LAYER = "Weight", "Inputs", "layer"
LOGGERS = ("torch.onnx", "torch.fx", "onnxscript")
OPSET = 21
"""The first one with 4-bit integers."""


@dataclass(frozen=True)
class Traced:
    """An ONNX model with placeholders.

    Attributes:
        model: with nodes `rlquant.Weight(layer=...)` and `rlquant.Inputs(x, layer=...)`.
        layers: the quantized layers by the names that the placeholders carry.
    """

    model: ir.Model
    layers: Mapping[str, QuantizedLayer]


class _Weight(nn.Module):
    """Stands for a layer's dequantized weight."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def forward(self, latent: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{WEIGHT}", (), {LAYER: self._layer}, dtype=latent.dtype, shape=latent.shape
        )


class _Inputs(nn.Module):
    """Stands for a layer's quantized inputs."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{INPUTS}", (x,), {LAYER: self._layer}, dtype=x.dtype, shape=x.shape
        )


class _Numbered(nn.Module):
    """A network whose tensors have numbers for names, and that has no modules to be seen.

    Attributes:
        names: the network's names of the tensors by their numbered ones.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        for name, parameter in network.named_parameters():
            self.register_parameter(self._number(name), parameter)
        for name, buffer in network.named_buffers():
            self.register_buffer(self._number(name), buffer)

        @functools.wraps(network.forward)  # the names of the arguments become those of the inputs
        def forward(*args: Any) -> Any:
            tensors = {name: getattr(self, number) for number, name in self.names.items()}
            return torch.func.functional_call(network, tensors, args)

        self.forward = forward

    def _number(self, name: str) -> str:
        number = f"tensor_{len(self.names)}"
        self.names[number] = name
        return number


def trace(
    quantized: nn.Module,
    layers: Mapping[str, QuantizedLayer],
    inputs: tuple[Tensor, ...],
    dynamic_batch: bool,
) -> Traced:
    """Export a copy of the network with placeholders.

    Args:
        quantized: on the CPU, in float32.
        layers: its quantized layers.
        inputs: arguments of a forward pass, at least two samples.
        dynamic_batch: leave the length of every input's first axis open.

    Raises:
        NetworkError: PyTorch cannot export the network; the message says why.
    """
    standing = independent_copy(quantized).eval()
    names: dict[int, str] = {}
    for name, layer in layers.items():
        names.setdefault(id(layer.weight), name)  # a shared module has several names
        module = standing.get_submodule(name)
        first = names[id(layer.weight)]
        module.parametrizations.weight[0] = _Weight(first)  # type: ignore[assignment, operator, union-attr]
        if layer.inputs is not None:
            setattr(module, INPUT_QUANTIZER, _Inputs(first))
    numbered = _Numbered(standing).eval()
    try:
        with _quietly():
            program = torch.onnx.export(
                numbered,
                tuple(map(own, inputs)),
                dynamo=True,
                dynamic_shapes=_open_axes(inputs) if dynamic_batch else None,
                opset_version=OPSET,
                optimize=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises errors of many kinds
        hint = "try again with dynamic_batch=False, or " if dynamic_batch else ""
        raise NetworkError(
            f"PyTorch cannot export this {type(quantized).__name__} to ONNX: {_reason(error)}; "
            f"{hint}export rlquant.dequantize(quantized) with torch.onnx to see more"
        ) from error
    assert program is not None
    for value in tuple(program.model.graph.initializers.values()):
        value.name = numbered.names.get(str(value.name), value.name)
    return Traced(program.model, {name: layers[name] for name in names.values()})


def _open_axes(inputs: tuple[Tensor, ...]) -> tuple[dict[int, Any] | None, ...]:
    """Return the open axes of the inputs: the first one of those that hold as many samples."""
    count = len(inputs[0]) if inputs[0].dim() else 0
    return tuple(
        {0: torch.export.Dim.DYNAMIC} if tensor.dim() and len(tensor) == count else None
        for tensor in inputs
    )


def _reason(error: BaseException) -> str:
    """Return what went wrong, out of the causes that the exporter wraps in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's remarks from the user: packages, constants that it does not fold."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
