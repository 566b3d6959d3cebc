"""A judgement as Markdown tables, and its runs as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rlquant.escaping import csv_text
from rlquant_experiments.comparison.comparison_report import markdown_table
from rlquant_experiments.comparison.statistics.judgement import Judgement
from rlquant_experiments.comparison.table_stratum import Stratum

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


def levels_table(judgement: Judgement, *, middle: bool = False) -> str:
    """Return the mean regrets after each mark, the smallest at the last first.

    Args:
        judgement: of all runs.
        middle: show the mean of the middle half of the runs instead.
    """
    marks = judgement.marks
    rows = []
    for label in judgement.regrets.ranked(marks[-1]):
        levels = [judgement.levels[label][mark] for mark in marks]
        shown = [level.middle if middle else level.mean for level in levels]
        rows.append((label, *(estimate.words() for estimate in shown)))
    return markdown_table(("searcher", *(f"after {mark}" for mark in marks)), rows)


def rivals_table(judgement: Judgement, mark: int) -> str:
    """Return how the chosen searcher stands to each other after some evaluations."""
    headings = (
        "rival",
        "difference of mean regrets",
        "difference says",
        "probability of being below",
    )
    rows = [
        (
            rival.label,
            rival.difference.words(signed=True),
            _says(judgement.chosen, rival.label, rival.difference.low, rival.difference.high),
            rival.improvement.words(2),
        )
        for rival in judgement.rivals[mark]
    ]
    return markdown_table(headings, rows)


def improvements_table(judgement: Judgement, mark: int) -> str:
    """Return how often a run of the row is below a run of the column."""
    found = judgement.improvements[mark]
    rows = [
        (one, *("" if one == other else f"{of[other]:.2f}" for other in found))
        for one, of in found.items()
    ]
    return markdown_table(("below", *found), rows)


def targets_table(judgement: Judgement, strata: Sequence[Stratum]) -> str:
    """Return when runs come within the targets, what they took, and what they returned."""
    labels = judgement.regrets.ranked(judgement.marks[-1])
    headings = ["searcher", "runs"]
    for target in judgement.targets[labels[0]]:
        what = f"regret {target.target:g}"
        headings += [f"reach {what}", f"median to {what}", f"mean to {what}, at most the end"]
    headings += ["optimum found", "seconds a run", "results over the budget"]
    rows = []
    for label in labels:
        runs = [run for stratum in strata for run in stratum.runs[label]]
        best = [
            run.score.loss == stratum.scale.optimum.loss
            for stratum in strata
            for run in stratum.runs[label]
        ]
        over = [run for stratum in strata for run in stratum.violations() if run.searcher == label]
        row = [label, str(len(runs))]
        for target in judgement.targets[label]:
            row += [f"{100 * target.reached:.0f} %", target.median_words()]
            row += [target.restricted.words(1)]
        row += [f"{100 * fmean(best):.0f} %", f"{fmean(run.seconds for run in runs):.2f}"]
        rows.append((*row, str(len(over))))
    return markdown_table(headings, rows)


def runs_csv(strata: Sequence[Stratum], marks: Sequence[int]) -> str:
    """Return one row for each run and mark."""
    rows: list[Sequence[object]] = [COLUMNS]
    for stratum in strata:
        where = (stratum.problem.table.name, str(stratum.problem.budget))
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


def _says(chosen: str, rival: str, low: float, high: float) -> str:
    if low > 0:
        return f"{rival} is below"
    return f"{chosen} is below" if high < 0 else "not told apart"
