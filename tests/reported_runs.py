"""Small searches whose folders and reports several test files look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from problems import problem
from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents import SearchResult, search_problem
from rlquant_agents.reporting.run_files import RunFiles, read_run
from small_networks import trained

MIXED = SearchSpace(
    bits=(2, 4, 8),
    method=("post_training", "ternary", "float"),
    points=("clipped", "kmeans"),
    activation_bits=(None, 8),
    exclude=("classifier",),
)


def live_problem(**other: Any) -> QuantizationProblem:
    """A network with BatchNorm, biases and a layer that is not searched."""
    settings = {"space": MIXED, "budget": Budget.average_bits(8.0), **other}
    return problem("conv", trained("conv"), **settings)


def searched(out: Path, problem: Any = None, **other: Any) -> SearchResult:
    """Search into a folder; four layers of a toy unless another problem is given."""
    settings: dict[str, Any] = {"searcher": "local-swap", "evaluations": 40, "seed": 1, **other}
    return search_problem(problem or ToyProblem(4), out=out, **settings)


def run_of(out: Path, problem: Any = None, **other: Any) -> RunFiles:
    """Search into a folder and read it."""
    searched(out, problem, **other)
    return read_run(out)


def changed(path: Path, change: Callable[[Any], None]) -> None:
    """Change what a JSON file holds."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
