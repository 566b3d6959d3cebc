"""Find how each layer of a task's network should be quantized, within a budget.

Writes the quantized network, the evaluations and figures into a folder, and shows what baselines
find on the same evaluator. A search that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

import rlquant
from rlquant import Budget, QuantizationProblem
from rlquant.errors import SettingsError
from rlquant.escaping import printable
from rlquant.export.onnx.runtime import require_exporter
from rlquant.files import write_file
from rlquant.folder_lock import HeldFolder, held
from rlquant.tasks import Task
from rlquant_agents import Searcher, SearchResult, make_searcher, search_problem
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, near, run_command
from rlquant_agents.cli.final_training import FinalNetwork, final_networks, trained_name
from rlquant_agents.cli.search_summary import (
    Row,
    choices_table,
    mix,
    summary,
    summary_table,
    terminal_table,
)
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.cli.terminal import say, show
from rlquant_agents.reporting.run_files import REPORT
from rlquant_agents.search.checks import whole_evaluations, whole_seed
from rlquant_agents.search.curves import best_losses
from rlquant_agents.search.result import STOPPED
from rlquant_agents.search.uniform import uniform_evaluations

COMPARED = 256
"""Samples on which an exported network is compared with PyTorch's."""
UNIFORM = "uniform"
"""The searcher of the reference; it is no baseline."""
PRETRAINED = "pretrained"
"""Names the agent that comes with the package; a folder of that name is meant by ./pretrained."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings(TaskSettings):
    """A search and its baselines.

    Attributes:
        budget: the limit, in units of --quantity.
        budgets: a whole range of limits instead, as in 2.3..6: one agent (dyna-ppo) searches for
            the front between them, and --budget is the largest.
        searcher: auto for what suits, or a name out of `rlquant_agents.searchers()`, such as
            dyna-ppo, masked-ppo, tpe, knapsack, local-swap or random.
        agent: folder of an agent that scripts/train_agent.py wrote, or "pretrained" for the one
            that comes with rlquant and has learnt on other networks; instead of --searcher.
        baselines: searchers to run beside it, each with as many evaluations; give none to skip.
        evaluations: distinct configurations that each searcher may measure.
        seed: of the searches; the same seed gives the same result.
        reward: what makes a configuration better: log_loss, loss or accuracy.
        final_epochs: train what was found for so many epochs at the end, beside uniform and
            ternary networks of the same budget, and write model-trained.rlq; 0 for not at all.
        refine: assign the weights of what was found again in the end, in execution order and, for
            rounding learned, across layers by the network's loss.
        report: Markdown file for the results and every layer's choice, where wanted.
        out: folder to write; by default runs/<task>-<searcher>-<budget>-seed<seed>.
        store: file that keeps every evaluation; by default evaluations.sqlite beside the folder,
            shared by all searches there.
        progress: show progress bars.
    """

    budget: float = 3.0
    budgets: str | None = None
    searcher: str = "auto"
    agent: str | None = None
    baselines: tuple[str, ...] = ("uniform", "random", "tpe", "knapsack")
    evaluations: int = 200
    seed: int = 0
    reward: str = "log_loss"
    final_epochs: int = 0
    refine: bool = False
    report: Path | None = None
    out: Path | None = None
    store: Path | None = None
    progress: bool = True

    def limits(self) -> tuple[float | None, float]:
        """Return the smallest limit of a whole range, None for one limit alone, and the largest.

        Raises:
            SettingsError: a range that is none.
        """
        if self.budgets is None:
            return None, self.budget
        low, dots, high = self.budgets.partition("..")
        try:
            lowest, highest = float(low), float(high)
        except ValueError:
            lowest = highest = 0.0
        if not dots or not 0 < lowest < highest:
            raise SettingsError(
                f"--budgets {self.budgets!r}: give the smallest and the largest limit, as in 2.3..6"
            )
        return lowest, highest

    def folder(self, searcher: str) -> Path:
        """Return the folder to write."""
        budget = self.budgets or self.budget_name(self.budget)
        return self.out or Path("runs") / f"{self.file_name}-{searcher}-{budget}-seed{self.seed}"


def run(settings: SearchSettings, command: Sequence[str]) -> int:
    """Check what can be checked before anything is loaded, then search."""
    searcher = chosen_searcher(settings)
    baselines = [
        make_searcher(name, reward=settings.reward)
        for name in settings.baselines
        if name != searcher.name
    ]
    whole_evaluations(settings.evaluations)
    whole_seed(settings.seed)
    budget = settings.budget_of(settings.limits()[1])
    settings.space()  # a mistake in the options shows before anything is loaded
    if settings.target != "packed":
        require_exporter()
    with held(settings.folder(searcher.name)) as folder:
        return search_into(folder, settings, [searcher, *baselines], budget, command)


def search_into(
    folder: HeldFolder,
    settings: SearchSettings,
    searchers: Sequence[Searcher],
    budget: Budget,
    command: Sequence[str],
) -> int:
    """Run the searcher and its baselines, then write and show what was found."""
    task, searcher, out = settings.load(), searchers[0], folder.path
    problem = settings.problem(task, budget, settings.store or out.parent / "evaluations.sqlite")
    say(introduction(problem, settings))

    results = []
    for each in searchers:
        least = uniform_evaluations(problem, settings.evaluations) if each.name == UNIFORM else 0
        result = search_problem(
            problem,
            searcher=each,
            evaluations=max(settings.evaluations, least),  # the reference of all figures
            seed=settings.seed,
            out=folder if each is searcher else out / "baselines" / each.name,
            progress=settings.progress,
            remember={"task": settings.task, "command": list(command)},
            refine=task.train if settings.refine else None,
        )
        results.append(result)
        if result.stopped == "interrupted":
            break
    interrupted = results[-1].stopped == "interrupted"
    finals = [] if interrupted else trained(settings, problem, task, results)
    for final in finals:
        if final.name == trained_name(searcher.name):
            rlquant.save(final.network, out / "model-trained.rlq")
    rows = summary(problem, task, results, finals)
    document = json.dumps([row.document() for row in rows], indent=2, allow_nan=False)
    write_file(out / "summary.json", document + "\n")
    draw_comparison(problem, results, out)
    show(terminal_table(rows, problem), width=110)
    if settings.report is not None:
        title = f"{settings.task}, {problem.budget}, {settings.fidelity}"
        write_file(settings.report, report(rows, results, command, title))
    say(conclusion(results, near(out)))
    if settings.target != "packed" and results[0].network is not None:
        say(delivered(settings, problem, task, results[0].network, out))
    return INTERRUPTED if interrupted else 0


def chosen_searcher(settings: SearchSettings) -> Searcher:
    """Return the agent for a range of limits or the one that is given, else by its name."""
    lowest, _ = settings.limits()
    if lowest is not None and (
        settings.agent not in (None, PRETRAINED) or settings.searcher not in ("auto", "dyna-ppo")
    ):
        raise SettingsError(
            "--budgets is for one agent that serves all of them, dyna-ppo; leave out --agent and "
            "--searcher, or give one --budget"
        )
    if lowest is not None or settings.agent == PRETRAINED:
        return make_searcher("dyna-ppo", reward=settings.reward, lowest=lowest)
    if settings.agent is None:
        return make_searcher(settings.searcher, reward=settings.reward)
    from rlquant_agents.policies.saved_agent import from_agent  # needs Stable-Baselines3

    return replace(from_agent(settings.agent), reward=settings.reward)


def introduction(problem: QuantizationProblem, settings: SearchSettings) -> str:
    """Say what is searched, and between which values a budget makes sense."""
    feasible, score = problem.feasible, problem.float_score
    low, high = (feasible.cost.value(n) for n in (feasible.smallest, feasible.largest))
    weights = sum(facts.parameters for facts in problem.layers)
    lowest, _ = settings.limits()
    whole = "" if lowest is None else f"; the front from {lowest:g} on is searched for"
    return (
        f"{settings.task}: {len(problem.layers)} layers with {weights:,} weights; float network: "
        f"validation loss {score.loss:.4f}, accuracy {score.accuracy:.4f}\n"
        f"budget: {problem.budget} (smallest reachable {low:.6g}, largest {high:.6g}){whole}"
    )


def trained(
    settings: SearchSettings,
    problem: QuantizationProblem,
    task: Task,
    found: Sequence[SearchResult],
) -> list[FinalNetwork]:
    """Train what was found and its baselines for --final-epochs; nothing by default."""
    if not settings.final_epochs:
        return []
    longer = replace(settings, fidelity="trained", steps=None, epochs=settings.final_epochs)
    final = longer.problem(task, problem.budget, problem.store)
    best = {result.searcher: result.best for result in found}
    return list(final_networks(final, best, progress=settings.progress))


def report(
    rows: Sequence[Row], results: Sequence[SearchResult], command: Sequence[str], title: str
) -> str:
    """Return the summary, the mixes and every layer's choices as Markdown."""
    baselines = {r.searcher: r.best for r in results if r.searcher != UNIFORM}
    searched = baselines or {r.searcher: r.best for r in results}
    return "\n\n".join(
        [
            f"# {title}",
            f"Made by\n\n    {printable(shlex.join(command))}",
            f"with torch {torch.__version__} on {os.cpu_count()} cores.",
            summary_table(rows),
            "What was chosen (methods; points; roundings of layers that are not ternary):",
            "\n".join(f"- **{name}**: {mix(config)}" for name, config in searched.items()),
            choices_table(searched),
            "",
        ]
    )


