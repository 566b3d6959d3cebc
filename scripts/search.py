"""Find how each layer of a task's network should be quantized, within a budget.

Writes the quantized network, the evaluations and figures into a folder, and shows what baselines
find on the same evaluator. A search that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rlquant import QuantizationProblem, Score, measure
from rlquant.tasks import Task
from rlquant.whole_files import make_folder, write_file
from rlquant_agents import Searcher, SearchResult, make_searcher, search_problem
from rlquant_agents.arguments import whole_evaluations, whole_seed
from rlquant_agents.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.comparison import best_losses
from rlquant_agents.result import STOPPED
from rlquant_agents.task_settings import TaskSettings

HEADINGS = (
    "val. loss",
    "val. acc.",
    "test loss",
    "test acc.",
    "average bits",
    "bytes",
    "evaluations",
)


@dataclass(frozen=True, kw_only=True)
class SearchSettings(TaskSettings):
    """A search and its baselines.

    Attributes:
        budget: the limit, in units of --quantity.
        searcher: masked-ppo, ppo, tpe, nsga2, random, uniform, knapsack or local-swap.
        agent: folder of an agent that scripts/train_agent.py wrote; searches instead of --searcher.
        baselines: searchers to run beside it, each with as many evaluations; give none to skip.
        evaluations: distinct configurations that each searcher may measure.
        seed: of the searches; the same seed gives the same result.
        reward: what makes a configuration better: log_loss, loss or accuracy.
        out: folder to write; by default runs/<task>-<searcher>-<budget>-seed<seed>.
        store: file that keeps every evaluation; by default evaluations.sqlite beside the folder,
            shared by all searches there.
        progress: show progress bars.
    """

    budget: float = 3.0
    searcher: str = "masked-ppo"
    agent: Path | None = None
    baselines: tuple[str, ...] = ("uniform", "random", "tpe", "knapsack")
    evaluations: int = 200
    seed: int = 0
    reward: str = "log_loss"
    out: Path | None = None
    store: Path | None = None
    progress: bool = True

    def folder(self, searcher: str) -> Path:
        """Return the folder to write."""
        budget = self.budget_name(self.budget)
        return self.out or Path("runs") / f"{self.file_name}-{searcher}-{budget}-seed{self.seed}"


@dataclass(frozen=True)
class Row:
    """A network in the summary; the test set is looked at here only, for final networks."""

    name: str
    score: Score
    test_loss: float
    test_accuracy: float
    evaluations: int | None = None

    def document(self) -> dict[str, Any]:
        """Return the row as it stands in summary.json; null for a loss that is not finite."""
        return {
            "name": self.name,
            "score": json.loads(self.score.to_json()),
            "test_loss": self.test_loss if math.isfinite(self.test_loss) else None,
            "test_accuracy": self.test_accuracy,
            "evaluations": self.evaluations,
        }


def run(settings: SearchSettings, command: Sequence[str]) -> int:
    """Search, run the baselines, then write and show what was found."""
    searcher = chosen_searcher(settings)
    baselines = [
        make_searcher(name, reward=settings.reward)
        for name in settings.baselines
        if name != searcher.name
    ]
    evaluations, seed = whole_evaluations(settings.evaluations), whole_seed(settings.seed)
    budget, out = settings.budget_of(settings.budget), settings.folder(searcher.name)
    settings.space()  # a mistake in the options shows before anything is loaded
    make_folder(out)
    task = settings.load()
    problem = settings.problem(task, budget, settings.store or out.parent / "evaluations.sqlite")
    print(introduction(problem, settings))

    results = []
    for each in (searcher, *baselines):
        result = search_problem(
            problem,
            searcher=each,
            evaluations=evaluations,
            seed=seed,
            out=out if each is searcher else out / "baselines" / each.name,
            progress=settings.progress,
            remember={"task": settings.task, "command": list(command)},
        )
        results.append(result)
        if result.stopped == "interrupted":
            break
    rows = summary(problem, task, results)
    document = json.dumps([row.document() for row in rows], indent=2, allow_nan=False)
    write_file(out / "summary.json", document + "\n")
    draw_comparison(problem, results, out)
    Console(width=None if sys.stdout.isatty() else 110).print(table(rows, problem))
    print(conclusion(results, out))
    return INTERRUPTED if results[-1].stopped == "interrupted" else 0


def chosen_searcher(settings: SearchSettings) -> Searcher:
    """Return the trained agent where one is given, else the searcher of that name."""
    if settings.agent is None:
        return make_searcher(settings.searcher, reward=settings.reward)
    from rlquant_agents.saved_agent import from_agent  # needs Stable-Baselines3

    return replace(from_agent(settings.agent), reward=settings.reward)


def introduction(problem: QuantizationProblem, settings: SearchSettings) -> str:
    """Say what is searched, and between which values a budget makes sense."""
    feasible, score = problem.feasible, problem.float_score
    low, high = (feasible.cost.value(n) for n in (feasible.smallest, feasible.largest))
    weights = sum(facts.parameters for facts in problem.layers)
    return (
        f"{settings.task}: {len(problem.layers)} layers with {weights:,} weights; float network: "
        f"validation loss {score.loss:.4f}, accuracy {score.accuracy:.4f}\n"
        f"budget: {problem.budget} (smallest reachable {low:.6g}, largest {high:.6g})"
    )


def summary(problem: QuantizationProblem, task: Task, results: Sequence[SearchResult]) -> list[Row]:
    """Measure the final networks on the test set: float first, the searcher last."""
    tested = measure(problem.network, task.test)
    rows = [Row("float", problem.float_score, tested.loss, tested.accuracy)]
    for result in (*results[1:], results[0]):
        assert result.network is not None
        tested = measure(result.network, task.test)
        rows.append(
            Row(
                result.searcher,
                result.score,
                tested.loss,
                tested.accuracy,
                len(result.history),
            )
        )
    return rows


def table(rows: Sequence[Row], problem: QuantizationProblem) -> Table:
    """Return the summary for the terminal."""
    shown = Table(title=f"Best within {problem.budget}")
    shown.add_column("network")
    for heading in HEADINGS:
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(
            row.name,
            f"{row.score.loss:.4f}",
            f"{row.score.accuracy:.4f}",
            f"{row.test_loss:.4f}",
            f"{row.test_accuracy:.4f}",
            f"{row.score.average_bits:.3f}",
            f"{row.score.size_bytes:,}",
            "" if row.evaluations is None else str(row.evaluations),
            style="bold" if row is rows[-1] else None,
        )
    return shown


def draw_comparison(
    problem: QuantizationProblem, results: Sequence[SearchResult], out: Path
) -> None:
    """Write comparison.png: the searcher beside the baselines."""
    if len(results) < 2:
        return
    from rlquant_agents import figures  # matplotlib imports slowly

    lines = {r.searcher: r.score for r in results if r.searcher == "uniform"}
    curves = {r.searcher: [best_losses(r.history)] for r in results if r.searcher not in lines}
    title = f"Best validation loss within {problem.budget}"
    figure = figures.comparison_figure(curves, {"float": problem.float_score, **lines}, title)
    write_file(out / "comparison.png", figures.png(figure))


def conclusion(results: Sequence[SearchResult], out: Path) -> str:
    """Say why the search ended, where everything is, and what to type next."""
    first = results[0]
    lines = [f"{r.searcher}: {note}" for r in results for note in r.notes]
    lines += [
        f"{first.searcher}: {STOPPED[first.stopped]}",
        f"written to {out}: model.rlq (the quantized network), config.json, evaluations, figures",
        f"see the curves: python -m tensorboard.main --logdir {out.parent}",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(SearchSettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
