"""Find how each layer of a task's network should be quantized, within a budget.

Writes the quantized network, the evaluations and figures into a folder, and shows what baselines
find on the same evaluator. A search that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

import rlquant
from rlquant import QuantizationProblem
from rlquant.counted import counted
from rlquant.evaluation.weight_folder import remove_weights
from rlquant.executors.opening import opened, require_executor, transport_of
from rlquant.export.onnx.runtime import require_exporter
from rlquant.export.targets import INT4, INT8, MATMULNBITS
from rlquant.files import write_file
from rlquant.finished_run import FinishedRun
from rlquant.folder_lock import HeldFolder, held
from rlquant.store.place import require_no_password
from rlquant.tasks import Task
from rlquant_agents.api import search_problem
from rlquant_agents.cli.command_line import INTERRUPTED, recorded, run_command
from rlquant_agents.cli.conclusion import conclusion
from rlquant_agents.cli.config_file import RECIPE, write_recipe
from rlquant_agents.cli.export import COMPARED, FILE, export_for
from rlquant_agents.cli.final_training import FinalNetwork, final_networks, trained_name
from rlquant_agents.cli.front import front, front_text
from rlquant_agents.cli.hints import near
from rlquant_agents.cli.search_settings import ASKED, SearchSettings, chosen_searcher
from rlquant_agents.cli.search_summary import (
    Row,
    network_of,
    search_report,
    summary,
    terminal_table,
)
from rlquant_agents.cli.target_export import OWN_FORMS, TargetExport
from rlquant_agents.cli.terminal import say
from rlquant_agents.reporting import write_report
from rlquant_agents.reporting.run_files import (
    CONFIG,
    EVALUATIONS,
    MODEL,
    REPORT,
    RESULT,
    SETTINGS,
    UNIFORM,
)
from rlquant_agents.reporting.run_summary import SUMMARY
from rlquant_agents.reporting.text import wrapped
from rlquant_agents.reporting.words import decimal
from rlquant_agents.search.callbacks import Callbacks
from rlquant_agents.search.checks import whole_evaluations, whole_seed
from rlquant_agents.search.curves import best_losses
from rlquant_agents.search.loggers import make_logger
from rlquant_agents.search.result import SearchResult
from rlquant_agents.search.searcher import Searcher, make_searcher
from rlquant_agents.search.uniform import uniform_evaluations

NAME = "search"
KEPT = (SETTINGS, EVALUATIONS, CONFIG, RESULT, SUMMARY, MODEL)
"""Files of a run by which a finished search answers when it is given again."""


def run(settings: SearchSettings, command: Sequence[str]) -> int:
    """Check what can be checked before anything is loaded, then search."""
    settings = settings.sized()
    searcher = chosen_searcher(settings)
    baselines = [
        make_searcher(name, reward=settings.reward)
        for name in settings.baselines
        if name != searcher.name
    ]
    whole_evaluations(settings.evaluations)
    whole_seed(settings.seed)
    require_executor(settings.executor)
    for name in settings.log:
        make_logger(name)
    require_no_password("--store", settings.store)
    settings.budget_of(settings.limits()[1])
    settings.space()  # a mistake in the options shows before anything is loaded
    settings.source()
    settings.deployment()
    settings.require_output()
    if settings.target in (INT8, INT4, MATMULNBITS):
        require_exporter()
    with held(settings.folder(searcher.name)) as folder:
        return search_into(folder, settings, [searcher, *baselines], command)


def search_into(
    folder: HeldFolder,
    settings: SearchSettings,
    searchers: Sequence[Searcher],
    command: Sequence[str],
) -> int:
    """Run the searcher and its baselines, then write and show what was found."""
    task, searcher, out = settings.load(), searchers[0], folder.path
    store = settings.store or out.parent / "evaluations.sqlite"
    problem = settings.problem(task, settings.budget_for(task.network), store, weights=out)
    task = replace(task, network=problem.network)  # the same, and one of them in memory is enough
    say(introduction(problem, task.name, settings))

    with opened(settings.executor) as workers:
        if workers is not None:
            say(str(transport_of(workers)))
        results = searched(problem, task, settings, searchers, folder, command, workers)
    interrupted = results[-1].stopped == "interrupted"
    finals = [] if interrupted else trained(settings, problem, task, results)
    for final in finals:
        if final.name == trained_name(searcher.name):
            rlquant.save(final.network, out / "model-trained.rlq")
    rows = summary(problem, task, results, finals)
    write_down(settings, problem, task, results, rows, command, out)
    told = [
        terminal_table(rows, problem),
        *front_of(settings, problem, results, out),
        conclusion(results, near(out)),
    ]
    if settings.target in OWN_FORMS:
        told.append(exported_in_own_form(settings, problem, task, results, folder, command))
    elif settings.target != "packed" and results[0].network is not None:
        told.append(exported(settings, problem, task, results[0].network, out))
    elif settings.output is not None:
        write_file(settings.output, (out / MODEL).read_bytes())
        told.append(f"{near(settings.output)}: {settings.output.stat().st_size:,} bytes")
    said = "\n" + "\n\n".join(told)
    say(said)
    if interrupted:
        return INTERRUPTED
    remove_weights(out)
    if settings.repeatable:
        files = [*settings.files(), *(out / name for name in KEPT)]
        FinishedRun.of(command[2:], files, said).write(out)
    return 0


def write_down(
    settings: SearchSettings,
    problem: QuantizationProblem,
    task: Task,
    results: Sequence[SearchResult],
    rows: Sequence[Row],
    command: Sequence[str],
    out: Path,
) -> None:
    """Write what the run folder has of the searcher and its baselines together."""
    document = json.dumps([row.document() for row in rows], indent=2, allow_nan=False)
    write_file(out / SUMMARY, document + "\n")
    write_recipe(settings, out / RECIPE)
    if (out / REPORT).exists():
        write_report(out)  # again, as the baselines and the test set are known now
    draw_comparison(problem, results, out)
    if settings.report is not None:
        title = f"{task.name}, {problem.budget}, {settings.fidelity}"
        configs = {r.searcher: r.best for r in results if r.searcher != UNIFORM}
        configs = configs or {results[0].searcher: results[0].best}
        write_file(settings.report, search_report(rows, configs, command, title))


def searched(
    problem: QuantizationProblem,
    task: Task,
    settings: SearchSettings,
    searchers: Sequence[Searcher],
    folder: HeldFolder,
    command: Sequence[str],
    workers: Executor | None = None,
) -> list[SearchResult]:
    """Run the searcher, whose folder is given, and its baselines; stop where one is interrupted."""
    results: list[SearchResult] = []
    for searcher in searchers:
        reference = searcher.name == UNIFORM
        least = uniform_evaluations(problem, settings.evaluations) if reference else 0
        result = search_problem(
            problem,
            searcher=searcher,
            evaluations=max(settings.evaluations, least),  # the reference of all figures
            seed=settings.seed,
            out=folder if not results else folder.path / "baselines" / searcher.name,
            progress=settings.progress,
            remember={
                **settings.source().document(),
                "command": list(command),
                ASKED: settings.asked(),
            },
            refine=task.train if settings.refine else None,
            executor=workers,
            batch=settings.batch,
            callback=Callbacks([make_logger(name) for name in settings.log]),
        )
        # Networks of baselines are made again one after the other, as they are large.
        results.append(replace(result, network=None) if results else result)
        if result.stopped == "interrupted":
            break
    return results


def introduction(problem: QuantizationProblem, name: str, settings: SearchSettings) -> str:
    """Return the problem in words: layers, float network, and the range of reachable budgets."""
    feasible, score = problem.feasible, problem.float_score
    low, high = (feasible.cost.value(n) for n in (feasible.smallest, feasible.largest))
    weights = sum(facts.parameters for facts in problem.layers)
    lowest, _ = settings.limits()
    whole = "" if lowest is None else f"; the front from {lowest:g} on is searched for"
    sentences = (
        f"{name}: {counted(len(problem.layers), 'layer')} with {counted(weights, 'weight')}; "
        f"float network: "
        f"validation loss {decimal(score.loss)}, accuracy {score.accuracy:.4f}",
        f"budget: {problem.budget} (smallest reachable {low:.6g}, largest {high:.6g}){whole}",
    )
    return "\n".join(line for sentence in sentences for line in wrapped(sentence))


def trained(
    settings: SearchSettings,
    problem: QuantizationProblem,
    task: Task,
    found: Sequence[SearchResult],
) -> list[FinalNetwork]:
    """Train the best configurations for --final-epochs; nothing by default."""
    if not settings.final_epochs:
        return []
    longer = replace(settings, fidelity="trained", steps=None, epochs=settings.final_epochs)
    final = longer.problem(task, problem.budget, problem.store)
    best = {result.searcher: result.best for result in found}
    return list(final_networks(final, best, progress=settings.progress))


def exported(
    settings: SearchSettings,
    problem: QuantizationProblem,
    task: Task,
    network: nn.Module,
    out: Path,
) -> str:
    """Write the ONNX file for the target; return its size, error and latency in words."""
    table = problem.budget.table
    samples, file = problem.validation.first(COMPARED), settings.written(out, FILE)
    found = export_for(settings.target, network, samples, file, task.train, table)
    return found.text(problem.budget.limit if table else None)


def exported_in_own_form(
    settings: SearchSettings,
    problem: QuantizationProblem,
    task: Task,
    results: Sequence[SearchResult],
    folder: HeldFolder,
    command: Sequence[str],
) -> str:
    """Write a network and its card for one of `OWN_FORMS`; return their sizes in words."""
    found = results[0]
    assert found.network is not None
    uniform = {r.searcher: r for r in results[1:] if r.searcher == UNIFORM}
    shown = {**uniform, found.searcher: found}
    written = TargetExport(
        target=settings.target,
        network=found.network,
        source=settings.source_of_export(),
        base=settings.source().task,
        scores={"float": problem.float_score, **{name: r.score for name, r in shown.items()}},
        networks={
            "float": task.network,
            **{name: network_of(problem, result) for name, result in shown.items()},
        },
        command=command,
        seed=settings.seed,
    )
    return written.write(settings.written(folder.path, OWN_FORMS[settings.target].name), task)


def front_of(
    settings: SearchSettings,
    problem: QuantizationProblem,
    results: Sequence[SearchResult],
    out: Path,
) -> list[str]:
    """Write front.png and return the table of the front, where a range was searched."""
    lowest, highest = settings.limits()
    if lowest is None:
        return []
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_agents.reporting.front_figures import front_figure

    quantity, found = problem.budget.quantity, results[0]
    fronts = {
        result.searcher: [(getattr(score, quantity), score.loss) for _, score in result.pareto]
        for result in results
        if result is found or result.searcher == UNIFORM
    }
    figure = front_figure(fronts, problem.float_score.loss, quantity)
    write_file(out / "front.png", png(figure))
    uniform = next((result for result in results if result.searcher == UNIFORM), None)
    points = front(found, uniform, quantity, lowest, highest)
    return [front_text(points, found.searcher, problem)]


def draw_comparison(
    problem: QuantizationProblem, results: Sequence[SearchResult], out: Path
) -> None:
    """Write comparison.png: the searcher beside the baselines."""
    if len(results) < 2:
        return
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_agents.reporting.figures import comparison_figure

    lines = {r.searcher: r.score for r in results if r.searcher == UNIFORM}
    curves = {r.searcher: [best_losses(r.history)] for r in results if r.searcher not in lines}
    title = f"Best validation loss within {problem.budget}"
    figure = comparison_figure(curves, {"float": problem.float_score, **lines}, title)
    write_file(out / "comparison.png", png(figure))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = partial(run, command=recorded(NAME, argv))
    return run_command(SearchSettings, command, argv, __doc__, prog=f"rlquant {NAME}")
