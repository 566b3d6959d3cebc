"""A tuning as Markdown, with a figure beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rlquant.whole_files import write_file
from rlquant_agents.comparison_report import made_by, markdown_table
from rlquant_agents.judging.statistics import estimate
from rlquant_agents.tuning import Judged, Tuning
from rlquant_agents.tuning_settings import JUDGE_SEED, TuneSettings
from rlquant_agents.tuning_trial import Tried

BEST = 10
"""Settings that are shown."""
DIGITS = 4


def write_report(settings: TuneSettings, tuning: Tuning, command: Sequence[str]) -> str:
    """Write report.md and its figure into the folder of the tuning; return the report."""
    from rlquant_agents.figures import png  # matplotlib imports slowly
    from rlquant_agents.tuning_figures import search_figure

    write_file(settings.folder / "search.png", png(search_figure(tuning.tried)))
    text = report(settings, tuning, command)
    write_file(settings.folder / "report.md", text)
    return text


def report(settings: TuneSettings, tuning: Tuning, command: Sequence[str]) -> str:
    """Return the Markdown."""
    ranked = tuning.ranked
    place = 1 + [trial.number for trial in ranked].index(0)
    shown = ranked[:BEST] + ([ranked[place - 1]] if place > BEST else [])
    parts = [
        f"# Settings of {settings.searcher}, tuned on tables",
        _facts(settings, tuning, command),
        "## Verdict",
        verdict(tuning),
        "## The best settings",
        f"The shipped settings (trial 0) are in place {place} of the {len(ranked)} trials that saw "
        f"all tables. The objective is on the tables that were searched and on the seeds of the "
        f"search, where the best of many is flattered.",
        markdown_table(
            ("place", "trial", "objective", "seconds a run", *ranked[0].settings),
            [_row(ranked.index(trial) + 1, trial) for trial in shown],
        ),
        "![objective of each trial, and the best so far](search.png)",
    ]
    if tuning.judged:
        parts += [
            "## Held-out tables",
            "Objective of the winner and of the shipped settings, and the mean difference of runs "
            "on the same table, budget and seed, with 95 % intervals for other seeds; below 0 the "
            "winner is better.",
            _held_out_table(tuning.judged),
        ]
    return "\n\n".join(parts) + "\n"


def verdict(tuning: Tuning) -> str:
    """Say which settings won, and whether they are better than the shipped ones."""
    winner, judged = tuning.winner, tuning.judged
    if judged is None:
        return "The shipped settings won the search: nothing that was tried is better."
    seeds, tables = judged.for_seeds, judged.for_tables
    if seeds.high < 0:
        words = "They are better than the shipped ones beyond the interval"
        words += "." if tables.high < 0 else ", on these tables; for others it is not shown."
    elif seeds.low > 0:
        words = "They are worse than the shipped ones: keep those."
    else:
        words = "They are not told apart from the shipped ones: keep those."
    return (
        f"Trial {winner.number} won the search:\n\n    {json.dumps(winner.settings)}\n\n"
        f"On the held-out tables their objective is {judged.winner.areas.mean():.{DIGITS}f}, that "
        f"of the shipped settings {judged.shipped.areas.mean():.{DIGITS}f}. Difference, with the "
        f"95 % interval for other seeds on the same tables: {seeds.words(DIGITS, signed=True)}; "
        f"for other seeds and other tables (each table counting the same): "
        f"{tables.words(DIGITS, signed=True)}. {words} A run took {judged.winner.seconds:.2f} s, "
        f"with the shipped settings {judged.shipped.seconds:.2f} s."
    )


def _facts(settings: TuneSettings, tuning: Tuning, command: Sequence[str]) -> str:
    given_up = sum(not trial.finished for trial in tuning.tried)
    runs = [s for trial in tuning.tried for of in trial.outcomes for s in of.seconds]
    searched = f"Searched on: {', '.join(tuning.searched)}."
    if tuning.shipped_tables:
        searched += (
            f" {', '.join(tuning.shipped_tables)} came with rlquant: a comparison of searchers "
            f"there no longer says how these settings do on tables they were not tuned on."
        )
    else:
        searched += " No table that comes with rlquant, on which searchers are compared, is one."
    sentences = [
        made_by(command, settings.threads),
        f"{len(tuning.tried)} trials, of which {given_up} were given up before they had seen all "
        f"tables; {len(runs):,} runs, which took {sum(runs):,.0f} s.",
        f"The objective is the mean over tables, budgets and seeds of the mean over "
        f"{settings.evaluations} evaluations of log(best loss so far / optimum), smaller being "
        f"better; a run ends when it has found the optimum. Seeds of each trial: "
        f"{settings.seeds}.",
        f"Budgets: {', '.join(str(budget) for budget in settings.limits())}.",
        searched,
    ]
    if tuning.judged:
        last = JUDGE_SEED + settings.judge_seeds - 1
        sentences.append(
            f"Judged on: {', '.join(dict.fromkeys(tuning.judged.tables))}, which no trial saw, "
            f"with the seeds {JUDGE_SEED} to {last}, which no trial had."
        )
    if settings.fixed:
        sentences.append(f"Fixed on both sides: {', '.join(settings.fixed)}.")
    return " ".join([*sentences, *tuning.left_out])


def _row(place: int, trial: Tried) -> tuple[str, ...]:
    return (
        str(place),
        f"{trial.number}{'' if trial.number else ' (shipped)'}",
        f"{trial.value:.{DIGITS}f}",
        f"{trial.seconds:.2f}",
        *(_words(value) for value in trial.settings.values()),
    )


def _held_out_table(judged: Judged) -> str:
    rows = []
    for name in dict.fromkeys(judged.tables):
        difference = estimate(judged.of_table(name, judged.differences))
        means = [
            judged.of_table(name, side.areas).mean() for side in (judged.winner, judged.shipped)
        ]
        rows.append(
            (
                name,
                *(f"{mean:.{DIGITS}f}" for mean in means),
                difference.words(DIGITS, signed=True),
            )
        )
    return markdown_table(("table", "winner", "shipped", "difference"), rows)


def _words(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
