"""The runs of Polino's experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rlquant.config import GroupSize, Points
from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.polino import variants as v
from rlquant_experiments.reproduction.polino.depth import measure_depth
from rlquant_experiments.reproduction.polino.lab import CODE, Lab, described
from rlquant_experiments.reproduction.polino.measured import (
    ablation_run,
    float_run,
    point_rate_run,
    post_mortem_run,
    quantized_run,
    rate_run,
)
from rlquant_experiments.reproduction.polino.networks import Network
from rlquant_experiments.reproduction.polino.noise import measure_noise
from rlquant_experiments.reproduction.polino.presets import PolinoPreset
from rlquant_experiments.reproduction.polino.training import BUCKET
from rlquant_experiments.reproduction.reproduction import Scale
from rlquant_experiments.reproduction.runs import Job, Measured, Progress

RATE_SEED = 1000
"""Rates and temperatures are looked at with a seed that no comparison has."""
POINT_SEEDS = range(RATE_SEED, RATE_SEED + 4)
"""Rates of points with several: at one rate some seeds end well and others do not."""
RATE_BITS = 2
GROUPS: tuple[GroupSize, ...] = ("tensor", BUCKET)


def make_jobs(preset: PolinoPreset, scale: Scale) -> Iterator[Job]:
    """Yield every run, seed by seed, and then what needs no training."""
    for seed in range(scale.seeds or preset.seeds):
        jobs = _Jobs(Lab(preset, seed, scale.device))
        yield from jobs.floats()
        yield from jobs.post_mortem()
        yield from jobs.distilled()
        yield from jobs.learned()
        yield from jobs.ablation()
    yield from _Jobs(Lab(preset, RATE_SEED, scale.device)).rates()
    for seed in POINT_SEEDS:
        yield from _Jobs(Lab(preset, seed, scale.device)).point_rates()
    yield from _noise(preset, scale)
    yield from _depth(preset, scale)


def at_rate(method: str, rate: float) -> str:
    """Return the name of a run at a learning rate."""
    return f"{method}, rate {rate:g}"


def at_temperature(temperature: float) -> str:
    """Return the name of quantized distillation at a temperature."""
    return f"QD, tau {temperature:g}"


@dataclass(frozen=True)
class _Jobs:
    """Makes the runs of one seed."""

    lab: Lab

    @property
    def preset(self) -> PolinoPreset:
        return self.lab.preset

    def floats(self) -> Iterator[Job]:
        preset, lab = self.preset, self.lab
        plain = preset.labels_training
        yield self._float(v.TEACHER, v.FLOAT, preset.teacher, plain, lab.teacher)
        for variant, settings in ((v.LABELS, plain), (v.DISTILLED, preset.training)):
            make = _student(lab, distilled=variant == v.DISTILLED)
            yield self._float(v.STUDENT, variant, preset.student, settings, make)

    def post_mortem(self) -> Iterator[Job]:
        for bits in v.POST_MORTEM_BITS:
            for bucket in GROUPS:
                name = v.post_mortem(bits, buckets=bucket != "tensor")
                yield self._post_mortem(name, bits, bucket, "linear")
        yield self._post_mortem(v.QUANTILE_START, v.ABLATION_BITS, BUCKET, "quantile")

    def distilled(self) -> Iterator[Job]:
        preset = self.preset
        student, small, deeper = preset.student, preset.small, preset.deeper
        for bits in v.DISTILLED_BITS:
            name = v.quantized_distillation(bits)
            yield self._distilled(v.STUDENT, name, student, bits, preset.training)
        for bits in v.LABELS_BITS:
            name = v.quantized_labels(bits)
            yield self._distilled(v.STUDENT, name, student, bits, preset.labels_training)
        bits = v.SMALL_BITS
        name, plain = v.quantized_distillation(bits), v.quantized_labels(bits)
        yield self._distilled(v.SMALL, name, small, bits, preset.training)
        yield self._distilled(v.SMALL, plain, small, bits, preset.labels_training)
        name = v.quantized_distillation(v.DEEPER_BITS)
        yield self._distilled(v.DEEPER, name, deeper, v.DEEPER_BITS, preset.training)

    def learned(self) -> Iterator[Job]:
        lab, settings = self.lab, self.preset.points_training
        for bits in v.LEARNED_BITS:
            make = partial(lab.learned, bits, settings)
            yield self._job(
                v.STUDENT,
                v.learned_points(bits),
                self.preset.student,
                settings,
                partial(quantized_run, lab, make),
            )
        make = partial(lab.learned, v.ABLATION_BITS, settings, spaced=True)
        measure = partial(quantized_run, lab, make)
        yield self._job(v.STUDENT, v.SPACED_LEARNED, self.preset.student, settings, measure)

    def ablation(self) -> Iterator[Job]:
        settings = replace(self.preset.points_training, steps=self.preset.ablation_steps)
        for cell in v.CELLS:
            measure = partial(ablation_run, self.lab, cell)
            yield self._job(v.ABLATION, cell.name, self.preset.student, settings, measure)

    def rates(self) -> Iterator[Job]:
        preset, lab = self.preset, self.lab
        if not preset.rates:
            return
        chosen = preset.training
        tried: dict[str, TrainSettings] = {}
        for rate in sorted({chosen.learning_rate, *preset.rates}):
            settings = replace(chosen, learning_rate=rate, bias_rate=rate)
            tried[at_rate("QD", rate)] = settings
            labels = replace(settings, distillation_weight=0.0)
            tried[at_rate("QD with labels alone", rate)] = labels
        for temperature in preset.temperatures:
            tried[at_temperature(temperature)] = replace(chosen, temperature=temperature)
        for name, settings in tried.items():
            measure = partial(rate_run, lab, RATE_BITS, settings)
            yield self._job(v.RATES, name, preset.student, settings, measure)

    def point_rates(self) -> Iterator[Job]:
        preset = self.preset
        if not preset.point_rates:
            return
        points = preset.points_training
        for rate in sorted({points.point_rate, *preset.point_rates}):
            settings = replace(points, point_rate=rate)
            measure = partial(point_rate_run, self.lab, RATE_BITS, settings)
            yield self._job(v.RATES, at_rate("DQ", rate), preset.student, settings, measure)

    def _float(
        self,
        experiment: str,
        variant: str,
        network: Network,
        settings: TrainSettings,
        make: Callable[[Progress], Any],
    ) -> Job:
        measure = partial(float_run, self.lab, make)
        return self._job(experiment, variant, network, settings, measure)

    def _post_mortem(self, name: str, bits: int, bucket: GroupSize, points: Points) -> Job:
        preset = self.preset
        measure = partial(post_mortem_run, self.lab, bits, bucket, points)
        return self._job(v.STUDENT, name, preset.student, preset.training, measure, trains=False)

    def _distilled(
        self, experiment: str, variant: str, network: Network, bits: int, settings: TrainSettings
    ) -> Job:
        make = partial(self.lab.distilled, network, bits, settings)
        measure = partial(quantized_run, self.lab, make)
        return self._job(experiment, variant, network, settings, measure)

    def _job(
        self,
        experiment: str,
        variant: str,
        network: Network,
        settings: TrainSettings,
        measure: Callable[[Progress], Measured],
        *,
        trains: bool = True,
    ) -> Job:
        preset = self.preset
        document = {
            "code": CODE,
            "data": [preset.data, preset.images],
            "network": network.words,
            "settings": described(settings),
            # What students and points begin at depends on these as well.
            "float student": [preset.student.words, described(preset.training)],
            "teacher": [preset.teacher.words, described(preset.labels_training)],
        }
        steps = settings.steps or settings.epochs * (preset.images // settings.batch_size)
        return Job(
            experiment=experiment,
            variant=variant,
            seed=self.lab.seed,
            settings=document,
            measure=measure,
            steps=steps if trains else 1,
        )


def _student(lab: Lab, *, distilled: bool) -> Callable[[Progress], Any]:
    return lambda progress: lab.student(distilled=distilled, progress=progress)


def _noise(preset: PolinoPreset, scale: Scale) -> Iterator[Job]:
    noise = preset.noise
    for length in noise.lengths:
        for seed in range(noise.seeds):
            yield Job(
                experiment=v.NOISE,
                variant=noise_variant(length),
                seed=seed,
                settings={"code": CODE, "draws": noise.draws, "bits": noise.bits},
                measure=partial(measure_noise, noise, length, seed),
                steps=noise.draws,
            )


def noise_variant(length: int) -> str:
    """Return the name of the dot products of this length."""
    return f"n = {length}"


def _depth(preset: PolinoPreset, scale: Scale) -> Iterator[Job]:
    depth = preset.depth
    for seed in range(depth.seeds):
        yield Job(
            experiment=v.DEPTH,
            variant=v.FLOAT,
            seed=seed,
            settings={
                "code": CODE,
                "layers": list(depth.layers),
                "shape": [depth.batch_size, depth.channels, depth.pixels],
                "rounds": depth.rounds,
                "device": scale.device,
            },
            measure=partial(measure_depth, depth, seed, scale.device),
            steps=depth.rounds,
        )
