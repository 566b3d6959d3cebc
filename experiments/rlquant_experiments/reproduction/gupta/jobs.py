"""The runs of Gupta's experiments: one training each, in one arithmetic, with one seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from rlquant.training.settings import FixedPoint, TrainSettings
from rlquant_experiments.reproduction.gupta.measured_run import measured_run
from rlquant_experiments.reproduction.gupta.presets import GuptaPreset, Part
from rlquant_experiments.reproduction.gupta.variants import (
    FLOAT,
    ONCE,
    PRODUCT_FRACTIONS,
    ROUNDINGS,
    WORD,
    at_rate,
    cnn_variants,
    each_product,
    fixed_point,
    mlp_variants,
    narrow_outputs,
)
from rlquant_experiments.reproduction.reproduction import Scale
from rlquant_experiments.reproduction.runs import Job

CODE = 1
"""Raised when the code measures other numbers than before: finished runs are then done again."""
DECIDING = (
    *("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "schedule"),
    "milestones",
)
"""The training settings that decide a run; others may come and go without undoing it."""


def make_jobs(preset: GuptaPreset, scale: Scale) -> Iterator[Job]:
    """Yield every run, seed by seed within an experiment."""
    mlp = _Maker("mlp", preset.mlp, scale)
    for rate in preset.mlp.rates:
        yield from mlp.jobs(rate, mlp_variants())
    yield from mlp.jobs(preset.mlp.middle_rate, {narrow_outputs(14): FixedPoint(2, 14)})
    for experiment, part in preset.cnns.items():
        cnn = _Maker(experiment, part, scale)
        yield from cnn.jobs(part.middle_rate, cnn_variants())
        for rate in part.rates:
            if rate != part.middle_rate:
                yield from cnn.jobs(rate, {FLOAT: None})
    yield from _Maker("products", preset.products, scale).product_jobs()


@dataclass(frozen=True)
class _Maker:
    """Makes the runs of one experiment."""

    experiment: str
    part: Part
    scale: Scale

    @property
    def seeds(self) -> range:
        return range(self.scale.seeds or self.part.seeds)

    def jobs(self, rate: float, variants: Mapping[str, FixedPoint | None]) -> Iterator[Job]:
        for seed in self.seeds:
            for name, arithmetic in variants.items():
                yield self._job(at_rate(name, rate), rate, arithmetic, seed)

    def product_jobs(self) -> Iterator[Job]:
        rate, stored = self.part.rates[0], fixed_point("SR", 8)
        for seed in self.seeds:
            yield self._job(ONCE, rate, stored, seed)
            for rounding in ROUNDINGS:
                for bits in PRODUCT_FRACTIONS:
                    product = FixedPoint(WORD - bits, bits, ROUNDINGS[rounding])
                    yield self._job(each_product(rounding, bits), rate, stored, seed, product)

    def _job(
        self,
        variant: str,
        rate: float,
        arithmetic: FixedPoint | None,
        seed: int,
        product: FixedPoint | None = None,
    ) -> Job:
        part = self.part
        settings = TrainSettings(
            epochs=part.epochs,
            batch_size=part.batch_size,
            optimizer="sgd",
            learning_rate=rate,
            momentum=part.momentum,
            weight_decay=part.weight_decay,
            schedule=part.schedule,
            milestones=part.milestones,
            arithmetic=arithmetic,
        )
        document: dict[str, Any] = {
            "code": CODE,
            "data": [part.data, part.images],
            "network": part.network,
            "arithmetic": arithmetic and asdict(arithmetic),
            "product": product and asdict(product),
            **{field: getattr(settings, field) for field in DECIDING},
        }
        return Job(
            experiment=self.experiment,
            variant=variant,
            seed=seed,
            settings=document,
            measure=partial(measured_run, part, settings, seed, self.scale.device, product),
            steps=part.epochs * (part.images // part.batch_size),
        )
