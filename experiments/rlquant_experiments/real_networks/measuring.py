"""Measurement of rows: uniform ones in one process, every search in a process of its own."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cached_property
from multiprocessing import get_context
from typing import Any

import torch
from torch import nn

from rlquant import (
    Budget,
    EvaluationSettings,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    Score,
    SearchSpace,
    tasks,
)
from rlquant.errors import SettingsError
from rlquant.network_kind import is_transformer_like
from rlquant_agents.api import search_problem
from rlquant_experiments.float_layers import float_layers
from rlquant_experiments.real_networks.foresight import foresee
from rlquant_experiments.real_networks.made_networks import MADE, load_made
from rlquant_experiments.real_networks.rows import (
    AGENT,
    Figures,
    Row,
    keep_row,
    read_row,
    searched_rows,
    uniform_rows,
)
from rlquant_experiments.real_networks.settings import (
    GROUP_SIZES,
    REFINED,
    RealNetworkSettings,
)
from rlquant_experiments.real_networks.test_set import TestSet

logger = logging.getLogger(__name__)

NO_LIMIT = Budget.average_bits(64.0)


class Lab:
    """A task, its problem without a limit, and its test data.

    Args:
        name: of the task.
        settings: how many samples each part has.
    """

    def __init__(self, name: str, settings: RealNetworkSettings) -> None:
        torch.set_num_threads(settings.threads)
        made = name in MADE
        self.task = load_made(name, settings.out / "networks") if made else tasks.load(name)
        self._amounts = settings.amounts(name)
        self.evaluations = self._amounts.evaluations
        self._kept = settings.out  # what searches share: quantized weights, evaluations, gradients

    @cached_property
    def problem(self) -> QuantizationProblem:
        """The problem, in which every uniform configuration can be evaluated."""
        return self.problem_within(NO_LIMIT)

    def problem_within(self, budget: Budget) -> QuantizationProblem:
        """Return the problem of a search under a budget, in the space that suits the network."""
        problem = QuantizationProblem(
            self.task.network,
            self.task.train,
            self.task.validation,
            budget=budget,
            space=space_of(self.task.network),
            objective=self.task.objective,
            evaluation=EvaluationSettings(
                calibration_samples=self._amounts.calibration,
                validation_samples=self._amounts.validation,
                precision=self._amounts.precision,
                weight_bank_folder=str(self._kept / "weights"),
            ),
            store=self._kept / "evaluations.sqlite",
        )
        self.task = replace(self.task, network=problem.network)  # one in memory is enough
        return problem

    def figures(self, score: Score, network: nn.Module, minutes: float, **other: int) -> Figures:
        """Return the figures of a quantized network, which is tested once."""
        test = self.test.measure(network)
        return Figures(
            score.size_bytes,
            score.average_bits,
            score.loss,
            test.loss,
            test.accuracy,
            dict(test.metrics),
            minutes,
            **other,
        )

    def float_figures(self) -> Figures:
        """Return the figures of the float network."""
        test, score = self.test.measure(self.task.network), self.problem.float_score
        return Figures(
            score.size_bytes, 32.0, score.loss, test.loss, test.accuracy, dict(test.metrics), 0.0
        )

    @cached_property
    def test(self) -> TestSet:
        """The test data."""
        return TestSet(self.task, self._amounts.test)


def space_of(network: nn.Module) -> SearchSpace:
    """Return the space that suits a transformer; of other networks groups and GPTQ as well."""
    space = replace(SearchSpace.for_network(network), exclude=float_layers(network))
    if is_transformer_like(network):
        return space
    return replace(space, rounding=("gptq",), group_size=GROUP_SIZES)


def measure_rows(settings: RealNetworkSettings) -> Iterator[tuple[Row, Figures]]:
    """Yield every row with its figures; rows that are kept are read.

    Rows that are to do are kept the moment they are measured.
    """
    for task in settings.tasks:
        yield from _uniform(task, settings)
    for task in settings.tasks:
        yield from _searched(list(searched_rows(settings, task)), settings)


def _uniform(task: str, settings: RealNetworkSettings) -> Iterator[tuple[Row, Figures]]:
    lab: Lab | None = None
    for row in uniform_rows(settings, task):
        figures = read_row(settings.out, row, settings)
        if figures is None:
            lab = lab or Lab(task, settings)
            figures = _measure_uniform(lab, row)
            keep_row(settings.out, row, settings, figures)
        yield row, figures


def _measure_uniform(lab: Lab, row: Row) -> Figures:
    if row.quantizer is None:
        return lab.float_figures()
    start = time.perf_counter()
    config = uniform(lab.problem, row)
    score, network = lab.problem.evaluate(config), lab.problem.build(config)
    return lab.figures(score, network, (time.perf_counter() - start) / 60)


def uniform(problem: QuantizationProblem, row: Row) -> QuantizationConfig:
    """Return the configuration of a uniform row: GPTQ where a layer has moments for it."""
    assert row.quantizer is not None
    choices = []
    for layer in problem.layers:
        fields: dict[str, Any] = {
            "points": row.quantizer.points,
            "rounding": row.quantizer.rounding,
            "group_size": row.group_size,
        }
        if row.quantizer.rounding not in problem.space.of_layer(layer.name).rounding:
            fields["rounding"] = "nearest"
        choices.append(LayerChoice(layer.name, int(row.bits), **fields))
    return QuantizationConfig(tuple(choices))


def _searched(rows: Sequence[Row], settings: RealNetworkSettings) -> Iterator[tuple[Row, Figures]]:
    spawned = get_context("spawn")
    for row in rows:
        figures = read_row(settings.out, row, settings)
        if figures is None:
            with ProcessPoolExecutor(1, mp_context=spawned) as pool:  # its memory is its own
                try:
                    figures = pool.submit(search_row, row, settings).result()
                except SettingsError as error:  # no searcher for this objective
                    logger.warning("%s is left out: %s", row.name, error)
                    continue
            keep_row(settings.out, row, settings, figures)
        yield row, figures


def search_row(row: Row, settings: RealNetworkSettings) -> Figures:
    """Return the figures of the answer of a search."""
    settings.check()  # makes the baselines known in this process
    lab, start = Lab(row.task, settings), time.perf_counter()
    problem = lab.problem_within(Budget.average_bits(row.bits))
    result = search_problem(
        problem,
        searcher=row.searcher.removesuffix(REFINED),
        evaluations=lab.evaluations,
        seed=row.seed,
        refine=lab.task.train if row.searcher.endswith(REFINED) else None,
    )
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    assert result.network is not None
    minutes = (time.perf_counter() - start) / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    counts = {"peak_bytes": peak, "evaluations": len(result.history)}
    if row.searcher == AGENT:
        foreseen = foresee(problem, result.history, lab.evaluations)
        counts |= {"foreseen": foreseen.foreseen, "within": foreseen.within}
    return lab.figures(result.score, result.network, minutes, **counts)
