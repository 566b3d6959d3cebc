"""The figures of a campaign as a page of results."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from rlquant.escaping import markdown_table
from rlquant_experiments.faults.figures import Figures


def markdown(figures: Figures, command: str) -> str:
    """Return the page: what was tried, how often, and what was found."""
    rows = [
        (
            *(name, tally.promise, f"{tally.trials:,}"),
            *(f"{sum(map(len, tally.findings.values())):,}", f"{tally.seconds:,.0f}"),
        )
        for name, tally in figures.tallies.items()
    ]
    found = [
        f"- {len(alike):,} x {alike[0].trial}: {alike[0].fault.splitlines()[0]} "
        f"(`{alike[0].command}`)"
        for alike in figures.kinds
    ]
    return "\n".join(
        [
            "# Fault campaign: figures",
            "",
            f"Made on {datetime.now(UTC):%Y-%m-%d} by",
            "",
            f"    {command}",
            "",
            f"in {figures.seconds:,.0f} s{' (interrupted)' if figures.interrupted else ''}, with "
            f"rlquant {version('rlquant')}, torch {torch.__version__}, Python "
            f"{platform.python_version()}. Seconds are those of all processes.",
            "",
            markdown_table(("part", "promise", "trials", "findings", "seconds"), rows, "llrrr"),
            "",
            "Findings:" if found else "No findings.",
            *(["", *found] if found else []),
            "",
        ]
    )
