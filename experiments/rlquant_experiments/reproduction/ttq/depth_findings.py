"""T1 and T2: trained ternary weights against the float control, at every depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Difference, Summary, Values
from rlquant_experiments.reproduction.tables import variants_table
from rlquant_experiments.reproduction.ttq.jobs import DEEP_RATES
from rlquant_experiments.reproduction.ttq.presets import TtqPreset
from rlquant_experiments.reproduction.ttq.variants import DEPTH_NAMES, FLOAT, TTQ, at_rate

T1 = Claim(
    "T1",
    "Ternary networks come close to full precision, or beat it.",
    "error of TTQ / full precision: 8.87 / 8.23 % (ResNet-20), 7.63 / 7.67 % (ResNet-32), "
    "7.02 / 7.18 % (ResNet-44), 6.44 / 6.80 % (ResNet-56) on CIFAR-10, 42.5 / 42.8 % (AlexNet, "
    "ImageNet top-1)",
)
T2 = Claim(
    "T2",
    "The gap between ternary and full precision shrinks with depth, or turns.",
    "TTQ minus full precision: +0.64 (ResNet-20), -0.04 (32), -0.16 (44), -0.36 (56) points",
)
CLOSE_POINTS = 1.0
SLOPE_LAYERS = 10
"""Slopes are given per so many layers."""


def depth_findings(preset: TtqPreset, results: Results) -> Sequence[Finding]:
    """Return the findings on T1 and T2."""
    return [close_to_float(preset, results), depth_helps(preset, results)]


def gaps(preset: TtqPreset, results: Results) -> dict[int, Values]:
    """Return error of TTQ minus that of the float control in points, by depth."""
    found = {}
    for blocks in preset.blocks:
        exact, ternary = (
            results.values(preset.experiment(blocks), name, "test_error") for name in DEPTH_NAMES
        )
        found[preset.depth(blocks)] = ternary - exact
    return found


def slopes(by_depth: dict[int, Values]) -> Values:
    """Return the least-squares slope of each seed, in points per `SLOPE_LAYERS` layers."""
    depths = np.array(list(by_depth), np.float64) / SLOPE_LAYERS
    centred = depths - depths.mean()
    weights = centred / (centred**2).sum()
    found: Values = weights @ np.stack(list(by_depth.values()))
    return found


def close_to_float(preset: TtqPreset, results: Results) -> Finding:
    """Return the finding on T1."""
    by_depth = gaps(preset, results)
    rows = [(preset.experiment(b), name) for b in preset.blocks for name in DEPTH_NAMES]
    starts = ", ".join(
        f"{Summary.of(results.values(preset.experiment(b), FLOAT, 'start_error')).words()} %"
        for b in preset.blocks
    )
    losses = "; ".join(_losses(results, preset.experiment(b)) for b in preset.blocks)
    return Finding(
        claim=T1,
        ours="; ".join(_errors(results, preset.experiment(b)) for b in preset.blocks),
        table=variants_table(results, rows, heading="network"),
        comparisons=[
            Comparison.of(f"resnet{depth}: TTQ - float (points)", gap, "below", CLOSE_POINTS)
            for depth, gap in by_depth.items()
        ],
        note=f"Against float with the same extra epochs in the same loop: "
        f"{'; '.join(_beats(depth, gap) for depth, gap in by_depth.items())}. The float networks "
        f"that both begin at make {starts} errors on the test set. Training loss of the last "
        f"tenth of the steps: {losses}.{_tried(preset, results)}",
    )


def _errors(results: Results, experiment: str) -> str:
    ternary, exact = (
        Summary.of(results.values(experiment, name, "test_error")).words() for name in (TTQ, FLOAT)
    )
    return f"{ternary} / {exact} % ({experiment})"


def _losses(results: Results, experiment: str) -> str:
    ternary, exact = (
        np.mean([curve[-1] for curve in results.curves(experiment, name, "train_losses")])
        for name in (TTQ, FLOAT)
    )
    return f"TTQ {ternary:.3f}, float {exact:.3f} ({experiment})"


def _tried(preset: TtqPreset, results: Results) -> str:
    """Return the validation errors at the rates that were tried at the largest depth."""
    if len(preset.rates) < 2:
        return ""
    words = []
    for name in DEPTH_NAMES:
        errors = [
            results.values(DEEP_RATES, at_rate(name, rate), "validation_error").mean()
            for rate in preset.rates
        ]
        listed = " / ".join(f"{error:.2f}" for error in errors)
        words.append(f"{name} {listed} % (chosen: {preset.chosen[name]:g})")
    rates = " / ".join(f"{rate:g}" for rate in preset.rates)
    return (
        f" Rates were tried on {preset.experiment(preset.blocks[-1])} too; validation error at "
        f"{rates}: {', '.join(words)}."
    )


def _beats(depth: int, gap: Values) -> str:
    """Say whether TTQ beats float: only where the interval excludes 0."""
    difference = Difference.of(gap)
    word = "makes as many errors, as far as these runs tell"
    if difference.high < 0:
        word = "beats it"
    elif difference.low > 0:
        word = "is worse"
    return f"TTQ of {depth} layers {word}"


def depth_helps(preset: TtqPreset, results: Results) -> Finding:
    """Return the finding on T2."""
    by_depth = gaps(preset, results)
    slope = slopes(by_depth)
    rows = [(preset.experiment(blocks), TTQ) for blocks in preset.blocks]
    listed = ", ".join(f"{gap.mean():+.2f} ({d} layers)" for d, gap in by_depth.items())
    each = ", ".join(f"{value:+.2f}" for value in slope)
    return Finding(
        claim=T2,
        ours=f"TTQ minus float: {listed} points",
        table=variants_table(
            results,
            rows,
            {"test error of TTQ (%)": ("test_error", 2), "zeros (share)": ("zeros", 3)},
            heading="network",
        ),
        comparisons=[
            Comparison.of(
                f"slope of TTQ - float (points per {SLOPE_LAYERS} layers)", slope, "below"
            )
        ],
        note=f"Least squares through the differences of T1 within each seed: {each}. No change of "
        f"sign is asked for.",
    )
