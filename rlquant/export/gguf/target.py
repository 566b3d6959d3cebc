"""The target gguf: what llama.cpp's files can express of a network, and what it takes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.arguments import explained
from rlquant.config import Fidelity, LayerChoice
from rlquant.cost.budget import Budget, NetworkCosts
from rlquant.cost.file_layout import stored_tensors
from rlquant.cost.size import LayerStorage
from rlquant.errors import BudgetError, whole_number
from rlquant.export.deployment import expressible
from rlquant.export.targets import DEFAULT_TYPES, GGUF, gguf_space, target_of_types
from rlquant.gguf.architecture import architecture_of
from rlquant.gguf.container import padded
from rlquant.gguf.ggml_types import GgmlType, refusal, require_types, type_of
from rlquant.gguf.memory import memory_beside_file
from rlquant.gguf.plan import GgufPlan
from rlquant.layers import LayerFacts
from rlquant.paths import PathLike
from rlquant.space import SearchSpace


@dataclass(frozen=True, slots=True)
class GgufTarget:
    """A GGUF file as the target of a search: its types are the options, its bytes the size.

    Attributes:
        source: a GGUF file of the same network, whose metadata and tokenizer are copied, or the
            folder of transformers that it was loaded from.
        types: of ggml that layers may have; where two hold the same choice, as TQ1_0 and TQ2_0 do,
            the first of them. By default all but Q2_0, which llama.cpp reads from July 2026 on, and
            TQ2_0, which has the weights of TQ1_0 in more bytes.

    Raises:
        UnknownNameError: no such type, or one that holds no quantized weights.
    """

    source: PathLike
    types: tuple[str, ...] = DEFAULT_TYPES

    @explained
    def __post_init__(self) -> None:
        object.__setattr__(self, "types", require_types(self.types))

    def space_for(self, network: nn.Module, fidelity: Fidelity) -> SearchSpace:
        """Return the space where none is given: all of the types."""
        return self.restrict(gguf_space(network, fidelity), network)

    def restrict(self, space: SearchSpace, network: nn.Module) -> SearchSpace:
        """Return what the types can express of a space; see `Target.restrict`."""
        return target_of_types(self.types).restrict(space)

    @explained
    def budget_within(
        self, memory: str | int, network: nn.Module, *, context: int = 4096
    ) -> Budget:
        """Limit the file so that llama.cpp runs it in so much memory.

        Args:
            memory: bytes, or as people write them: "4GB", "1.5 GiB".
            network: the float network.
            context: tokens that it may read and write in one go, all of whose keys and values are
                kept; see `memory_beside_file` for what is allowed beside the file.

        Raises:
            NetworkError: a network that such a file cannot hold.
            SettingsError: a context below 1.
            BudgetError: no size, or nothing is left for the file.
        """
        architecture_of(network)
        beside = memory_beside_file(network, whole_number("context", context, 1))
        whole = int(Budget.file_size(memory).limit)
        if whole <= beside:
            raise BudgetError(
                f"memory={memory!r}: the cache of {context:,} tokens and llama.cpp's buffers take "
                f"{beside:,} bytes, which leaves none for the file; give more, or a shorter context"
            )
        return Budget.size_bytes(whole - beside)

    def deploy(self, network: nn.Module) -> GgufDeployment:
        """Return what the file of a float network takes; see `GgufPlan.of` for errors."""
        return GgufDeployment(self, GgufPlan.of(network, stored_tensors(network), self.source))


@dataclass(frozen=True, slots=True, eq=False)
class GgufDeployment:
    """The file of one network, whatever is chosen for its layers.

    Attributes:
        target: which types there are.
        plan: the file up to the types of its weights.
    """

    target: GgufTarget
    plan: GgufPlan

    def own_options(
        self, costs: NetworkCosts, layers: Sequence[LayerFacts], options: Sequence[LayerChoice]
    ) -> npt.NDArray[np.bool_]:
        """Return which options a type holds, shape `(layers, options)`.

        Args:
            costs: of the network, as `costs` returned them.
            layers: the searched ones.
            options: of the space, layer names empty.

        Raises:
            ChoiceError: layers of which none of the options can be expressed.
        """
        storage = costs.size.storage
        return expressible(
            GGUF, layers, options, lambda f, option: self._refusal(storage[f.name], f, option)
        )

    def _refusal(self, storage: object, facts: LayerFacts, option: LayerChoice) -> str | None:
        if option.method == "float":
            return None
        own = type_of(option, self.target.types)
        reason = refusal(option, facts.shape, self.target.types)
        fits = own is None or not isinstance(storage, GgufStorage) or storage.fits(option, own)
        if reason is None and not fits:
            reason = "its scales do not fit float16"
        return reason

    def costs(self, costs: NetworkCosts) -> NetworkCosts:
        """Return the costs with the bits and bytes that the GGUF file has."""
        names = {layer: f"{layer}.weight" for layer in costs.size.storage}
        storage: Mapping[str, GgufStorage] = {
            layer: GgufStorage(plain, self.plan.floats[names[layer]], self.target.types)
            for layer, plain in costs.size.storage.items()
            if isinstance(plain, LayerStorage)
        }
        fixed = self.plan.fixed_bytes(set(names.values()))
        return replace(
            costs,
            average_bits=replace(costs.average_bits, storage=storage),
            size=replace(costs.size, storage=storage, fixed=fixed, packed=False),
        )


@dataclass(frozen=True, slots=True, eq=False)
class GgufStorage:
    """What one layer's weight takes in a GGUF file under any choice.

    Attributes:
        plain: the same in the packed file; for choices that no type holds, which nobody makes.
        float_bytes: bytes where it stays float.
        types: that there are.
    """

    plain: LayerStorage
    float_bytes: int
    types: tuple[str, ...]

    @property
    def weights(self) -> int:
        """The number of weights."""
        return self.plain.weights

    def fits(self, choice: LayerChoice, own: GgmlType) -> bool:
        """Return whether the scales of a choice fit float16, which types of ggml have."""
        return self.plain.scale_dtype(choice) == own.number_dtype

    def bits(self, choice: LayerChoice) -> int:
        """Return the bits of codes, scales and offsets."""
        found = self._bytes(choice)
        return self.plain.bits(choice) if found is None else 8 * found

    def file_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of the weight and what fills it up to the alignment."""
        found = self._bytes(choice)
        return self.plain.file_bytes(choice) if found is None else padded(found)

    def _bytes(self, choice: LayerChoice) -> int | None:
        if choice.method == "float":
            return self.float_bytes
        own: GgmlType | None = type_of(choice, self.types)
        return None if own is None else own.bytes_of(self.weights)
