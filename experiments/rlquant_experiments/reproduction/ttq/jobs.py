"""The runs of the experiments: one training each, in one way, with one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from rlquant_experiments.reproduction.reproduction import Scale
from rlquant_experiments.reproduction.runs import Job, Measured, Progress
from rlquant_experiments.reproduction.ttq.measured_run import (
    Training,
    measured_run,
    packed_run,
    validated_run,
)
from rlquant_experiments.reproduction.ttq.presets import TtqPreset
from rlquant_experiments.reproduction.ttq.variants import (
    DEPTH_NAMES,
    SCALES,
    SPARSITIES,
    TTQ,
    VARIANTS,
    at_rate,
    sparse,
)

CODE = 1
"""Raised when the code measures other numbers than before: finished runs are then done again."""
DECIDING = (
    *("epochs", "batch_size", "optimizer", "momentum", "learning_rate", "scale_rate"),
    *("bias_rate", "weight_decay", "schedule", "milestones", "ternary_threshold"),
    *("ternary_sparsity", "train_kept"),
)
"""The training settings that decide a run; others may come and go without undoing it."""
RATES, DEEP_RATES, SIZES = "rates", "rates at the largest depth", "sizes"
"""Experiments that are not named for a network."""
RATE_SEED = 1000
"""Rates are chosen with a seed that no comparison has."""


def make_jobs(preset: TtqPreset, scale: Scale) -> Iterator[Job]:
    """Yield every run, seed by seed: the depths, the scales, the sparsities, then the rest."""
    seeds = range(scale.seeds or preset.seeds)
    for seed in seeds:
        for blocks in preset.blocks:
            for name in DEPTH_NAMES:
                yield _trained(preset, scale, blocks, name, seed)
    for seed in seeds:
        for name in [*SCALES, *map(sparse, SPARSITIES)]:
            if name not in DEPTH_NAMES:
                yield _trained(preset, scale, preset.blocks[0], name, seed)
    if len(preset.rates) > 1:
        for rate in preset.rates:
            for name in SCALES:
                yield _validated(preset, scale, RATES, name, rate)
            for name in DEPTH_NAMES:
                yield _validated(preset, scale, DEEP_RATES, name, rate)
    for network in preset.packed:
        yield Job(
            experiment=SIZES,
            variant=network,
            seed=0,
            settings={"code": CODE, "data": preset.data},
            measure=partial(packed_run, network, preset.data),
        )


def rate_of(preset: TtqPreset, name: str) -> float:
    """Return the rate of a variant; at every sparsity it is that of TTQ."""
    return preset.chosen.get(name, preset.chosen[TTQ])


def _trained(preset: TtqPreset, scale: Scale, blocks: int, name: str, seed: int) -> Job:
    rate = rate_of(preset, name)
    training = _training(preset, scale, blocks, name, rate)
    return _job(preset.experiment(blocks), name, seed, training, measured_run)


def _validated(preset: TtqPreset, scale: Scale, experiment: str, name: str, rate: float) -> Job:
    blocks = preset.blocks[0 if experiment == RATES else -1]
    training = _training(preset, scale, blocks, name, rate)
    return _job(experiment, at_rate(name, rate), RATE_SEED, training, validated_run)


def _training(preset: TtqPreset, scale: Scale, blocks: int, name: str, rate: float) -> Training:
    return Training(
        preset=preset, blocks=blocks, variant=VARIANTS[name], rate=rate, device=scale.device
    )


def _job(
    experiment: str,
    variant: str,
    seed: int,
    training: Training,
    measure: Callable[[Training, int, Progress], Measured],
) -> Job:
    preset, settings = training.preset, training.settings
    start = {**asdict(preset.start), "seed": seed}
    document: dict[str, Any] = {
        "code": CODE,
        "data": [preset.data, preset.images, preset.validation_images, preset.shrink],
        "network": [list(preset.widths), training.blocks],
        "start": start,
        "augmentation": settings.augmentation and asdict(settings.augmentation),
        **{field: getattr(settings, field) for field in DECIDING},
    }
    return Job(
        experiment=experiment,
        variant=variant,
        seed=seed,
        settings=document,
        measure=partial(measure, training, seed),
        steps=settings.epochs * (preset.images // settings.batch_size),
    )
