"""Deployment targets: the choices that a runtime's kernels and files can express."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from rlquant.config import Fidelity, LayerChoice
from rlquant.errors import ChoiceError, unknown_name
from rlquant.gguf.ggml_types import QUANTIZED, TYPES, type_of
from rlquant.quantizers.formats import FORMATS
from rlquant.space import SearchSpace, default_space
from rlquant.tie import Ties, fused

TargetName = Literal[
    "packed",
    "onnxruntime-int8",
    "onnxruntime-int4",
    "onnxruntime-matmulnbits",
    "gguf",
    "compressed-tensors",
]
INT8: TargetName = "onnxruntime-int8"
INT4: TargetName = "onnxruntime-int4"
MATMULNBITS: TargetName = "onnxruntime-matmulnbits"
GGUF: TargetName = "gguf"
COMPRESSED_TENSORS: TargetName = "compressed-tensors"
INTEGER_POINTS = tuple(
    each.name
    for each in FORMATS.values()
    if each.kind == "integer" and not each.restricted_scales and not each.signed
)
"""Points on an offset-free grid: an integer times a scale of its group's own."""
BLOCK_BITS, BLOCKS = (4, 8, 2), (32, 64, 128)
"""What onnxruntime's kernels in blocks take on CPUs."""
DEFAULT_TYPES = tuple(name for name in QUANTIZED if name not in ("Q2_0", "TQ2_0"))
"""Types of ggml, without the one that only llama.cpp from July 2026 on reads, and without that
which holds the weights of TQ1_0 in more bytes."""


@dataclass(frozen=True)
class Target:
    """What one place of use can express of a layer; None stands for everything.

    Layers that are kept in float32 can be expressed anywhere.

    Attributes:
        name: as users write it.
        meaning: what runs there, in one sentence.
        allowed: options by decision, the preferred one first.
        tie: layers that its kernels compute as one, so that they share a decision.
        together: whether a choice of allowed options can be expressed; None for all of them.
    """

    name: str
    meaning: str
    allowed: Mapping[str, tuple[Any, ...]]
    tie: Ties = ()
    together: Callable[[LayerChoice], bool] | None = None

    def refusal(self, choice: LayerChoice) -> str | None:
        """Return why the target cannot express a choice, or None where it can."""
        if choice.method == "float":
            return None
        for decision, options in self.allowed.items():
            value = getattr(choice, decision)
            if value not in options:
                return f"{decision}={value!r}, use one of {options}"
        if self.together is not None and not self.together(choice):
            return f"{choice.bits} bits, {choice.points}, groups of {choice.group_size!r} together"
        return None

    def restrict(self, space: SearchSpace) -> SearchSpace:
        """Return what the target can express of a space.

        A space that leaves all inputs float, as the default does, gets the target's preferred
        width of them: who names kernels wants them used.

        Raises:
            ChoiceError: options of a decision of which the target can express none.
        """

        def left(decision: str, options: tuple[Any, ...]) -> tuple[Any, ...]:
            allowed = self.allowed.get(decision, options)
            kept = tuple(option for option in options if option in allowed)
            if not kept:
                raise ChoiceError(self._nothing(decision, options, allowed))
            return kept

        preferred = self.allowed.get("activation_bits", (None,))[:1]
        if space.activation_bits == (None,):
            space = replace(space, activation_bits=preferred)
        return replace(self._usable(space.mapped(left)), tie=space.tie or self.tie)

    def _usable(self, space: SearchSpace) -> SearchSpace:
        """Return the space without options that no choice has which can be expressed."""
        if self.together is None:
            return space
        choices = [c for c in space.whole.options() if c.method != "float" and self.together(c)]
        if not choices:
            given = {field: getattr(space, field) for field in ("bits", "points", "group_size")}
            raise ChoiceError(
                f"SearchSpace: target {self.name!r} can express no combination of "
                f"{', '.join(f'{field}={options!r}' for field, options in given.items())}"
            )

        def left(decision: str, options: tuple[Any, ...]) -> tuple[Any, ...]:
            used = {getattr(choice, decision) for choice in choices} | {"float"}
            return tuple(option for option in options if option in used)

        return space.mapped(left)

    def _nothing(self, field: str, given: object, allowed: tuple[Any, ...]) -> str:
        return (
            f"SearchSpace: {field}={given!r} has nothing that target {self.name!r} can express; "
            f"use some of {allowed}"
        )


