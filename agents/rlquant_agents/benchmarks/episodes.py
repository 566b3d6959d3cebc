"""A search by PPO against the way the published systems evaluate: everything anew each episode."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rlquant import Budget, QuantizationConfig, QuantizationProblem, Racing, tasks
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.measure import run_batches
from rlquant.layers import copy_network
from rlquant.network.calibrate import calibrate
from rlquant.network.weights import quantize_weight
from rlquant_agents.benchmarks.figure import Figure, seconds
from rlquant_agents.result import SearchResult
from rlquant_agents.searcher import make_searcher
from rlquant_agents.session import Callback, Session

BUDGET = Budget.average_bits(3.0)
ANEW = 30
"""So many of the configurations are evaluated anew, spread over the search."""


def episodes(task_name: str, evaluations: int) -> list[Figure]:
    """Time the evaluations of a search by masked PPO, whole ones and with racing.

    Args:
        task_name: a task's name.
        evaluations: of each search.
    """
    torch.set_num_threads(1)
    found = []
    for racing, target, name in ((None, 1.3, "exactly"), (Racing(), 3.0, "with racing")):
        search = TimedSearch(task_name, racing, evaluations)
        result = search.run(0)
        partial = sum(evaluation.score.partial for evaluation in result.history)
        detail = (
            f"{1e3 * search.seconds / evaluations:.0f} ms each, anew "
            f"{1e3 * fmean(search.anew):.0f} ms; {partial} partial; best loss "
            f"{result.score.loss:.4f}"
        )
        ratio = fmean(search.anew) * evaluations / search.seconds
        title = f"{evaluations} evaluations of masked PPO, {task_name}, {name}"
        found.append(Figure(title, ratio, "x anew", target, True, detail))
    return found


class TimedSearch(Callback):
    """A search that adds up what its evaluations take, and evaluates some of them anew as well.

    Args:
        task_name: a task's name.
        racing: how evaluations end early, if they do.
        evaluations: of the search.
    """

    def __init__(self, task_name: str, racing: Racing | None, evaluations: int) -> None:
        task = tasks.load(task_name)
        self.problem = QuantizationProblem(
            task.network, task.train, task.validation, budget=BUDGET, racing=racing
        )
        self._evaluations = evaluations
        self._stride = max(1, evaluations // ANEW)
        self._bar = tqdm(total=evaluations, desc="masked PPO")
        self.seconds, self.anew = 0.0, list[float]()

    def run(self, seed: int) -> SearchResult:
        """Search; the evaluator is clocked while it lasts."""
        evaluator = self.problem.evaluator
        assert isinstance(evaluator, Evaluator)
        for name in ("measure", "race"):
            setattr(evaluator, name, self._clocked(getattr(evaluator, name)))
        with self._bar:
            return make_searcher("masked-ppo").search(self.problem, self._evaluations, seed, self)

    def _clocked(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **keywords: Any) -> Any:
            before, start = self.seconds, time.perf_counter()
            found = work(*args, **keywords)
            # not added up: a race may measure its rival first, which is clocked as well
            self.seconds = before + time.perf_counter() - start
            return found

        return timed

    def on_evaluation(self, session: Session, evaluation: object) -> None:
        """Evaluate every so many configurations anew."""
        self._bar.update(1)
        latest = session.history[-1]
        if latest.number % self._stride == 0:
            self.anew.append(seconds(lambda: evaluate_anew(self.problem, latest.config)))


def evaluate_anew(problem: QuantizationProblem, config: QuantizationConfig) -> float:
    """Copy the network, quantize every layer, calibrate, run all batches; return the loss."""
    evaluator = problem.evaluator
    assert isinstance(evaluator, Evaluator)
    network = copy_network(problem.network)
    for facts, choice in zip(problem.layers, config, strict=True):
        module = network.get_submodule(facts.name)
        weight = module.weight
        assert isinstance(weight, Tensor)
        quantized = quantize_weight(
            weight, choice, bucket_size="channel", channel_axis=facts.channel_axis, seed=0
        )
        weight.data = quantized.dequantize()
    calibrate(network, evaluator.reference, evaluator.calibration)
    return run_batches(network, evaluator.batches, evaluator.objective).loss
