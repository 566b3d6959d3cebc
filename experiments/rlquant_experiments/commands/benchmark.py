"""Measure how fast rlquant is, against the targets that it should reach.

`evaluation` sets an evaluation against bare forward passes of the float network, and what
configurations share against the bound that their prefixes set, `environment`
counts steps a second where every score is known, `training` sets training steps and tuned
evaluations against float training, `assignment` takes the time in which one layer's weights are
assigned, `export` sets packing and loading against copies and exported networks against those of
onnxruntime's own quantizer, and `search` takes the time of the main job, `rlquant search` with
its defaults. `language-model`, if named, sets construction, evaluations and memory of a pretrained
transformer against its forward pass, `gguf` times the types and the export of GGUF files, and
`store` counts the evaluations that four processes record in the store of --store.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from rich.table import Table

from rlquant.errors import SettingsError
from rlquant.files import make_folder, write_file
from rlquant_agents.cli.command_line import run_command
from rlquant_agents.cli.terminal import rich_table, show
from rlquant_experiments.benchmarks.assignment import assignment
from rlquant_experiments.benchmarks.encoding import encoding, writing
from rlquant_experiments.benchmarks.environment import environment
from rlquant_experiments.benchmarks.episodes import episodes
from rlquant_experiments.benchmarks.evaluation import evaluation
from rlquant_experiments.benchmarks.figure import Figure
from rlquant_experiments.benchmarks.language_model import language_model
from rlquant_experiments.benchmarks.memory import memory
from rlquant_experiments.benchmarks.onnx_speed import onnx_speed
from rlquant_experiments.benchmarks.packing import packing
from rlquant_experiments.benchmarks.sharing import sharing
from rlquant_experiments.benchmarks.stores import stores
from rlquant_experiments.benchmarks.training import training

BENCHMARKS = ("evaluation", "environment", "training", "assignment", "export", "search")
LANGUAGE_MODEL, GGUF, STORE = "language-model", "gguf", "store"
"""Not among those by default: their network has to be fetched, or a server to run."""
SEARCH_TARGET = 180.0


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """Which benchmarks to run, and how long.

    Attributes:
        run: evaluation, environment, training, assignment, export and search, or some of them; or
            language-model, gguf or store.
        task: task of the evaluation, training and assignment benchmarks.
        configs: random configurations to evaluate.
        shared_tasks: tasks to enumerate (every layer on its own; in groups by stage where it has
            stages) and for the sensitivity pass.
        swaps: evaluations of local search and of masked PPO.
        threads: numbers of torch threads to measure with.
        environment_task: task of the environment benchmark.
        episodes: known configurations that the environment plays through in each of nine rounds.
        steps: paired steps of each way to train a layer.
        tuned: tuned evaluations to time.
        warm: configurations a budget on which warm and cold starts are compared; 0 for none.
        codes: how many are packed and unpacked.
        width: of the four square layers of a network that is loaded.
        export_task: task whose network is exported.
        language_task: task of the language-model benchmark, which any pretrained network may be of.
        language_samples: its samples of calibration, and as many of validation; of the language
            model 4,096 tokens each.
        pairs: of evaluations of it.
        store: new store of the store benchmark, the path of an SQLite file or the URL of a
            PostgreSQL database.
        search_arguments: arguments for `rlquant search`, as in --search-arguments="--seed 1".
        json: file for the figures, where wanted.
    """

    run: tyro.conf.Positional[tuple[str, ...]] = BENCHMARKS
    task: str = "fashion-mnist/resnet8"
    configs: int = 200
    shared_tasks: tuple[str, str, str] = (
        "digits/cnn",
        "fashion-mnist/resnet8",
        "fashion-mnist/resnet14",
    )
    swaps: int = 300
    threads: tuple[int, ...] = (1, 2)
    environment_task: str = "digits/resnet8"
    episodes: int = 50
    steps: int = 40
    tuned: int = 12
    warm: int = 12
    codes: int = 2**24
    width: int = 2500
    export_task: str = "fashion-mnist/resnet14"
    language_task: str = "smollm2-135m"
    language_samples: int = 16
    pairs: int = 5
    search_arguments: str = ""
    store: str | None = None
    json: Path | None = None


def evaluation_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Set evaluations against forward passes, plain ones, and what the published systems do."""
    return [
        *evaluation(settings.task, settings.configs, settings.threads),
        *sharing(settings.shared_tasks, settings.swaps),
        *episodes(settings.task, settings.swaps),
        *memory(settings.task, max(1, settings.configs // 5)),
    ]


def environment_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Count the environment's steps."""
    return environment(settings.environment_task, settings.episodes)


def training_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Set training against float training."""
    return training(settings.task, settings.steps, settings.tuned, settings.warm)


def assignment_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Time the assignment of one layer's weights."""
    return assignment(settings.task)


def export_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Time packed files and exported networks."""
    return [*packing(settings.codes, settings.width), *onnx_speed(settings.export_task)]


def search_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Time `rlquant search` in a process of its own, with nothing known before."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--out", f"{folder}/run", *settings.search_arguments.split()]
        command = [sys.executable, "-m", "rlquant", "search", *arguments]
        start = time.perf_counter()
        ran = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        taken = time.perf_counter() - start
    if ran.returncode:
        raise SettingsError(f"rlquant search {' '.join(arguments)} ended with {ran.returncode}")
    name = f"rlquant search {settings.search_arguments}".strip()
    return [Figure(name, taken, "s", SEARCH_TARGET, detail="start of Python and figures included")]


def language_model_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Set construction, evaluations and memory of a language model against its forward pass."""
    return language_model(settings.language_task, settings.pairs, settings.language_samples)


def gguf_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Time the types and the export of GGUF files."""
    return [*encoding(), *writing()]


def store_benchmark(settings: BenchmarkSettings) -> list[Figure]:
    """Count the evaluations that processes record in a second."""
    if settings.store is None:
        raise SettingsError("store: which one? give --store, a path or the URL of a database")
    return stores(settings.store)


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures for the terminal."""
    rows = [
        (
            figure.name,
            f"{figure.value:,.2f} {figure.unit}",
            f"{'>=' if figure.at_least else '<='} {figure.target:,.2f}",
            "yes" if figure.met else "no",
            figure.detail,
        )
        for figure in figures
    ]
    title = f"{os.cpu_count()} cores, torch {torch.__version__}"
    return rich_table(title, ("measured", "median", "target", "met", "detail"), rows, "lrrll")


def run(settings: BenchmarkSettings) -> int:
    """Run the benchmarks, show the figures and write them where that was asked for."""
    known = {
        "evaluation": evaluation_benchmark,
        "environment": environment_benchmark,
        "training": training_benchmark,
        "assignment": assignment_benchmark,
        "export": export_benchmark,
        "search": search_benchmark,
        LANGUAGE_MODEL: language_model_benchmark,
        GGUF: gguf_benchmark,
        STORE: store_benchmark,
    }
    for name in settings.run:
        if name not in known:
            raise SettingsError(f"{name}: known benchmarks are {', '.join(known)}")
    counts = (
        *(settings.configs, settings.swaps, settings.episodes, settings.steps, settings.tuned),
        *(settings.codes, settings.width, settings.pairs),
    )
    if min(*counts, *(settings.threads or (0,))) < 1:
        raise SettingsError(
            "--configs, --swaps, --episodes, --steps, --tuned, --codes, --width, --pairs and "
            "--threads need numbers of at least 1"
        )
    if settings.json is not None:
        make_folder(settings.json.parent)
    figures = [figure for name in settings.run for figure in known[name](settings)]
    show(table(figures), width=140)
    if settings.json is not None:
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        document = {"machine": machine, "figures": [asdict(f) | {"met": f.met} for f in figures]}
        write_file(settings.json, json.dumps(document, indent=2) + "\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    return run_command(BenchmarkSettings, run, argv, __doc__)
