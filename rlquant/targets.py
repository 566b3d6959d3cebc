"""What a place of use can express: which choices its kernels and its files know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rlquant.choices import BucketSize, LayerChoice
from rlquant.errors import ChoiceError, unknown_name
from rlquant.space import HEADS, SearchSpace

TargetName = Literal["packed", "onnxruntime-int8", "onnxruntime-int4"]
INTEGER_POINTS = ("symmetric", "clipped", "fixed_point")
"""Points on an offset-free grid: an integer times a scale."""


@dataclass(frozen=True)
class Target:
    """What one place of use can express of a layer; None stands for everything.

    Layers that are kept in float32 can be expressed anywhere.

    Attributes:
        name: as users write it.
        meaning: what runs there, in one sentence.
        allowed: options by decision, the preferred one first.
        bucket_sizes: weights that may share a scale.
    """

    name: str
    meaning: str
    allowed: Mapping[str, tuple[Any, ...]]
    bucket_sizes: tuple[BucketSize, ...] | None = None

    def refusal(self, choice: LayerChoice, bucket_size: BucketSize) -> str | None:
        """Return why the target cannot express a choice, or None where it can."""
        if choice.method == "keep":
            return None
        if self.bucket_sizes is not None and bucket_size not in self.bucket_sizes:
            return f"bucket_size={bucket_size!r}, use one of {self.bucket_sizes}"
        for decision, options in self.allowed.items():
            value = getattr(choice, decision)
            if value not in options:
                return f"{decision}={value!r}, use one of {options}"
        return None

    def restrict(self, space: SearchSpace) -> SearchSpace:
        """Return what the target can express of a space.

        Where it can express none of a decision's options and there is only one, the target's
        preferred option takes its place. So does its width of inputs in a space that leaves them
        all float, as the default does: who names kernels wants them used.

        Raises:
            ChoiceError: several options of a decision, none of which the target can express.
        """
        fields: dict[str, Any] = {}
        for decision in HEADS:
            options = getattr(space, decision)
            allowed = self.allowed.get(decision, options)
            if decision == "activation_bits" and options == (None,):
                options = allowed[:1]
            left = tuple(option for option in options if option in allowed)
            if not left and len(options) > 1:
                raise ChoiceError(
                    f"SearchSpace: {decision}={options!r} has nothing that target {self.name!r} "
                    f"can express; use some of {allowed}"
                )
            fields[decision] = left or allowed[:1]
        sizes = self.bucket_sizes or (space.bucket_size,)
        kept = space.bucket_size in sizes
        return replace(space, bucket_size=space.bucket_size if kept else sizes[0], **fields)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("packed", "the packed file .rlq, run by PyTorch; it holds every choice", {}),
        Target(
            "onnxruntime-int8",
            "onnxruntime on CPUs: 8-bit kernels where inputs have 8 bits, else float ones",
            {
                "bits": (8, 7, 6, 5, 4, 3, 2, 1),
                "method": ("post_training", "distilled"),
                "points": INTEGER_POINTS,
                "activation_bits": (8, None),
            },
            bucket_sizes=("channel", None),
        ),
        Target(
            "onnxruntime-int4",
            "onnxruntime with 4-bit weights and float inputs",
            {
                "bits": (4, 3, 2, 1),
                "method": ("post_training", "distilled"),
                "points": INTEGER_POINTS,
                "activation_bits": (None,),
            },
            bucket_sizes=("channel", None),
        ),
    )
}


def target_named(name: str) -> Target:
    """Return a target out of `TARGETS`; `UnknownNameError` names the nearest one."""
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    return TARGETS[name]


def refusals(target: Target, choices: Iterable[tuple[LayerChoice, BucketSize]]) -> dict[str, str]:
    """Return, by layer, why a target cannot express its choice; empty where it can."""
    found = ((choice.layer, target.refusal(choice, size)) for choice, size in choices)
    return {layer: reason for layer, reason in found if reason is not None}