def target_of_types(types: Sequence[str] = DEFAULT_TYPES) -> Target:
    """Return what types of ggml can express, as far as each decision on its own goes.

    Which bits go with which groups and points, and with which rows, `gguf/target.py` says.
    """
    own = [TYPES[name] for name in types]
    return Target(
        GGUF,
        "GGUF files, run by llama.cpp and what is built on it; float inputs",
        {
            "bits": tuple(dict.fromkeys(each.bits for each in own)),
            "method": ("post_training", "distilled"),
            "points": tuple(dict.fromkeys(point for each in own for point in each.points)),
            "activation_bits": (None,),
            "group_size": tuple(dict.fromkeys(each.group for each in own)),
        },
        together=partial(_is_of_types, types=tuple(types)),
    )


def _is_of_types(choice: LayerChoice, types: Sequence[str]) -> bool:
    return type_of(choice, types) is not None


def compressed_tensors_space(network: nn.Module | None, fidelity: Fidelity) -> SearchSpace:
    """Return the space of all widths of compressed-tensors without zero points."""
    suits = default_space(fidelity)
    if network is not None:
        suits = SearchSpace.for_network(network, fidelity)
    return replace(
        suits,
        bits=(2, 3, 4, 5, 6, 8),
        points=("clipped",),
        group_size=(128, 64, 32, "channel"),
        method=("post_training",),
    )


def gguf_space(network: nn.Module | None, fidelity: Fidelity) -> SearchSpace:
    """Return the space of all types of ggml, with the roundings that suit a network."""
    suits = default_space(fidelity)
    if network is not None:
        suits = SearchSpace.for_network(network, fidelity)
    own = [TYPES[name] for name in QUANTIZED]
    return replace(
        suits,
        bits=tuple(sorted({each.bits for each in own})),
        points=tuple(dict.fromkeys(each.points[0] for each in own)),
        group_size=tuple(dict.fromkeys(each.group for each in own)),
        method=("post_training",),
    )


SPACES: Mapping[str, Callable[[nn.Module | None, Fidelity], SearchSpace]] = {
    GGUF: gguf_space,
    COMPRESSED_TENSORS: compressed_tensors_space,
}
"""The space where none is given, of the targets that have one of their own."""
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("packed", "the packed file .rlq, run by PyTorch; it holds every choice", {}),
        Target(
            INT8,
            "onnxruntime on CPUs: 8-bit kernels where inputs have 8 bits, else float ones",
            {
                "bits": (8, 7, 6, 5, 4, 3, 2, 1),
                "method": ("post_training", "distilled"),
                "points": INTEGER_POINTS,
                "activation_bits": (8, None),
                "group_size": ("channel", "tensor"),
            },
        ),
        Target(
            INT4,
            "onnxruntime on CPUs: 4-bit kernels of Linear layers, float ones else; float inputs",
            {
                "bits": (4, 3, 2, 1),
                "method": ("post_training", "distilled"),
                "points": INTEGER_POINTS,
                "activation_bits": (None,),
                "group_size": ("channel", "tensor"),
            },
        ),
        Target(
            MATMULNBITS,
            "onnxruntime on CPUs: Linear layers and embeddings as MatMulNBits and "
            "GatherBlockQuantized of 2, 4 or 8 bits; float inputs",
            {
                "bits": BLOCK_BITS,
                "method": ("post_training", "distilled"),
                "points": ("clipped", "symmetric", "zero_point"),
                "activation_bits": (None,),
                "group_size": BLOCKS,
            },
        ),
        target_of_types(),
        Target(
            COMPRESSED_TENSORS,
            "folders of transformers in compressed-tensors' pack-quantized, run by vLLM and "
            "transformers: Linear layers; float inputs",
            {
                "bits": (4, 8, 2, 3, 5, 6, 7),
                "method": ("post_training", "distilled"),
                "points": ("clipped", "symmetric"),
                "activation_bits": (None,),
                "group_size": (128, 64, 32, "channel"),
            },
            tie=(fused,),
        ),
    )
}


def target_named(name: str) -> Target:
    """Return a target out of `TARGETS`; `UnknownNameError` names the nearest one."""
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    return TARGETS[name]


def refusals(target: Target, choices: Iterable[LayerChoice]) -> dict[str, str]:
    """Return, by layer, why a target cannot express its choice; empty where it can."""
    found = ((choice.layer, target.refusal(choice)) for choice in choices)
    return {layer: reason for layer, reason in found if reason is not None}
