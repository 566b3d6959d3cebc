"""The statistics of a comparison as Markdown tables, and its runs as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rlquant.escaping import csv_text, markdown_table
from rlquant_experiments.comparison.statistics.summary import Difference, Summary
from rlquant_experiments.comparison.stratum import Stratum

COLUMNS = (
    "table",
    "budget",
    "searcher",
    "seed",
    "evaluations",
    "loss",
    "regret",
    "result_average_bits",
    "result_size_bytes",
    "used",
    "seconds",
    "stopped",
)


def levels_table(summary: Summary, *, middle: bool = False) -> str:
    """Return the mean regrets after each mark, the smallest at the last first.

    Args:
        summary: of all runs.
        middle: show the mean of the middle half of the runs instead.
    """
    marks = summary.marks
    rows = []
    for label in summary.regrets.ranked(marks[-1]):
        levels = [summary.levels[label][mark] for mark in marks]
        shown = [level.middle if middle else level.mean for level in levels]
        rows.append((label, *(estimate.words() for estimate in shown)))
    return markdown_table(("searcher", *(f"after {mark}" for mark in marks)), rows, "lr")


def differences_table(summary: Summary, mark: int) -> str:
    """Return how the chosen searcher stands to each other after some evaluations."""
    headings = (
        "baseline",
        "difference of mean regrets",
        "difference says",
        "probability of being below",
    )
    rows = [
        (
            other.label,
            other.mean.words(signed=True),
            _says(summary.chosen, other),
            other.improvement.words(2),
        )
        for other in summary.differences[mark]
    ]
    return markdown_table(headings, rows, "lr")


def improvements_table(summary: Summary, mark: int) -> str:
    """Return how often a run of the row is below a run of the column."""
    found = summary.improvements[mark]
    rows = [
        (one, *("" if one == other else f"{of[other]:.2f}" for other in found))
        for one, of in found.items()
    ]
    return markdown_table(("below", *found), rows, "lr")


def targets_table(summary: Summary, strata: Sequence[Stratum]) -> str:
    """Return when runs come within the targets, what they took, and what they returned."""
    labels = summary.regrets.ranked(summary.marks[-1])
    headings = ["searcher", "runs"]
    for target in summary.targets[labels[0]]:
        what = f"regret {target.target:g}"
        headings += [f"reach {what}", f"median to {what}", f"mean to {what}, at most the end"]
    headings += ["optimum found", "seconds a run", "results over the budget"]
    rows = []
    for label in labels:
        runs = [run for stratum in strata for run in stratum.runs[label]]
        best = [
            run.score.loss == stratum.scale.optimum.loss
            for stratum in strata
            if stratum.scale is not None
            for run in stratum.runs[label]
        ]
        over = [run for stratum in strata for run in stratum.violations() if run.searcher == label]
        row = [label, str(len(runs))]
        for target in summary.targets[label]:
            row += [f"{100 * target.reached:.0f} %", target.median_words()]
            row += [target.restricted.words(1)]
        row += [f"{100 * fmean(best):.0f} %", f"{fmean(run.seconds for run in runs):.2f}"]
        rows.append((*row, str(len(over))))
    return markdown_table(headings, rows, "lr")


def marks_csv(strata: Sequence[Stratum], marks: Sequence[int]) -> str:
    """Return one row for each run and mark."""
    rows: list[Sequence[object]] = [COLUMNS]
    for stratum in strata:
        where = (stratum.source, str(stratum.budget))
        for label, runs in stratum.runs.items():
            regrets = stratum.regrets(label, marks[-1])
            for run, regret in zip(runs, regrets, strict=True):
                score = run.score
                result = (score.average_bits, score.size_bytes, len(run.curve))
                spent = (round(run.seconds, 3), run.stopped)
                for mark in marks:
                    found = (run.loss_at(mark), f"{regret[mark - 1]:.6g}")
                    rows.append((*where, label, run.seed, mark, *found, *result, *spent))
    return csv_text(rows)


def _says(chosen: str, other: Difference) -> str:
    if other.mean.low > 0:
        return f"{other.label} is below"
    return f"{chosen} is below" if other.mean.high < 0 else "not told apart"
