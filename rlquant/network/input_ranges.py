"""Input ranges of layers in the float network, which their activation grids cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.copying.network_copy import shared_copy
from rlquant.errors import QuantizationError
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts, modules_of
from rlquant.network_inputs import first_input
from rlquant.quantizers.activation_ranges import InputRange, RangeMethod, activation_range
from rlquant.samples import Samples, counted

Ranges = Mapping[str, InputRange]
"""The range of the inputs, by layer."""


@dataclass(frozen=True, slots=True)
class NoRange:
    """Stands for the range of a layer whose inputs cannot be quantized; says why when asked."""

    reason: str

    def at(self, bits: int) -> tuple[float, float]:
        """Raise `QuantizationError`."""
        raise QuantizationError(f"{self.reason}; use activation_bits=None for this layer")

    def joined(self, other: InputRange) -> NoRange:
        """Return this: no other call makes up for these inputs."""
        return self


@seeded(0)
def measure_input_ranges(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    samples: Samples,
    method: RangeMethod = "mse",
) -> Ranges:
    """Run the float network once over the calibration samples; see `modules_of`.

    Embeddings have no range.

    It costs about as much as the network itself: call it only where activations are quantized.
    Inputs that are not finite are an error of the layers that are to have theirs quantized.
    """
    ranges: dict[str, InputRange] = {}
    clone = shared_copy(network)
    for facts in modules_of(layers):
        if facts.kind != "embedding":
            module = clone.get_submodule(facts.name)
            module.register_forward_pre_hook(
                _range_recorder(ranges, facts.name, method, samples.mask), with_kwargs=True
            )
    with torch.no_grad():
        run(clone, samples.inputs)
    return ranges


def _range_recorder(
    ranges: dict[str, InputRange], name: str, method: RangeMethod, mask: Tensor | None
) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        found: InputRange
        try:
            found = activation_range(counted(first_input(args, keywords), mask), method)
        except QuantizationError as error:
            found = NoRange(f"inputs of layer {name!r}: {error}")
        known = ranges.get(name)
        if known is not None and not isinstance(found, NoRange):
            found = known.joined(found)
        ranges[name] = found

    return hook
