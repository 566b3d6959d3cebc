"""Summary tables of a search and its baselines, for the terminal and for a report."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rlquant import QuantizationConfig, QuantizationProblem, Score, measure
from rlquant.escaping import markdown_table, printable
from rlquant.tasks import Task
from rlquant_agents.cli.final_training import FinalNetwork
from rlquant_agents.reporting.text import aligned
from rlquant_agents.reporting.words import decimal
from rlquant_agents.search.result import SearchResult

HEADINGS = (
    "val. loss",
    "val. acc.",
    "test loss",
    "test acc.",
    "average bits",
    "bytes",
    "evals",
)


@dataclass(frozen=True)
class Row:
    """A network in the summary; the test set is looked at here only, for final networks."""

    name: str
    score: Score
    test_loss: float
    test_accuracy: float
    evaluations: int | None = None

    @classmethod
    def of(
        cls, name: str, score: Score, network: nn.Module, task: Task, evaluations: int | None = None
    ) -> Row:
        """Measure a network on the test set."""
        tested = measure(network, task.test, objective=task.objective, float_network=task.network)
        return cls(name, score, tested.loss, tested.accuracy, evaluations)

    def document(self) -> dict[str, Any]:
        """Return the row as it stands in summary.json; null for a loss that is not finite."""
        return {
            "name": self.name,
            "score": json.loads(self.score.to_json()),
            "test_loss": self.test_loss if math.isfinite(self.test_loss) else None,
            "test_accuracy": self.test_accuracy,
            "evaluations": self.evaluations,
        }

    def cells(self) -> list[str]:
        """Return the row as it is shown."""
        return [
            self.name,
            decimal(self.score.loss),
            f"{self.score.accuracy:.4f}",
            decimal(self.test_loss),
            f"{self.test_accuracy:.4f}",
            f"{self.score.average_bits:.3f}",
            f"{self.score.size_bytes:,}",
            "" if self.evaluations is None else str(self.evaluations),
        ]


def summary(
    problem: QuantizationProblem,
    task: Task,
    results: Sequence[SearchResult],
    finals: Iterable[FinalNetwork] = (),
) -> list[Row]:
    """Measure the final networks on the test set: float first, the searcher last.

    Args:
        problem: what was searched.
        task: has the test set.
        results: of the searcher, then of the baselines.
        finals: networks that were trained after the search.
    """
    rows = [Row.of("float", problem.float_score, problem.network, task)]
    trained = [Row.of(final.name, final.score, final.network, task) for final in finals]
    for result in (*results[1:], results[0]):
        name, count = result.searcher, len(result.history)
        rows.append(Row.of(name, result.score, network_of(problem, result), task, count))
    return [*rows[:-1], *trained, rows[-1]]


def network_of(problem: QuantizationProblem, result: SearchResult) -> nn.Module:
    """Return the network of a result, made again where the result does not hold it."""
    return problem.build(result.best) if result.network is None else result.network


def terminal_table(rows: Sequence[Row], problem: QuantizationProblem) -> str:
    """Return the summary for the terminal, in 80 columns."""
    above = [heading.replace("average", "avg.").rpartition(" ") for heading in HEADINGS]
    lines = [["", *(first for first, _, _ in above)], ["", *(last for _, _, last in above)]]
    lines += [row.cells() for row in rows]
    return "\n".join([f"Best within {problem.budget}:", "", *aligned(map(tuple, lines), left=1)])


def summary_table(rows: Sequence[Row]) -> str:
    """Return the summary as Markdown."""
    return markdown_table(["network", *HEADINGS], [row.cells() for row in rows])


def search_report(
    rows: Sequence[Row],
    configs: Mapping[str, QuantizationConfig],
    command: Sequence[str],
    title: str,
) -> str:
    """Return the summary, the mixes and every layer's choices as Markdown.

    Args:
        rows: of the summary.
        configs: the best configuration by searcher, at least one.
        command: that made it.
        title: of the report.
    """
    return "\n\n".join(
        [
            f"# {title}",
            f"Made by\n\n    {printable(shlex.join(command))}",
            f"with torch {torch.__version__} on {os.cpu_count()} cores.",
            summary_table(rows),
            "What was chosen (methods; points; roundings of layers that are not ternary):",
            "\n".join(f"- **{name}**: {mix(config)}" for name, config in configs.items()),
            choices_table(configs),
            "",
        ]
    )


def choices_table(configs: Mapping[str, QuantizationConfig]) -> str:
    """Return the choices of several configurations, layer by layer, as Markdown."""
    layers = [choice.layer for choice in next(iter(configs.values()))]
    rows = [[layer, *(describe(config, layer) for config in configs.values())] for layer in layers]
    return markdown_table(["layer", *configs], rows)


def describe(config: QuantizationConfig, layer: str) -> str:
    """Return a layer's choice in words."""
    choice = config[layer]
    if choice.method in ("float", "ternary"):
        return choice.method
    words = [f"{choice.bits} bits", choice.points, choice.method.replace("_", "-")]
    if choice.group_size != "channel":
        words.append(choice.group_in_words)
    return ", ".join([*words, *(["stochastic"] if choice.rounding == "stochastic" else [])])


def mix(config: QuantizationConfig) -> str:
    """Return how often each method, rounding and kind of points was chosen, in words."""
    quantized = [choice for choice in config if choice.method in ("post_training", "distilled")]
    parts: list[Counter[str]] = [
        Counter(c.method for c in config),
        Counter(c.points for c in quantized),
        Counter(c.rounding for c in quantized),
    ]
    if any(choice.group_size != "channel" for choice in quantized):
        parts.append(Counter(choice.group_in_words for choice in quantized))
    return "; ".join(", ".join(f"{n} {word}" for word, n in part.most_common()) for part in parts)
