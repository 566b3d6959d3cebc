"""Panels of the figure of Gupta's reproduction."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant_experiments.reproduction.gupta.mlp_findings import FEW, MlpRuns
from rlquant_experiments.reproduction.gupta.presets import GuptaPreset, Part
from rlquant_experiments.reproduction.gupta.variants import (
    CNN_FRACTIONS,
    CNN_NEAREST_FRACTIONS,
    FLOAT,
    MLP_FRACTIONS,
    ONCE,
    PRODUCT_FRACTIONS,
    WIDE_SHARES,
    WIDENED_FRACTION,
    at_rate,
    each_product,
    named,
    percent,
    widened,
)
from rlquant_experiments.reproduction.panels import Panel, Series
from rlquant_experiments.reproduction.runs import Results

ERROR = "test error (%), log scale"
BITS = "fraction bits FL of weights"


def draw(preset: GuptaPreset, results: Results) -> Sequence[Panel]:
    """Return the panels of the figure."""
    runs = MlpRuns(preset.mlp, results)
    return [
        _mlp_by_bits(runs),
        _mlp_by_rate(runs),
        _losses(runs),
        _bias(runs),
        *(_cnn(results, experiment, part) for experiment, part in preset.cnns.items()),
        _products(results),
    ]


def _mlp_by_bits(runs: MlpRuns) -> Panel:
    series = [
        _series(
            runs.results,
            "mlp",
            r,
            MLP_FRACTIONS,
            [at_rate(named(r, f), runs.rate) for f in MLP_FRACTIONS],
        )
        for r in ("SR", "nearest")
    ]
    level = _level(runs.results, "mlp", FLOAT, at_rate(FLOAT, runs.rate), MLP_FRACTIONS)
    title = f"G1, G2: MLP, 16-bit words, rate {runs.rate:g}"
    return Panel(title, BITS, ERROR, [*series, level], logarithmic=True)


def _mlp_by_rate(runs: MlpRuns) -> Panel:
    rates = runs.part.rates

    def series(label: str, name: str, dashed: bool = False) -> Series:
        variants = [at_rate(name, rate) for rate in rates]
        return _series(runs.results, "mlp", label, rates, variants, dashed=dashed)

    return Panel(
        f"G2: MLP, FL={FEW}",
        "learning rate, log scale",
        ERROR,
        [*(series(r, named(r, FEW)) for r in ("SR", "nearest")), series(FLOAT, FLOAT, dashed=True)],
        logarithmic=True,
        logarithmic_x=True,
    )


def _losses(runs: MlpRuns) -> Panel:
    def series(label: str, name: str, dashed: bool = False) -> Series:
        curves = runs.results.curves("mlp", at_rate(name, runs.rate), "train_losses")
        length = min(map(len, curves))
        x = [(i + 0.5) / length for i in range(length)]
        return Series(label, x, [curve[:length] for curve in curves], dashed)

    return Panel(
        f"G2: MLP, FL={FEW}, rate {runs.rate:g}",
        "share of training done",
        "training loss (mean per image)",
        [*(series(r, named(r, FEW)) for r in ("SR", "nearest")), series(FLOAT, FLOAT, dashed=True)],
    )


def _bias(runs: MlpRuns) -> Panel:
    series = [
        _series(
            runs.results,
            "mlp",
            r,
            MLP_FRACTIONS,
            [at_rate(named(r, f), runs.rate) for f in MLP_FRACTIONS],
            figure="update_bias",
        )
        for r in ("SR", "nearest")
    ]
    return Panel(
        f"G3: what rounding does to updates, MLP, rate {runs.rate:g}",
        BITS,
        "bias of updates (steps of 2^-FL)",
        series,
    )


def _cnn(results: Results, experiment: str, part: Part) -> Panel:
    rate = part.middle_rate

    def series(label: str, fractions: Sequence[int], names: Sequence[str]) -> Series:
        variants = [at_rate(name, rate) for name in names]
        return _series(results, experiment, label, fractions, variants)

    nearest = [named("nearest", f) for f in CNN_NEAREST_FRACTIONS]
    return Panel(
        f"G4, G5: {experiment.upper()}, 16-bit words, rate {rate:g}",
        BITS,
        ERROR,
        [
            series("SR", CNN_FRACTIONS, [named("SR", f) for f in CNN_FRACTIONS]),
            series("nearest", CNN_NEAREST_FRACTIONS, nearest),
            *(
                series(f"SR, last {percent(share)} wide", [WIDENED_FRACTION], [widened(share)])
                for share in WIDE_SHARES
            ),
            _level(results, experiment, FLOAT, at_rate(FLOAT, rate), CNN_FRACTIONS),
        ],
        logarithmic=True,
    )


def _products(results: Results) -> Panel:
    x = PRODUCT_FRACTIONS
    series = [
        _series(results, "products", r, x, [each_product(r, f) for f in x])
        for r in ("SR", "nearest")
    ]
    level = _level(results, "products", ONCE, ONCE, x)
    title = "G6: each product rounded, MLP on digits"
    return Panel(title, "fraction bits of products", "test error (%)", [*series, level])


def _series(
    results: Results,
    experiment: str,
    label: str,
    x: Sequence[float],
    variants: Sequence[str],
    *,
    figure: str = "test_error",
    dashed: bool = False,
) -> Series:
    """Return one variant at each position."""
    columns = [results.values(experiment, variant, figure) for variant in variants]
    rows = [[float(value) for value in row] for row in zip(*columns, strict=True)]
    return Series(label, x, rows, dashed)


def _level(
    results: Results, experiment: str, label: str, variant: str, x: Sequence[float]
) -> Series:
    """Return one variant as a level line."""
    values = results.values(experiment, variant, "test_error")
    return Series(label, x, [[float(v)] * len(x) for v in values], dashed=True)
