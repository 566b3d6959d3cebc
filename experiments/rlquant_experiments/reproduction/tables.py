"""The tables that findings rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlquant_experiments.reproduction.claims import Table
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Summary, Values

ERRORS: Mapping[str, tuple[str, int]] = {
    "test error (%)": ("test_error", 2),
    "validation error (%)": ("validation_error", 2),
}
"""Columns: heading -> (figure of the runs, decimals)."""


def variants_table(
    results: Results,
    rows: Sequence[tuple[str, str]],
    columns: Mapping[str, tuple[str, int]] = ERRORS,
    *,
    heading: str = "variant",
) -> Table:
    """Return mean and spread of each variant, and its number of seeds.

    Args:
        results: all runs.
        rows: experiment and variant of each row.
        columns: heading -> (figure, decimals).
        heading: of the first column.
    """
    several = len({experiment for experiment, _ in rows}) > 1
    lines = []
    for experiment, variant in rows:
        cells = [
            Summary.of(results.values(experiment, variant, figure)).words(digits)
            for figure, digits in columns.values()
        ]
        label = f"{experiment}: {variant}" if several else variant
        lines.append((label, *cells, str(len(results.of(experiment, variant)))))
    return Table((heading, *columns, "seeds"), lines)


def listed(values: Mapping[str, Values], unit: str = "%") -> str:
    """Return "name mean ± spread unit" of each, in one line."""
    return ", ".join(f"{name} {Summary.of(v).words()} {unit}" for name, v in values.items())
