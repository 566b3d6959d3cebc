"""Recording reference results: the main job, table searches, and a comparison on tables.

The main job and the comparison are run by their command lines, which change least.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from rlquant import Budget, Problem, TabularProblem, load_table
from rlquant_agents import make_searcher
from rlquant_experiments.reference.results import neutral_layers

SEEDS = (0, 1, 2)
TABLES = ("digits-cnn-mixed", "fashion-mnist-resnet8")
BUDGET = 2.6
EVALUATIONS = {
    **dict.fromkeys(
        ("uniform", "knapsack", "random", "local-swap", "pairwise", "tpe", "nsga2"), 60
    ),
    "dyna-ppo": 60,
    "masked-ppo": 30,
}
"""Of each searcher on a table; the agents take most of the time."""
COMPARED = tuple(name for name in EVALUATIONS if "ppo" not in name)
"""Searchers that scripts/compare.py runs as well."""
CLOCKED = ("seconds",)
"""Columns and fields that no two runs share."""


def record() -> dict[str, Any]:
    """Run everything and return the results; takes some minutes."""
    return {
        "commit": _output("git", "rev-parse", "HEAD"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "results": {
            "main job": {f"seed {seed}": main_job(seed) for seed in SEEDS},
            "table searches": {table: table_searches(table) for table in TABLES},
            "comparison on tables": comparison_rows(),
        },
    }


def main_job(seed: int) -> dict[str, Any]:
    """Return what `make search` finds: of its searcher and of each baseline."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        _run("scripts/search.py", "--seed", str(seed), "--out", str(out), "--no-progress")
        runs = {"searched": out} | {path.name: path for path in (out / "baselines").iterdir()}
        summary = json.loads((out / "summary.json").read_text())
        return {
            "summary": [_without_time(row) for row in summary],
            **{name: _run_folder(path) for name, path in sorted(runs.items())},
        }


def _run_folder(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run and the size of its file."""
    file = folder / "model.rlq"
    return {
        "layers": neutral_layers(json.loads((folder / "config.json").read_text())),
        "file_bytes": file.stat().st_size if file.exists() else None,
    }


def table_searches(table: str) -> dict[str, Any]:
    """Return what every searcher finds on a table."""
    problem = TabularProblem(load_table(table), Budget.average_bits(BUDGET))
    return {
        name: {f"seed {seed}": _table_search(problem, name, count, seed) for seed in SEEDS}
        for name, count in EVALUATIONS.items()
    }


def _table_search(problem: Problem, name: str, evaluations: int, seed: int) -> dict[str, Any]:
    found = make_searcher(name).search(problem, evaluations, seed)
    return {
        "loss": found.score.loss,
        "accuracy": found.score.accuracy,
        "size_bytes": found.score.size_bytes,
        "layers": neutral_layers(json.loads(found.best.to_json())),
        "history": [evaluation.score.loss for evaluation in found.history],
    }


def comparison_rows() -> list[list[str]]:
    """Return the CSV of a comparison on the tables, without what clocks measured."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.md"
        _run(
            *("scripts/compare.py", "--tables", *TABLES, "--budgets", str(BUDGET)),
            *("--searchers", *COMPARED, "--seeds", str(len(SEEDS)), "--evaluations", "60"),
            *("--out", str(Path(folder) / "runs"), "--report", str(report)),
        )
        rows = list(csv.DictReader(report.with_suffix(".csv").read_text().splitlines()))
    return [[value for name, value in row.items() if name not in CLOCKED] for row in rows]


def _without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in CLOCKED}


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
