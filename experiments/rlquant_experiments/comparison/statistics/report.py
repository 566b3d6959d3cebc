"""The part of a report that tells searchers apart over several strata: words, tables, figures."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant_experiments.comparison.report_file import image
from rlquant_experiments.comparison.statistics.regrets import Regrets
from rlquant_experiments.comparison.statistics.statistics import interquartile_mean
from rlquant_experiments.comparison.statistics.summary import Summary, verdict
from rlquant_experiments.comparison.statistics.tables import (
    differences_table,
    improvements_table,
    levels_table,
    targets_table,
)
from rlquant_experiments.comparison.stratum import Stratum


def statistics_parts(
    strata: Sequence[Stratum], evaluations: int, highlighted: Sequence[str]
) -> tuple[list[str], dict[str, bytes]]:
    """Return the Markdown in paragraphs, and the figures by the ends of their file names.

    Args:
        strata: with all their runs, of problems whose optimum is known.
        evaluations: that each run might use.
        highlighted: labels to draw in colour; the first is compared with all others.
    """
    summary = Summary.of(Regrets.of(strata, evaluations), highlighted[0])
    chosen, first = summary.chosen, summary.compared_at[0]
    parts = [
        "## Verdict",
        *(verdict(summary, mark) for mark in summary.compared_at),
        "## Regret",
        image("mean regret against evaluations", "-regret"),
        image("interquartile mean of regret against evaluations", "-middle"),
        "Mean over all runs, with 95 % intervals:",
        levels_table(summary),
        "Mean of the middle half of the runs (interquartile mean), which no few bad ones move:",
        levels_table(summary, middle=True),
        f"## {chosen} against each other",
        image(f"difference of mean regrets from {chosen}", "-differences"),
    ]
    for mark in summary.compared_at:
        parts += [
            f"After {mark} evaluations; below 0, {chosen} is nearer to the optimum:",
            differences_table(summary, mark),
        ]
    parts += [
        "## Which tables",
        image(f"mean regret after {first} evaluations on each table", "-tables"),
        "## Evaluations to a target",
        "A run that does not come within the target counts as never in the median, and as all its "
        "evaluations in the mean.",
        targets_table(summary, strata),
        "## Each against each",
        f"Probability that a run of the row is below one of the column after {first} evaluations, "
        f"ties counting half:",
        improvements_table(summary, first),
    ]
    return parts, _draw(summary, strata, highlighted)


def _draw(
    summary: Summary, strata: Sequence[Stratum], highlighted: Sequence[str]
) -> dict[str, bytes]:
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.comparison.statistics import figures

    regrets, first = summary.regrets, summary.compared_at[0]
    over = f"of regret over {len(strata)} strata (a table under a budget), 95 % bands"
    drawn = {
        "-regret": figures.regret_figure(
            regrets, highlighted, title=f"Mean {over.removeprefix('of ')}"
        ),
        "-middle": figures.regret_figure(
            regrets, highlighted, interquartile_mean, f"Interquartile mean {over}"
        ),
        "-differences": figures.differences_figure(summary),
        "-tables": figures.tables_figure(regrets, [one.source for one in strata], first),
    }
    return {end: png(figure) for end, figure in drawn.items()}
