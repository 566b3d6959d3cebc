"""A reproduction as Markdown and CSV."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from datetime import date

import torch

from rlquant.escaping import csv_text, markdown_table
from rlquant_experiments.reproduction.claims import Finding, Table
from rlquant_experiments.reproduction.reproduction import Reproduction
from rlquant_experiments.reproduction.runs import Results

READING = (
    "Each comparison is a difference between runs with the same seed (first weights and order of "
    "samples), given as its mean with a 95 % confidence interval by Student's t. **Reproduced**: "
    "every interval of the claim lies wholly where the claim puts it. **Not reproduced**: one of "
    "them lies wholly on the other side. **Tie**: neither; these runs do not decide. Spreads are "
    'standard deviations over seeds. "direction" in the column of the paper: the paper says which '
    "is larger, and no number of it was read in a source. Every number is of the last epoch and, "
    "where nothing else is said, of the test set, on which nothing was chosen."
)


def report(
    reproduction: Reproduction,
    results: Results,
    findings: Sequence[Finding],
    *,
    command: Sequence[str],
    figure: str,
) -> str:
    """Return the report.

    Args:
        reproduction: what was done.
        results: all of its runs.
        findings: one per claim.
        command: that made it.
        figure: file name of the figure.
    """
    settings = Table(("setting", "value"), list(reproduction.settings.items()))
    parts = [
        f"# {reproduction.title}",
        made_by(results, command),
        reproduction.introduction,
        READING,
        "## Claims",
        markdown(summary(findings), numbers=False),
        f"![{reproduction.caption}]({figure})",
        *(section(finding) for finding in findings),
        "## Settings",
        markdown(settings, numbers=False),
    ]
    return "\n\n".join(parts) + "\n"


def made_by(results: Results, command: Sequence[str]) -> str:
    """Return command, machine and time."""
    return (
        f"Made on {date.today().isoformat()} by\n\n    {shlex.join(command)}\n\n"
        f"with {os.cpu_count()} cores ({torch.get_num_threads()} used by torch), Python "
        f"{platform.python_version()}, torch {torch.__version__}. {len(results.runs)} runs took "
        f"{results.seconds / 60:.1f} minutes together, with {results.processor_seconds / 60:.1f} "
        f"minutes of processor time."
    )


def summary(findings: Sequence[Finding]) -> Table:
    """Return the table of all claims."""
    headings = ("claim", "statement", "paper", "ours", "seeds", "verdict")
    rows = [
        (
            f.claim.id,
            f.claim.statement,
            f.claim.paper_figure,
            f.ours,
            str(f.seeds),
            f"**{f.verdict}**",
        )
        for f in findings
    ]
    return Table(headings, rows)


def section(finding: Finding) -> str:
    """Return all that was found about one claim."""
    claim = finding.claim
    comparisons = Table(
        ("comparison", "difference [95 % interval]", "pairs", "claimed", "verdict"),
        [
            (c.name, c.difference.words(c.digits), str(c.difference.count), c.claimed, c.verdict)
            for c in finding.comparisons
        ],
    )
    parts = [
        f"## {claim.id}: {finding.verdict}",
        f"{claim.statement} The paper: {claim.paper_figure}.",
        markdown(finding.table),
        markdown(comparisons),
        finding.note,
    ]
    return "\n\n".join(part for part in parts if part)


def markdown(table: Table, *, numbers: bool = True) -> str:
    """Return a Markdown table; `numbers` aligns all columns but the first to the right."""
    align = "l" + "r" * (len(table.headings) - 1) if numbers else ""
    return markdown_table(table.headings, table.rows, align)


def runs_csv(results: Results) -> str:
    """Return every number of every run, one row each; curves are left out."""
    rows: list[Sequence[object]] = [("experiment", "variant", "seed", "figure", "value")]
    for run in results.runs:
        numbers = {n: v for n, v in run.figures.items() if isinstance(v, float)}
        for name, value in {**numbers, "seconds": round(run.seconds, 1)}.items():
            rows.append((run.experiment, run.variant, run.seed, name, f"{value:.6g}"))
    return csv_text(rows)
