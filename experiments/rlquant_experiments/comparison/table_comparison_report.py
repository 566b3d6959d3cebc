"""Regrets of searchers on a table, as Markdown and CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from rlquant import BudgetShare
from rlquant.escaping import csv_text
from rlquant_experiments.comparison.comparison_report import markdown_table
from rlquant_experiments.comparison.regret import RegretScale
from rlquant_experiments.comparison.table_run import TableRuns

MARKS = (10, 30, 100, 300, 1000)
"""Numbers of evaluations at which regrets are shown, as far as runs go."""
COLUMNS = (
    "searcher",
    "seed",
    "loss",
    "optimum",
    "uniform",
    "average_bits",
    "size_bytes",
    "evaluations",
    "episodes",
    "seconds",
    "stopped",
)


def marks_up_to(evaluations: int) -> tuple[int, ...]:
    """Return the marks of runs of so many evaluations; the last is their end."""
    return (*(mark for mark in MARKS if mark < evaluations), evaluations)


def table_section(
    runs: TableRuns,
    scale: RegretScale,
    marks: Sequence[int],
    figure: str,
    share: BudgetShare,
) -> str:
    """Return the Markdown of one budget.

    Args:
        runs: all runs under it.
        scale: what regret is measured on.
        marks: numbers of evaluations at which it is shown.
        figure: file name of the figure.
        share: what the probe says of the budget.
    """
    title = str(share.budget)
    ends = (
        f"Optimum: loss {scale.optimum.loss:.4f}, accuracy {scale.optimum.accuracy:.4f}. Uniform: "
        f"loss {scale.uniform.loss:.4f}, accuracy {scale.uniform.accuracy:.4f}. {share}"
    )
    notes = dict.fromkeys(f"{name}: {n}." for name in runs for run in runs[name] for n in run.notes)
    return "\n\n".join(
        [
            f"## {title[0].upper()}{title[1:]}",
            ends,
            regret_table(runs, scale, marks),
            f"![mean regret against evaluations]({figure})",
            regret_verdict(runs, scale, marks[-1]),
            *notes,
        ]
    )


def regret_table(runs: TableRuns, scale: RegretScale, marks: Sequence[int]) -> str:
    """Return a Markdown table of the mean regrets, the smallest at the last mark first."""
    headings = (
        "searcher",
        "runs",
        *(f"regret after {mark}" for mark in marks),
        "optimum found",
        "evaluations",
        "seconds",
    )
    rows = []
    for name in scale.ranked(runs, marks[-1]):
        of = runs[name]
        found = sum(run.score.loss == scale.optimum.loss for run in of)
        rows.append(
            (
                name,
                str(len(of)),
                *(_regret_words(scale.mean_at(of, mark)) for mark in marks),
                f"{found} of {len(of)}",
                f"{fmean(len(run.curve) for run in of):.0f}",
                f"{fmean(run.seconds for run in of):.1f}",
            )
        )
    return markdown_table(headings, rows)


def regret_verdict(runs: TableRuns, scale: RegretScale, evaluations: int) -> str:
    """Say in words who is nearest to the optimum, and who is no nearer than random search."""
    means = {name: scale.mean_at(of, evaluations) for name, of in runs.items()}
    first, *_ = scale.ranked(runs, evaluations)
    words = [
        f"After {evaluations} evaluations {first} is nearest to the optimum: of the way from it to "
        f"uniform bits, {100 * means[first]:.2g} % are left in the mean."
    ]
    if "random" in runs and len(runs) > 1:
        behind = [n for n in runs if n != "random" and not means[n] < means["random"]]
        words.append(
            f"Random search has {100 * means['random']:.2g} % left; no nearer than it: "
            f"{', '.join(behind) or 'none'}."
        )
    return " ".join(words)


def table_csv(found: Mapping[str, tuple[TableRuns, RegretScale]], marks: Sequence[int]) -> str:
    """Return one row for each run of each budget."""
    rows: list[Sequence[object]] = [("budget", *COLUMNS, *(f"regret_{mark}" for mark in marks))]
    for budget, (runs, scale) in found.items():
        for run in (run for of in runs.values() for run in of):
            score = run.score
            row = (
                *(budget, run.searcher, run.seed),
                *(score.loss, scale.optimum.loss, scale.uniform.loss),
                *(score.average_bits, score.size_bytes),
                *(len(run.curve), run.episodes, round(run.seconds, 3), run.stopped),
                *(scale.mean_at([run], mark) for mark in marks),
            )
            rows.append(row)
    return csv_text(rows)


def _regret_words(regret: float) -> str:
    return "none yet" if math.isnan(regret) else f"{regret:.4f}"
