"""The runs of the experiments: one network assigned in one way, or one look at the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from rlquant_experiments.reproduction.assignment.gradient import BASELINES, enumerated, variances
from rlquant_experiments.reproduction.assignment.lab import lab_of
from rlquant_experiments.reproduction.assignment.layer_ways import LAYER_WAYS, LEARNED, layer_ways
from rlquant_experiments.reproduction.assignment.network_ways import NETWORK_WAYS, network_ways
from rlquant_experiments.reproduction.assignment.presets import AssignmentPreset, experiment_name
from rlquant_experiments.reproduction.reproduction import Scale
from rlquant_experiments.reproduction.runs import Job, Measured, Progress

CODE = 2
"""Raised when the code measures other numbers than before: finished runs are then done again."""
GRADIENT, VARIANCE = "gradient", "variance"
WAYS = (*LAYER_WAYS, LEARNED, *NETWORK_WAYS)


def make_jobs(preset: AssignmentPreset, scale: Scale) -> Iterator[Job]:
    """Yield every run, seed by seed."""
    yield Job(
        experiment=GRADIENT,
        variant="enumerated",
        seed=0,
        settings={"code": CODE},
        measure=_gradient,
    )
    for seed in range(scale.seeds or preset.seeds):
        for task, bits in preset.experiments:
            for way in WAYS:
                yield _assigned(preset, way, seed, task, bits, scale.device)
            yield _variance(preset, task, bits, seed, scale.device)


def _assigned(
    preset: AssignmentPreset, way: str, seed: int, task: str, bits: int, device: str
) -> Job:
    return Job(
        experiment=experiment_name(task, bits),
        variant=way,
        seed=seed,
        settings={"code": CODE, **_deciding(preset)},
        measure=partial(assigned_run, preset, way, seed, task, bits, device),
    )


def _variance(preset: AssignmentPreset, task: str, bits: int, seed: int, device: str) -> Job:
    def measure(progress: Progress) -> Measured:
        found = variances(lab_of(task, seed, device), bits, preset.samples, preset.estimates)
        progress(1)
        return found

    return Job(
        experiment=VARIANCE,
        variant=experiment_name(task, bits),
        seed=seed,
        settings={"code": CODE, **_deciding(preset)},
        measure=measure,
    )


def assigned_run(
    preset: AssignmentPreset,
    way: str,
    seed: int,
    task: str,
    bits: int,
    device: str,
    progress: Progress,
) -> Measured:
    """Assign the weights of a network in one way, and measure it; see `Lab.figures`."""
    lab = lab_of(task, seed, device)
    if way in LAYER_WAYS:
        weights = lab.assigned(bits, layer_ways(preset)[way])
    else:
        weights = lab.rounded(bits, "learned")
        if way != LEARNED:
            weights = network_ways(preset)[way](lab, bits, weights)
    progress(1)
    return lab.figures(bits, weights)


def _gradient(progress: Progress) -> Measured:
    found: dict[str, float] = {baseline: enumerated(baseline) for baseline in BASELINES}
    progress(1)
    return found


def _deciding(preset: AssignmentPreset) -> dict[str, Any]:
    settings = asdict(preset)
    return {name: settings[name] for name in ("steps", "samples", "forwards", "estimates")}
