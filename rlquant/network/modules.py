"""Modules of a quantized layer: a parametrization of its weight, a quantizer of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from rlquant.config import LayerChoice
from rlquant.network_inputs import first_input
from rlquant.quantizers import ActivationQuantizer, QuantizedTensor
from rlquant.weight_sites import WeightSite

NUMBERS = ("scale", "offset", "zero_point", "values")
"""What a quantized weight has beside its codes, under the names of `QuantizedTensor`."""


class QuantizedWeight(nn.Module):
    """The parametrization of a quantized layer's weight: codes in buffers, values on demand."""

    def __init__(self, choice: LayerChoice, tensor: QuantizedTensor) -> None:
        super().__init__()
        self.choice = choice
        self._form = (tensor.bits, tensor.kind, tensor.group_size, tensor.channel_axis)
        self._strides = tensor.strides
        self.register_buffer("codes", tensor.codes)
        self.register_buffer("scale", tensor.scale)
        stored_offset = tensor.offset if tensor.zero_point is None else None
        self.register_buffer("offset", stored_offset)
        self.register_buffer("zero_point", tensor.zero_point)
        self.register_buffer("values", tensor.values)

    @property
    def tensor(self) -> QuantizedTensor:
        """The quantized weight."""
        bits, kind, group_size, channel_axis = self._form
        buffers = {name: self._buffers[name] for name in NUMBERS}
        codes = self._buffers["codes"]
        assert codes is not None
        return QuantizedTensor(
            codes,
            bits,
            kind,
            **buffers,
            group_size=group_size,
            channel_axis=channel_axis,
            strides=self._strides,
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Return the dequantized weight in the type of the latent one."""
        return self.tensor.dequantize().to(latent.dtype)


_MARK = "_quantized_by_rlquant"


def mark_quantized(network: nn.Module, quantized: bool = True) -> None:
    """Note on a network whether rlquant quantized it: with all layers kept nothing else tells."""
    setattr(network, _MARK, quantized)


def is_marked_quantized(network: nn.Module) -> bool:
    """Return what `mark_quantized` noted last; copies and pickles keep it."""
    return bool(getattr(network, _MARK, False))


def install_weight(
    network: nn.Module, site: WeightSite, choice: LayerChoice, tensor: QuantizedTensor
) -> None:
    """Make the weight of a layer the dequantized `tensor`.

    The float parameter takes its values too, for whatever else of the network holds that.
    """
    tensor.dequantize_into(site.weight_in(network).detach())
    weight = QuantizedWeight(choice, tensor)
    owner = site.owner_in(network)
    parametrize.register_parametrization(owner, site.parameter, weight, unsafe=True)


def quantized_weight(module: nn.Module, parameter: str = "weight") -> QuantizedWeight | None:
    """Return the parametrization that `install_weight` put on a parameter, if there is one."""
    if not parametrize.is_parametrized(module, parameter):
        return None
    chains = module.parametrizations
    assert isinstance(chains, nn.ModuleDict)
    first = chains[parameter][0]  # type: ignore[index]
    return first if isinstance(first, QuantizedWeight) else None


def quantized_weights(module: nn.Module) -> dict[str, QuantizedWeight]:
    """Return the parametrizations that `install_weight` put on a module, by parameter."""
    names = list(module.parametrizations) if parametrize.is_parametrized(module) else []  # type: ignore[arg-type]
    found = {name: quantized_weight(module, name) for name in names}
    return {name: weight for name, weight in found.items() if weight is not None}


INPUT_QUANTIZER = "input_quantizer"


def _quantize_first_input(
    module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    quantizer, given = getattr(module, INPUT_QUANTIZER), first_input(args, keywords)
    if args:
        return (quantizer(given), *args[1:]), keywords
    return (), {n: quantizer(given) if value is given else value for n, value in keywords.items()}


def install_activation(module: nn.Module, quantizer: ActivationQuantizer) -> Callable[[], None]:
    """Quantize the layer's first input; returns what undoes it."""
    module.add_module(INPUT_QUANTIZER, quantizer)
    handle = module.register_forward_pre_hook(_quantize_first_input, with_kwargs=True)

    def remove() -> None:
        handle.remove()
        delattr(module, INPUT_QUANTIZER)

    return remove
