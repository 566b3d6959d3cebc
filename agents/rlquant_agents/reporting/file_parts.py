"""Size breakdown of a packed file, layer by layer; the parts add up to the whole file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from rlquant import LayerChoice, QuantizationConfig
from rlquant.cost.file_layout import PROLOGUE, contents_bytes, stored_tensors
from rlquant.cost.float_share import NORMALISATIONS
from rlquant.cost.size import ACTIVATION_BYTES, LayerStorage, code_bytes, record_bytes
from rlquant.documents import Count
from rlquant.problem.protocol import Live
from rlquant.weight_sites import channel_axis_of, site_of, sites_of

PARTS = {
    "codes": "codes",
    "numbers": "scales, offsets, codebooks",
    "inputs": "input grids",
    "record": "records of choices",
    "floats": "left in float",
}
"""What the bytes of a searched weight are: field of `LayerParts` -> words."""


@dataclass(frozen=True, slots=True)
class LayerParts:
    """The bytes of one searched layer's weight.

    Attributes:
        codes: packed codes.
        numbers: scales, offsets and codebook.
        inputs: grid of the layer's inputs.
        record: which choice it was quantized by.
        floats: the weight itself, where it was kept.
    """

    codes: Count = 0
    numbers: Count = 0
    inputs: Count = 0
    record: Count = 0
    floats: Count = 0

    @classmethod
    def of(cls, storage: LayerStorage, choice: LayerChoice) -> LayerParts:
        """Return what a layer takes under a choice."""
        if choice.method == "float":
            return cls(floats=storage.file_bytes(choice))
        return cls(
            codes=code_bytes(choice, storage.weights),
            numbers=storage.number_bytes(choice),
            inputs=0 if choice.activation_bits is None else ACTIVATION_BYTES,
            record=record_bytes(choice),
        )

    @property
    def total(self) -> int:
        """All bytes of the layer's weight."""
        return sum(getattr(self, field) for field in PARTS)


@dataclass(frozen=True, slots=True)
class FileParts:
    """The bytes of a whole packed file.

    Attributes:
        layers: of the searched layers' weights, in execution order.
        floats: of all other tensors, by what they are.
        header: prologue, and names and shapes of all tensors.
    """

    layers: tuple[LayerParts, ...]
    floats: Mapping[str, Count]
    header: Count

    @classmethod
    def of(cls, problem: Live, config: QuantizationConfig) -> FileParts:
        """Return the parts of the file of a canonical configuration."""
        tensors = stored_tensors(problem.network)
        searched = {site_of(problem.network, f.name).tensor for f in problem.layers}
        floats: dict[str, int] = {}
        for name, tensor in tensors.items():
            if name not in searched:
                kind = _kind(problem.network, name)
                floats[kind] = floats.get(kind, 0) + tensor.nbytes
        layers = tuple(
            LayerParts.of(_storage(problem.network, choice.layer), choice) for choice in config
        )
        return cls(layers, floats, PROLOGUE.size + contents_bytes(tensors))

    @property
    def total(self) -> int:
        """The size of the file."""
        return sum(p.total for p in self.layers) + sum(self.floats.values()) + self.header

    def of_weights(self) -> dict[str, int]:
        """Return the bytes of each part of the searched weights, by field; empty ones left out."""
        parts = {field: sum(getattr(p, field) for p in self.layers) for field in PARTS}
        return {field: size for field, size in parts.items() if size}

    def by_part(self) -> dict[str, int]:
        """Return the bytes of each part of the file, by words; empty ones are left out."""
        weights = {f"searched weights: {PARTS[f]}": size for f, size in self.of_weights().items()}
        return {**weights, **self.floats, "header, names and shapes": self.header}


def _storage(network: nn.Module, layer: str) -> LayerStorage:
    """Return what a layer takes in the packed file, whatever the file that a search was for."""
    site = site_of(network, layer)
    return LayerStorage(site.weight_in(network), channel_axis_of(site.kind))


def _kind(network: nn.Module, tensor: str) -> str:
    """Say in words what a tensor is that the search does not quantize."""
    owner, _, leaf = tensor.rpartition(".")
    module = network.get_submodule(owner)
    if isinstance(module, NORMALISATIONS):
        return "normalization layers"
    of_layer = next(sites_of(owner, module, None), None) is not None
    if leaf == "bias" or (of_layer and "bias" in leaf):
        return "biases"
    return "weights of layers not searched" if of_layer else "other tensors"
