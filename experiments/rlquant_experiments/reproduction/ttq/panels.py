"""Panels of the figure of trained ternary quantization."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant_experiments.reproduction.panels import Panel, Series
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Values
from rlquant_experiments.reproduction.ttq.depth_findings import gaps
from rlquant_experiments.reproduction.ttq.presets import TtqPreset
from rlquant_experiments.reproduction.ttq.scales_finding import LADDER
from rlquant_experiments.reproduction.ttq.variants import (
    DEPTH_NAMES,
    FLOAT,
    SPARSITIES,
    TIED,
    TTQ,
    sparse,
)

ERROR = "test error (%)"
DEPTH = "depth (layers)"


def draw(preset: TtqPreset, results: Results) -> Sequence[Panel]:
    """Return the panels of the figure."""
    return [
        _depth(preset, results),
        _gap(preset, results),
        _scales(preset, results),
        _sparsity(preset, results),
    ]


def _depth(preset: TtqPreset, results: Results) -> Panel:
    depths = [preset.depth(blocks) for blocks in preset.blocks]

    def series(name: str) -> Series:
        columns = [results.values(preset.experiment(b), name, "test_error") for b in preset.blocks]
        return Series(name, depths, _rows(columns), dashed=name == FLOAT)

    return Panel("T1: TTQ and float", DEPTH, ERROR, [series(n) for n in reversed(DEPTH_NAMES)])


def _gap(preset: TtqPreset, results: Results) -> Panel:
    by_depth = gaps(preset, results)
    depths = list(by_depth)
    return Panel(
        "T2: gap by depth, within each seed",
        DEPTH,
        "error of TTQ - float (points)",
        [
            Series(TTQ, depths, _rows(list(by_depth.values()))),
            Series("no gap", depths, [[0.0] * len(depths)], dashed=True),
        ],
    )


def _scales(preset: TtqPreset, results: Results) -> Panel:
    short = {TIED: "one trained\nscale"}
    words = [short.get(name, name) for name in LADDER]
    columns = [results.values(preset.smallest, name, "test_error") for name in LADDER]
    return Panel(
        f"T3: scales, {preset.smallest}",
        "trained scales left, computed ones right",
        ERROR,
        [Series("quantized", words, _rows(columns)), _level(preset, results, words)],
    )


def _sparsity(preset: TtqPreset, results: Results) -> Panel:
    columns = [results.values(preset.smallest, sparse(r), "test_error") for r in SPARSITIES]
    return Panel(
        f"T4: constant share of zeros, {preset.smallest}",
        "share of zeros r in every ternary layer",
        ERROR,
        [Series(TTQ, SPARSITIES, _rows(columns)), _level(preset, results, SPARSITIES)],
    )


def _level(preset: TtqPreset, results: Results, x: Sequence[float] | Sequence[str]) -> Series:
    """Return the float control as a level line."""
    values = results.values(preset.smallest, FLOAT, "test_error")
    return Series(FLOAT, x, [[float(value)] * len(x) for value in values], dashed=True)


def _rows(columns: Sequence[Values]) -> list[list[float]]:
    """Turn one column per position into one row per seed."""
    return [[float(value) for value in row] for row in zip(*columns, strict=True)]
