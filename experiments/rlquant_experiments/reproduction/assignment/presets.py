"""Presets of the assignment experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlquant_experiments.reproduction.reproduction import Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentPreset:
    """One size of the experiments.

    Attributes:
        tasks: whose float networks are quantized; one is trained for each seed.
        bits: widths of all layers.
        seeds: float networks of each task.
        steps: of a layer's policy and of the relaxation.
        samples: assignments that a layer's policy scores a step.
        forwards: passes of a batch that each way across layers has; one back counts for two.
        estimates: gradients whose variance is taken.
    """

    tasks: tuple[str, ...]
    bits: tuple[int, ...]
    seeds: int
    steps: int
    samples: int
    forwards: int
    estimates: int

    @property
    def draws(self) -> int:
        """How many assignments of a layer the policy scores, and so may its controls."""
        return self.steps * self.samples

    @property
    def experiments(self) -> list[tuple[str, int]]:
        """Task and width of each experiment."""
        return [(task, bits) for task in self.tasks for bits in self.bits]


BOTH = ("digits/mlp", "fashion-mnist/resnet8")
PRESETS: Mapping[Preset, AssignmentPreset] = {
    "quick": AssignmentPreset(
        tasks=BOTH, bits=(2, 3), seeds=5, steps=300, samples=8, forwards=1800, estimates=400
    ),
    "paper": AssignmentPreset(
        tasks=BOTH, bits=(2, 3), seeds=10, steps=600, samples=16, forwards=6000, estimates=2000
    ),
    "tiny": AssignmentPreset(
        tasks=("digits/mlp",), bits=(2,), seeds=2, steps=10, samples=2, forwards=48, estimates=20
    ),
}


def experiment_name(task: str, bits: int) -> str:
    """Return what runs of one task and width are called."""
    return f"{task}, {bits} bits"
