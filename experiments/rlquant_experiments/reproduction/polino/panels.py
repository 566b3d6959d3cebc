"""Panels of the figure of Polino's reproduction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlquant_experiments.reproduction.panels import Panel, Series
from rlquant_experiments.reproduction.polino import variants as v
from rlquant_experiments.reproduction.polino.ablation_finding import main_effects
from rlquant_experiments.reproduction.polino.jobs import noise_variant
from rlquant_experiments.reproduction.polino.numeric_findings import GAUSSIAN_DISTANCE
from rlquant_experiments.reproduction.polino.presets import PolinoPreset
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Values

BITS = "bits of a weight's code"
ERROR = "test error (%), log scale"


def draw(preset: PolinoPreset, results: Results) -> Sequence[Panel]:
    """Return the panels of the figure."""
    return [
        _without_training(results),
        _trained(results),
        _effects(results),
        _noise(preset, results),
    ]


def _without_training(results: Results) -> Panel:
    bits = v.POST_MORTEM_BITS
    plain = {b: v.post_mortem(b, buckets=False) for b in bits}
    some = {b: v.post_mortem(b, buckets=True) for b in bits}
    return Panel(
        "P1: quantized without training",
        BITS,
        ERROR,
        [
            _errors(results, "PM, no buckets", plain),
            _errors(results, "PM, buckets", some),
            _errors(results, "PM, buckets, statistics renewed", some, "renewed_test_error"),
            _level(results, bits),
        ],
        logarithmic=True,
    )


def _trained(results: Results) -> Panel:
    return Panel(
        "P2 to P4: training while or after quantizing",
        BITS,
        ERROR,
        [
            _errors(
                results,
                "PM, buckets",
                {b: v.post_mortem(b, buckets=True) for b in v.POST_MORTEM_BITS},
            ),
            _errors(results, "QD", {b: v.quantized_distillation(b) for b in v.DISTILLED_BITS}),
            _errors(results, "QD, labels alone", {b: v.quantized_labels(b) for b in v.LABELS_BITS}),
            _errors(results, "DQ", {b: v.learned_points(b) for b in v.LEARNED_BITS}),
            _level(results, v.POST_MORTEM_BITS),
        ],
        logarithmic=True,
    )


def _effects(results: Results) -> Panel:
    effects = main_effects(results)
    series = Series("saved", list(effects), _rows(list(effects.values())))
    zero = Series("no effect", list(effects), [[0.0] * len(effects)], dashed=True)
    title = f"P5: heuristics of DQ at {v.ABLATION_BITS} bits, main effects"
    return Panel(title, "heuristic", "test error saved (points)", [series, zero])


def _noise(preset: PolinoPreset, results: Results) -> Panel:
    noise = preset.noise
    columns = [results.values(v.NOISE, noise_variant(n), "ks") for n in noise.lengths]
    floor = GAUSSIAN_DISTANCE / noise.draws**0.5
    return Panel(
        f"P7: noise of SR weights, {noise.bits} bits",
        "length of the vectors",
        "KS distance to a Gaussian",
        [
            Series("SR", list(noise.lengths), _rows(columns)),
            Series(
                f"Gaussian, {noise.draws:,} draws",
                list(noise.lengths),
                [[floor] * len(noise.lengths)],
                dashed=True,
            ),
        ],
        logarithmic=True,
        logarithmic_x=True,
    )


def _errors(
    results: Results, label: str, variants: Mapping[int, str], figure: str = "test_error"
) -> Series:
    columns = [results.values(v.STUDENT, name, figure) for name in variants.values()]
    return Series(label, list(variants), _rows(columns))


def _level(results: Results, bits: Sequence[int]) -> Series:
    values = results.values(v.STUDENT, v.DISTILLED, "test_error")
    return Series(v.DISTILLED, list(bits), [[float(x)] * len(bits) for x in values], dashed=True)


def _rows(columns: Sequence[Values]) -> list[list[float]]:
    return [[float(value) for value in row] for row in zip(*columns, strict=True)]
