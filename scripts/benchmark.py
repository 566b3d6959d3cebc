"""Measure how fast rlquant is, against the targets that it should reach.

Three benchmarks: `evaluation` sets an evaluation against bare forward passes of the float network,
`environment` counts steps a second where every score is known, and `search` takes the time of the
main job, scripts/search.py with its defaults.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tqdm import trange

from rlquant import Budget, QuantizationConfig, QuantizationProblem, tasks
from rlquant.errors import SettingsError
from rlquant.space import for_layer
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.command_line import run_command
from rlquant_envs import LayerwiseQuantization

BENCHMARKS = ("evaluation", "environment", "search")
EVALUATION_TARGET = 1.10
STEPS_TARGET = 4000.0
SEARCH_TARGET = 180.0
NO_LIMIT = Budget.average_bits(64.0)
WARM_UP = 3
ROUNDS = 9


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """Which benchmarks to run, and how long.

    Attributes:
        run: evaluation, environment and search, or some of them.
        task: task of the evaluation benchmark.
        configs: random configurations to evaluate.
        threads: numbers of torch threads to measure with.
        environment_task: task of the environment benchmark.
        episodes: known configurations that the environment plays through in each of nine rounds.
        search_arguments: arguments for scripts/search.py, as in --search-arguments="--seed 1".
        json: file for the figures, where wanted.
    """

    run: tuple[str, ...] = BENCHMARKS
    task: str = "fashion-mnist/resnet8"
    configs: int = 200
    threads: tuple[int, ...] = (1, 2)
    environment_task: str = "digits/resnet8"
    episodes: int = 50
    search_arguments: str = ""
    json: Path | None = None


@dataclass(frozen=True)
class Figure:
    """One measured number and what it should be.

    Attributes:
        name: what was measured.
        value: the median.
        unit: of value and target.
        target: the limit that `value` should keep.
        at_least: whether larger is better.
        detail: what stands behind the number.
    """

    name: str
    value: float
    unit: str
    target: float
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def evaluation(settings: BenchmarkSettings) -> list[Figure]:
    """Compare evaluations, weights quantized before, with forward passes of the float network."""
    found = []
    for threads in settings.threads:
        torch.set_num_threads(threads)
        task = tasks.load(settings.task)
        problem = QuantizationProblem(task.network, task.train, task.validation, budget=NO_LIMIT)
        warm_weights(problem)
        evaluated, forward = [], []
        configs = random_configs(problem, settings.configs + WARM_UP)
        for index in trange(len(configs), desc=f"evaluation, {words(threads)}", unit="pair"):
            times = paired(problem, configs[index], evaluation_first=index % 2 == 0)
            if index >= WARM_UP:
                evaluated.append(times[0])
                forward.append(times[1])
        ratios = [a / b for a, b in zip(evaluated, forward, strict=True)]
        found.append(
            Figure(
                f"evaluation of {settings.task}, {words(threads)}",
                median(ratios),
                "x forward",
                EVALUATION_TARGET,
                detail=f"{1e3 * median(evaluated):.1f} ms, forward {1e3 * median(forward):.1f} ms",
            )
        )
    return found


def words(threads: int) -> str:
    """Return a number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def warm_weights(problem: QuantizationProblem) -> None:
    """Quantize every layer at every option."""
    for name in problem.feasible.names:
        for option in problem.feasible.options:
            problem.evaluator.bank.values(for_layer(option, name))


def random_configs(problem: QuantizationProblem, count: int) -> list[QuantizationConfig]:
    """Draw configurations, each layer's option on its own."""
    generator = np.random.default_rng(0)
    shape = (count, len(problem.feasible))
    drawn = generator.integers(len(problem.feasible.options), size=shape)
    return [problem.feasible.config(row) for row in drawn]


def paired(
    problem: QuantizationProblem, config: QuantizationConfig, *, evaluation_first: bool
) -> tuple[float, float]:
    """Return the seconds of an evaluation and of the forward passes over the same batches."""
    evaluator, network = problem.evaluator, problem.network

    def forward() -> None:
        with torch.inference_mode():
            network(*evaluator.calibration.inputs)
            for batch in evaluator.batches:
                network(*batch.inputs)

    def evaluate() -> None:
        evaluator.measure(config)

    if evaluation_first:
        first = seconds(evaluate)
        return first, seconds(forward)
    first = seconds(forward)
    return seconds(evaluate), first


def seconds(work: Callable[[], None]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def environment(settings: BenchmarkSettings) -> list[Figure]:
    """Count the steps a second of episodes whose configurations are all known."""
    torch.set_num_threads(1)
    task = tasks.load(settings.environment_task)
    budget = Budget.average_bits(3.0)
    problem = QuantizationProblem(task.network, task.train, task.validation, budget=budget)
    env = LayerwiseQuantization(problem).unwrapped
    assert isinstance(env, LayerwiseQuantization)
    generator = np.random.default_rng(0)
    drawn = [problem.feasible.sample(generator) for _ in range(settings.episodes)]
    episodes = [[env.action_table.action_of[option] for option in options] for options in drawn]

    def play() -> None:
        for actions in episodes:
            env.reset()
            for action in actions:
                env.action_masks()
                env.step(action)

    play()  # measures every configuration once
    steps = sum(len(actions) for actions in episodes)
    rates = [steps / seconds(play) for _ in range(ROUNDS)]
    name = f"environment steps, {settings.environment_task}, known scores"
    detail = f"{1e6 / median(rates):.0f} us a step, masks and resets included"
    return [Figure(name, median(rates), "steps/s", STEPS_TARGET, True, detail)]


def search(settings: BenchmarkSettings) -> list[Figure]:
    """Time scripts/search.py in a process of its own, with nothing known before."""
    script = Path(__file__).with_name("search.py")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--out", f"{folder}/run", *settings.search_arguments.split()]
        command = [sys.executable, str(script), *arguments]
        start = time.perf_counter()
        ran = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        taken = time.perf_counter() - start
    if ran.returncode:
        raise SettingsError(f"scripts/search.py {' '.join(arguments)} ended with {ran.returncode}")
    name = f"scripts/search.py {settings.search_arguments}".strip()
    return [Figure(name, taken, "s", SEARCH_TARGET, detail="start of Python and figures included")]


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures for the terminal."""
    shown = Table(title=f"{os.cpu_count()} cores, torch {torch.__version__}")
    for heading in ("measured", "median", "target", "met", "detail"):
        shown.add_column(heading, justify="right" if heading in ("median", "target") else "left")
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        shown.add_row(
            figure.name,
            f"{figure.value:,.2f} {figure.unit}",
            f"{sign} {figure.target:,.2f}",
            "yes" if figure.met else "no",
            figure.detail,
        )
    return shown


def run(settings: BenchmarkSettings) -> int:
    """Run the benchmarks, show the figures and write them where that was asked for."""
    known = {"evaluation": evaluation, "environment": environment, "search": search}
    for name in settings.run:
        if name not in known:
            raise SettingsError(f"--run {name}: known benchmarks are {', '.join(known)}")
    if settings.configs < 1 or settings.episodes < 1 or min(settings.threads, default=0) < 1:
        raise SettingsError("--configs, --episodes and --threads need numbers of at least 1")
    if settings.json is not None:
        make_folder(settings.json.parent)
    figures = [figure for name in settings.run for figure in known[name](settings)]
    Console(width=None if sys.stdout.isatty() else 140).print(table(figures))
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


if __name__ == "__main__":
    sys.exit(main())
