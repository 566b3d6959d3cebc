"""The target compressed-tensors: what transformers and vLLM load, and what it takes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.config import Fidelity, LayerChoice
from rlquant.cost.budget import NetworkCosts
from rlquant.cost.file_layout import stored_tensors
from rlquant.cost.size import LayerStorage
from rlquant.export.compressed_tensors.exporter import header_bytes
from rlquant.export.compressed_tensors.folder import require_transformers
from rlquant.export.compressed_tensors.scheme import (
    ASYMMETRIC,
    LINEAR,
    Scheme,
    exact_refusal,
    refusal,
)
from rlquant.export.compressed_tensors.tensor_file import stored_float
from rlquant.export.deployment import expressible
from rlquant.export.targets import COMPRESSED_TENSORS, TARGETS, Target, compressed_tensors_space
from rlquant.layers import LayerFacts
from rlquant.space import SearchSpace
from rlquant.tie import fused
from rlquant.weight_sites import weight_sites

ZERO_POINT_BITS = (4, 8)
"""Widths for which vLLM has kernels with zero points; without them it has those of 2 to 8."""


@dataclass(frozen=True, slots=True)
class CompressedTensorsTarget:
    """A folder of compressed-tensors as the target of a search.

    Layers that are no nn.Linear stay float, and so does the head of a language model: vLLM takes
    them so. Layers that it computes as one (q, k and v; gate and up) share a decision. The size is
    that of model.safetensors.

    Attributes:
        zero_points: whether points "zero_point" may be chosen, of 4 and 8 bits, as vLLM has them.
            transformers 5.24 with compressed-tensors 0.18 to 0.20 loads no network of several
            schemes that has them.
    """

    zero_points: bool = False

    def space_for(self, network: nn.Module, fidelity: Fidelity) -> SearchSpace:
        """Return the space where none is given: all widths, without zero points."""
        return self.restrict(compressed_tensors_space(network, fidelity), network)

    def restrict(self, space: SearchSpace, network: nn.Module) -> SearchSpace:
        """Return what the format can express of a space; see `Target.restrict`."""
        space = self._expressed().restrict(space)
        tie = space.tie if fused in space.tie else (*space.tie, fused)
        exclude = dict.fromkeys((*space.exclude, *_float_layers(network)))
        return replace(space, tie=tie, exclude=tuple(exclude))

    def _expressed(self) -> Target:
        own = TARGETS[COMPRESSED_TENSORS]
        if not self.zero_points:
            return own
        points = (*own.allowed["points"], *ASYMMETRIC)
        return replace(own, allowed={**own.allowed, "points": points}, together=_has_kernels)

    def deploy(self, network: nn.Module) -> CompressedTensorsDeployment:
        """Return what the file of a float network takes; `NetworkError` where it has none."""
        require_transformers(network)
        tensors, sites = stored_tensors(network), weight_sites(network)
        floats = {name: stored_float(tensor).nbytes for name, tensor in tensors.items()}
        return CompressedTensorsDeployment(header_bytes(tensors, sites), floats)


@dataclass(frozen=True, slots=True, eq=False)
class CompressedTensorsDeployment:
    """The file of one network, whatever is chosen for its layers.

    Attributes:
        header: bytes of its header.
        floats: bytes of each tensor where it stays float.
    """

    header: int
    floats: Mapping[str, int]

    def own_options(
        self, costs: NetworkCosts, layers: Sequence[LayerFacts], options: Sequence[LayerChoice]
    ) -> npt.NDArray[np.bool_]:
        """Return which options the format holds, shape `(layers, options)`.

        Args:
            costs: of the network, as `costs` returned them.
            layers: the searched ones.
            options: of the space, layer names empty.

        Raises:
            ChoiceError: layers of which none of the options can be expressed.
        """
        storage = costs.size.storage
        return expressible(
            COMPRESSED_TENSORS,
            layers,
            options,
            lambda f, option: _refusal(storage[f.name], f, option),
        )

    def costs(self, costs: NetworkCosts) -> NetworkCosts:
        """Return the costs with the bits and bytes that model.safetensors has."""
        names = {layer: f"{layer}.weight" for layer in costs.size.storage}
        storage: Mapping[str, PackedStorage] = {
            layer: PackedStorage(plain, plain.shape, self.floats[names[layer]])
            for layer, plain in costs.size.storage.items()
            if isinstance(plain, LayerStorage)
        }
        searched = set(names.values())
        others = sum(size for name, size in self.floats.items() if name not in searched)
        return replace(
            costs,
            average_bits=replace(costs.average_bits, storage=storage),
            size=replace(costs.size, storage=storage, fixed=self.header + others, packed=False),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PackedStorage:
    """What one layer's weight takes in model.safetensors under any choice.

    Attributes:
        plain: the same in the packed file .rlq.
        shape: of the weight.
        float_bytes: bytes where it stays float.
    """

    plain: LayerStorage
    shape: tuple[int, ...]
    float_bytes: int

    @property
    def weights(self) -> int:
        """The number of weights."""
        return self.plain.weights

    def bits(self, choice: LayerChoice) -> int:
        """Return the bits of what is stored."""
        return 8 * self.file_bytes(choice)

    def file_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of codes, scales, shape and zero points."""
        if choice.method == "float":
            return self.float_bytes
        if refusal(choice, LINEAR, self.shape) is not None:  # which nobody makes
            return self.plain.file_bytes(choice)
        rows, columns = self.shape
        return Scheme.of(choice).bytes_of(rows, columns, self.plain.scale_dtype(choice))


def _refusal(storage: object, facts: LayerFacts, option: LayerChoice) -> str | None:
    if option.method == "float":
        return None
    reason = refusal(option, facts.kind, facts.shape)
    if reason is None and not _has_kernels(option):
        reason = f"zero points of {option.bits} bits, use one of {ZERO_POINT_BITS} bits"
    if reason is None and isinstance(storage, PackedStorage):
        reason = exact_refusal(Scheme.of(option), storage.plain.scale_dtype(option))
    return reason


def _has_kernels(choice: LayerChoice) -> bool:
    return choice.points not in ASYMMETRIC or choice.bits in ZERO_POINT_BITS


def _float_layers(network: nn.Module) -> list[str]:
    """Return the layers that stay float: what is no nn.Linear, and the head."""
    known: Any = network
    try:
        head = known.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        head = None
    modules = dict(network.named_modules())
    return [
        name
        for name, site in weight_sites(network).items()
        if site.kind != LINEAR or (head is not None and modules.get(name) is head)
    ]