def delivered(
    settings: SearchSettings,
    problem: QuantizationProblem,
    task: Task,
    network: torch.nn.Module,
    out: Path,
) -> str:
    """Write model.onnx for the target, and say how large, how exact and how fast it is."""
    from rlquant_agents.cli.delivered import FILE, deliver  # needs onnxruntime

    table = problem.budget.table
    samples = problem.validation.first(COMPARED)
    found = deliver(network, samples, out / FILE, settings.target, task.train, table)
    return found.text(problem.budget.limit if table else None)


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


def conclusion(results: Sequence[SearchResult], out: Path) -> str:
    """Say why the search ended, where everything is, and what to type next."""
    first = results[0]
    lines = [f"{r.searcher}: {note}" for r in results for note in r.notes]
    lines += [
        f"{first.searcher}: {STOPPED[first.stopped]}",
        f"written to {out}: model.rlq (the quantized network), config.json, evaluations, figures",
        *report_of(results, out),
        f"see the curves: python -m tensorboard.main --logdir {out.parent}",
    ]
    return "\n".join(lines)


def report_of(results: Sequence[SearchResult], out: Path) -> list[str]:
    """Say where the report is, and how the baselines come into it."""
    if not (out / REPORT).exists():
        return []
    more = f"; with the baselines: python scripts/report.py {out} --against {out}/baselines/*"
    return [f"report: {out / REPORT}{more if len(results) > 1 else ''}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(SearchSettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
