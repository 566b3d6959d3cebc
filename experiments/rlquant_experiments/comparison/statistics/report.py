"""The report of a judgement: words, tables, figures and the raw runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlquant.files import make_folder, write_file
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.comparison_report import made_by
from rlquant_experiments.comparison.statistics.judgement import Judgement, judge
from rlquant_experiments.comparison.statistics.regrets import Regrets
from rlquant_experiments.comparison.statistics.statistics import interquartile_mean
from rlquant_experiments.comparison.statistics.tables import (
    improvements_table,
    levels_table,
    rivals_table,
    runs_csv,
    targets_table,
)
from rlquant_experiments.comparison.statistics.verdict import verdict
from rlquant_experiments.comparison.table_stratum import Stratum, labels_of

Pictures = Mapping[str, bytes]
"""Figures as PNG, by what they show."""


def write_judgement(
    settings: CompareSettings,
    strata: Sequence[Stratum],
    command: Sequence[str],
    left_out: Sequence[str],
) -> str:
    """Judge, and write the report into the run folder and where it was asked for.

    Args:
        settings: what was compared.
        strata: with all their runs.
        command: that the report names.
        left_out: what was not compared, and why, in sentences.

    Returns:
        The report.
    """
    labels = labels_of(strata)
    judgement = judge(Regrets.of(strata, settings.most), settings.chosen(labels))
    pictures = draw(judgement, strata, settings.highlighted(labels))
    text = ""
    for target in settings.targets:
        make_folder(target.parent)
        for name, picture in pictures.items():
            write_file(_beside(target, name), picture)
        facts = facts_of(settings, strata, command, left_out)
        text = report(judgement, strata, facts, target)
        write_file(target, text)
        write_file(target.with_suffix(".csv"), runs_csv(strata, judgement.marks))
    return text


def report(judgement: Judgement, strata: Sequence[Stratum], facts: str, target: Path) -> str:
    """Return the Markdown; its figures stand beside `target`."""
    chosen, first = judgement.chosen, judgement.judged_at[0]
    tables = {stratum.problem.table.name for stratum in strata}
    parts = [
        f"# Searchers on {len(tables)} table{'s' if len(tables) > 1 else ''}",
        facts,
        "## Verdict",
        *(verdict(judgement, mark) for mark in judgement.judged_at),
        "## Regret",
        _image("mean regret against evaluations", target, "regret"),
        _image("interquartile mean of regret against evaluations", target, "middle"),
        "Mean over all runs, with 95 % intervals:",
        levels_table(judgement),
        "Mean of the middle half of the runs (interquartile mean), which no few bad ones move:",
        levels_table(judgement, middle=True),
        f"## {chosen} against each other",
        _image(f"difference of mean regrets from {chosen}", target, "differences"),
    ]
    for mark in judgement.judged_at:
        parts += [
            f"After {mark} evaluations; below 0, {chosen} is nearer to the optimum:",
            rivals_table(judgement, mark),
        ]
    parts += [
        "## Which tables",
        _image(f"mean regret after {first} evaluations on each table", target, "tables"),
        "## Evaluations to a target",
        "A run that does not come within the target counts as never in the median, and as all its "
        "evaluations in the mean.",
        targets_table(judgement, strata),
        "## Each against each",
        f"Probability that a run of the row is below one of the column after {first} evaluations, "
        f"ties counting half:",
        improvements_table(judgement, first),
    ]
    return "\n\n".join(parts) + "\n"


def facts_of(
    settings: CompareSettings,
    strata: Sequence[Stratum],
    command: Sequence[str],
    left_out: Sequence[str],
) -> str:
    """Return how the comparison was made, and what its words mean."""
    runs = [run for stratum in strata for of in stratum.runs.values() for run in of]
    over = sum(len(stratum.violations()) for stratum in strata)
    last = settings.first_seed + settings.runs_each - 1
    tables = dict.fromkeys(stratum.problem.table.name for stratum in strata)
    budgets = dict.fromkeys(str(stratum.problem.budget) for stratum in strata)
    sentences = [
        made_by(command, settings.threads),
        f"{len(runs):,} runs with the seeds {settings.first_seed} to {last}, each of at most "
        f"{settings.most} evaluations; a run ends when it has found the optimum, and one that no "
        f"seed changes is made once. They took {sum(run.seconds for run in runs):,.0f} s in all, "
        f"{settings.workers} at a time.",
        f"Tables: {', '.join(tables)}; budgets: {', '.join(budgets)}.",
        f"Results over the budget: {over}.",
        "Regret is 0 at the optimum and 1 at the best uniform configuration. How searchers are "
        "judged stands in docs/benchmark.md. Intervals hold for other seeds on the same tables.",
        *left_out,
    ]
    return " ".join(sentences)


def draw(judgement: Judgement, strata: Sequence[Stratum], agents: Sequence[str]) -> Pictures:
    """Return the figures."""
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.comparison.statistics import figures

    regrets, tables = judgement.regrets, [stratum.problem.table.name for stratum in strata]
    over = f" over {len(strata)} strata (a table under a budget), 95 % bands"
    return {
        "regret": png(figures.regret_figure(regrets, agents, title=f"Mean regret{over}")),
        "middle": png(
            figures.regret_figure(
                regrets, agents, interquartile_mean, f"Interquartile mean of regret{over}"
            )
        ),
        "differences": png(figures.differences_figure(judgement)),
        "tables": png(figures.tables_figure(regrets, tables, judgement.judged_at[0])),
    }


def _beside(target: Path, name: str) -> Path:
    return target.with_name(f"{target.stem}-{name}.png")


def _image(words: str, target: Path, name: str) -> str:
    return f"![{words}]({_beside(target, name).name})"
