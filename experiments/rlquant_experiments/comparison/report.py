"""The report of a comparison: words, tables, figures and the runs as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant import measure
from rlquant.problem.protocol import Live
from rlquant.tasks import Task
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.report_file import Report, image, made_by
from rlquant_experiments.comparison.sections import runs_csv, section
from rlquant_experiments.comparison.statistics.report import statistics_parts
from rlquant_experiments.comparison.statistics.tables import marks_csv
from rlquant_experiments.comparison.stratum import Stratum, labels_of
from rlquant_experiments.comparison.variants import DETERMINISTIC


def write_comparison(
    settings: CompareSettings,
    strata: Sequence[Stratum],
    command: Sequence[str],
    left_out: Sequence[str] = (),
    task: Task | None = None,
) -> str:
    """Write the report into the run folder and where it was asked for; return it.

    Args:
        settings: what was compared.
        strata: with all their runs.
        command: that the report names.
        left_out: what was not compared, and why, in sentences.
        task: has the test set, where a live network was searched.
    """
    words = " ".join([*facts(settings, strata, command), *_task_facts(task, strata), *left_out])
    marks, labels = strata[0].marks(settings.most), labels_of(strata)
    sources = dict.fromkeys(stratum.source for stratum in strata)
    if settings.tables:
        title = f"# Searchers on {len(sources)} table{'s' if len(sources) > 1 else ''}"
        parts, figures = statistics_parts(strata, settings.most, settings.highlighted(labels))
        csv = marks_csv(strata, marks)
    else:
        title = f"# Searchers on {'' if task else 'the table '}{strata[0].source}"
        parts, figures, csv = [], {}, runs_csv(strata, marks)
        for stratum in strata:
            end = f"-{settings.budget_name(stratum.budget.limit)}"
            figures[end] = draw(stratum)
            parts += section(stratum, marks, end, settings.chosen(labels))
    if task is not None and len(strata) > 1:
        figures["-accuracy"] = draw_accuracy(strata, task, settings.chosen(labels))
        parts.insert(0, image("Test accuracy against bytes", "-accuracy"))
    text = "\n\n".join([title, words, *parts]) + "\n"
    return Report(text, figures, csv).write(settings.targets)


def facts(
    settings: CompareSettings, strata: Sequence[Stratum], command: Sequence[str]
) -> list[str]:
    """Return how the comparison was made, and what its words mean, in sentences."""
    runs = [run for stratum in strata for run in stratum.every_run()]
    last = settings.first_seed + settings.runs_each - 1
    sentences = [
        made_by(command, settings.threads),
        f"{len(runs):,} runs with the seeds {settings.first_seed} to {last}, each of at most "
        f"{settings.most} distinct configurations; searchers that no seed changes "
        f"({', '.join(sorted(DETERMINISTIC))}) run once. Results over the budget: "
        f"{sum(len(stratum.violations()) for stratum in strata)}.",
    ]
    if strata[0].scale is not None:
        sources = dict.fromkeys(stratum.source for stratum in strata)
        budgets = dict.fromkeys(str(stratum.budget) for stratum in strata)
        sentences += [
            f"Tables: {', '.join(sources)}; budgets: {', '.join(budgets)}. A run ends when it has "
            f"found the optimum; all runs took {sum(run.seconds for run in runs):,.0f} s, "
            f"{settings.workers} at a time.",
            "Regret is 0 at the optimum and 1 at the best uniform configuration; "
            "docs/how-to/benchmark.md says how searchers are compared. Intervals "
            "hold for other seeds on the same tables.",
        ]
    return sentences


def _task_facts(task: Task | None, strata: Sequence[Stratum]) -> list[str]:
    """Return what is known of a live network besides."""
    if task is None:
        return []
    score, tested = strata[0].problem.float_score, measure(task.network, task.test)
    run = strata[0].every_run()[0]
    return [
        f"Float network: validation loss {score.loss:.4f}, validation accuracy "
        f"{score.accuracy:.4f}, test accuracy {tested.accuracy:.4f}. Test accuracy is that of the "
        f"configuration with the best validation loss; no search saw the test set. Seconds are "
        f"the searcher's own time and {run.evaluator_seconds / len(run.curve):.3f} s for each "
        f"evaluation (measured), whatever other runs had left in the store.",
    ]


def draw_accuracy(strata: Sequence[Stratum], task: Task, first: str) -> bytes:
    """Return the figure of test accuracies against bytes, over all budgets of a live network."""
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.comparison import accuracy_figures as drawn

    problem = strata[0].problem
    assert isinstance(problem, Live)
    points = drawn.searched_points(strata)
    ordered = {label: points[label] for label in sorted(points, key=lambda label: label != first)}
    in_float = problem.float_score.size_bytes / 1000, measure(task.network, task.test).accuracy
    uniform = drawn.uniform_points(problem, task)
    return png(drawn.accuracy_figure(ordered, uniform, in_float, task.name))


def draw(stratum: Stratum) -> bytes:
    """Return the figure of a stratum: regrets where they are known, else losses."""
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_agents.reporting.figures import comparison_figure
    from rlquant_experiments.comparison import regret_figures

    runs = stratum.runs
    if stratum.scale is not None:
        curves = {label: [*map(stratum.curve, runs[label])] for label in stratum.ranked()}
        return png(regret_figures.regret_figure(curves, f"{stratum.name}: mean regret"))
    lines = {label: runs[label][0].score for label in runs if label == "uniform"}
    losses = {k: [run.curve for run in runs[k]] for k in stratum.ranked() if k not in lines}
    references = {"float": stratum.problem.float_score, **lines}
    title = f"{stratum.name}: best validation loss"
    return png(comparison_figure(losses, references, title))
