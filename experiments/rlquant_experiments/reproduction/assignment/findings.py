"""Findings about each claim, from the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rlquant_experiments.reproduction.assignment.gradient import BASELINES
from rlquant_experiments.reproduction.assignment.jobs import GRADIENT, VARIANCE, WAYS
from rlquant_experiments.reproduction.assignment.layer_ways import (
    FEEDBACK_DESCENT,
    FLIPS,
    LAYER_WAYS,
    LEARNED,
    POLICY,
    RELAXATION,
    RELAXATION_DESCENT,
)
from rlquant_experiments.reproduction.assignment.network_ways import ACROSS, NETWORK_FLIPS
from rlquant_experiments.reproduction.assignment.presets import AssignmentPreset, experiment_name
from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding, Table
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Difference, Summary
from rlquant_experiments.reproduction.tables import variants_table

COLUMNS: Mapping[str, tuple[str, int]] = {
    "layer error / nearest": ("layer_error", 3),
    "validation loss": ("loss", 4),
    "test loss": ("test_loss", 4),
    "test error (%)": ("test_error", 2),
    "moved (share)": ("moved", 3),
}
EXACT = 1e-12


def conclude(preset: AssignmentPreset, results: Results) -> Sequence[Finding]:
    """Return the findings on A1 to A6."""
    names = [experiment_name(task, bits) for task, bits in preset.experiments]
    fewest = [n for n, (_, bits) in zip(names, preset.experiments, strict=True) if bits == 2]
    return [
        _gradient_finding(results, names),
        _policy_finding(results, fewest),
        _combination_finding(results, names),
        _network_finding(results, names),
        _flips_finding(results, names),
        _relaxation_finding(results, names),
    ]


def compared(
    results: Results, name: str, way: str, control: str, figure: str, digits: int = 4
) -> Comparison:
    """Compare two ways within each seed; the claim is that the first is lower."""
    first, second = (results.values(name, each, figure) for each in (way, control))
    difference = Difference.paired(first, second)
    measured = "layer error" if figure == "layer_error" else "validation loss"
    words = f"{name}: {measured}, {way} - {control}"
    return Comparison(words, difference, "below", digits=digits)


def _line(results: Results, names: Sequence[str], ways: Sequence[str], figure: str) -> str:
    parts = []
    for name in names:
        numbers = [
            f"{way} {Summary.of(results.values(name, way, figure)).words(3)}" for way in ways
        ]
        parts.append(f"{name}: {', '.join(numbers)}")
    return "; ".join(parts)


def _table(results: Results, names: Sequence[str], ways: Sequence[str]) -> Table:
    return variants_table(results, [(n, w) for n in names for w in ways], COLUMNS, heading="way")


def _gradient_finding(results: Results, names: Sequence[str]) -> Finding:
    worst = max(
        float(results.values(GRADIENT, "enumerated", baseline).max()) for baseline in BASELINES
    )
    rows, comparisons = [], []
    for name in names:
        values = {b: results.values(VARIANCE, name, b) for b in BASELINES}
        cells = [Summary.of(v).words(1) for v in values.values()]
        rows.append((name, *cells, str(len(values["none"]))))
        for baseline in BASELINES[1:]:
            ratio = np.log(values[baseline] / values["none"])
            comparisons.append(
                Comparison.of(f"{name}: ln of variance, {baseline} over none", ratio, "below")
            )
    exact = "equal" if worst < EXACT else "NOT equal"
    return Finding(
        claim=Claim(
            "A1",
            "The score-function gradient is the exact one with each baseline, and baselines lower "
            "its variance.",
        ),
        ours=f"expected estimates {exact} to the exact gradient within {worst:.1e}",
        table=Table(("variance over squared gradient", *BASELINES, "seeds"), rows),
        comparisons=comparisons,
        note="The expectation is taken by enumerating all outcomes of two weights that go up with "
        "the chances .6 and .3. Variances are those of the last layer's gradient where its policy "
        "begins, with as many samples as in training.",
    )


def _policy_finding(results: Results, names: Sequence[str]) -> Finding:
    comparisons = [
        Comparison.of(
            f"{name}: layer error over nearest rounding's",
            results.values(name, POLICY, "layer_error"),
            "below",
            0.5,
            digits=3,
        )
        for name in names
    ]
    return Finding(
        claim=Claim(
            "A2", "At 2 bits the policy alone at least halves the error of layers' outputs."
        ),
        ours=_line(results, names, [POLICY], "layer_error"),
        table=_table(results, names, LAYER_WAYS),
        comparisons=comparisons,
    )


def _combination_finding(results: Results, names: Sequence[str]) -> Finding:
    return Finding(
        claim=Claim(
            "A3",
            "Reinforcement from the better of the other ways has smaller layer errors than error "
            "feedback with coordinate descent.",
        ),
        ours=_line(results, names, [LEARNED, FEEDBACK_DESCENT], "layer_error"),
        table=_table(results, names, [FEEDBACK_DESCENT, RELAXATION_DESCENT, LEARNED]),
        comparisons=[
            compared(results, name, LEARNED, FEEDBACK_DESCENT, "layer_error") for name in names
        ],
    )


def _network_finding(results: Results, names: Sequence[str]) -> Finding:
    controls = [way for way in WAYS if not way.startswith(ACROSS)]
    return Finding(
        claim=Claim(
            "A4",
            "Learned across layers by the distillation loss, the network's validation loss is "
            "below that of every control.",
        ),
        ours=_line(results, names, [ACROSS, LEARNED, RELAXATION_DESCENT], "loss"),
        table=_table(results, names, WAYS),
        comparisons=[
            compared(results, name, ACROSS, control, "loss")
            for name in names
            for control in controls
        ],
    )


def _flips_finding(results: Results, names: Sequence[str]) -> Finding:
    pairs = [
        (POLICY, FLIPS, "layer_error"),
        (POLICY, FLIPS, "loss"),
        (ACROSS, NETWORK_FLIPS, "loss"),
    ]
    return Finding(
        claim=Claim(
            "A5", "Learned assignments beat the best of random flips at the same rate and cost."
        ),
        ours=_line(results, names, [POLICY, FLIPS], "layer_error"),
        table=_table(results, names, [POLICY, FLIPS, ACROSS, NETWORK_FLIPS]),
        comparisons=[
            compared(results, name, way, control, figure)
            for name in names
            for way, control, figure in pairs
        ],
    )


def _relaxation_finding(results: Results, names: Sequence[str]) -> Finding:
    figures = ("layer_error", "loss")
    return Finding(
        claim=Claim("A6", "The policy alone beats the relaxation (AdaRound) on layer errors."),
        ours=_line(results, names, [POLICY, RELAXATION], figures[0]),
        table=_table(results, names, [POLICY, RELAXATION]),
        comparisons=[compared(results, n, POLICY, RELAXATION, figures[0]) for n in names],
        note="Learned rounding therefore begins at the better of GPTQ and the relaxation "
        "in each output channel, and goes on where the relaxation cannot: the loss of the whole "
        "network, discrete and across layers.",
    )
