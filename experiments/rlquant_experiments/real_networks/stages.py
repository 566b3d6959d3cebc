"""What first samples say of all of them: rank correlations, and what a race on tokens finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from rlquant import QuantizationConfig, QuantizationProblem
from rlquant.cost.feasible import Indices
from rlquant.documents import parse_json, read_as
from rlquant.evaluation.evaluator import Evaluator
from rlquant.files import reading, write_file
from rlquant.forward_pass import run
from rlquant.objective import Detailed
from rlquant_agents.search.uniform import widest_uniforms
from rlquant_experiments.baselines.evopress import Levels

Floats = npt.NDArray[np.float64]
SHARES = (1 / 64, 1 / 8, 1 / 4, 1 / 2)
"""Of the tokens, what stages have at most; the first two are those of EvoPress."""
DRAWN, KEPT = 16, 4
"""Candidates of a race, and those that are evaluated whole."""
RACES = 2000
"""That means are over."""


def random_rows(problem: QuantizationProblem, count: int, seed: int) -> list[Indices]:
    """Return random configurations within the budget, which lie far apart."""
    generator = np.random.default_rng(seed)
    return [problem.feasible.sample(generator) for _ in range(count)]


def child_rows(problem: QuantizationProblem, count: int, seed: int) -> list[Indices]:
    """Return children of the best uniform configuration by one to three level switches.

    They lie close together, as what EvoPress and rounds near a best configuration select among.
    """
    generator, levels = np.random.default_rng(seed), Levels(problem.feasible)
    uniforms = widest_uniforms(problem.feasible)
    losses = [score.loss for score in problem.evaluate_many(uniforms)]
    base = problem.feasible.indices(uniforms[int(np.argmin(losses))])
    found = []
    for _ in range(count):
        child = base
        for _ in range(generator.integers(1, 4)):
            child = levels.switched(child, generator)
        found.append(child)
    return found


KINDS: Mapping[str, Callable[[QuantizationProblem, int, int], list[Indices]]] = {
    "children": child_rows,
    "random": random_rows,
}
"""What configurations are compared, close together and far apart."""


def sample_losses(problem: QuantizationProblem, config: QuantizationConfig) -> list[float]:
    """Return the loss of each validation sample, of an objective with one unit a sample.

    The mean of the first ones is what `problem.at_tokens` measures.
    """
    evaluator, objective = problem.evaluator, problem.objective
    assert isinstance(evaluator, Evaluator)
    assert isinstance(objective, Detailed)
    network, found = problem.build(config), []
    with torch.inference_mode():
        for batch in evaluator.batches:
            found.append(objective.details(run(network, batch.inputs), batch.targets)["loss"])
    return [float(loss) for loss in torch.cat(found)]


@dataclass(frozen=True, slots=True)
class KeptLosses:
    """A file of sample losses, which a measurement that was stopped goes on from.

    Attributes:
        path: of the file.
        settings: that the losses depend on; those of others are measured again.
    """

    path: Path
    settings: Mapping[str, Any]

    def read(self) -> tuple[list[int], list[list[float]]]:
        """Return the tokens of samples, and losses of shape `(configurations, samples)`."""
        if not self.path.exists():
            return [], []
        with reading(self.path):
            document = read_as(dict[str, Any], parse_json(self.path.read_text()))
            if document.get("settings") != self.settings:
                return [], []
            tokens = read_as(list[int], document.get("tokens"))
            return tokens, read_as(list[list[float]], document.get("losses"))

    def write(self, tokens: list[int], losses: list[list[float]]) -> None:
        """Keep the tokens of samples, and their losses."""
        document = {"settings": self.settings, "tokens": tokens, "losses": losses}
        write_file(self.path, json.dumps(document) + "\n")


@dataclass(frozen=True, slots=True)
class Stage:
    """First samples against all of them.

    Attributes:
        tokens: of the first samples.
        share: of all tokens.
        correlation: Spearman's, of the losses of configurations.
        raced: mean log loss above the least of all, of a race of `DRAWN` of which `KEPT` are
            evaluated.
        plain: the same of as many tokens without a race, all evaluated.
    """

    tokens: int
    share: float
    correlation: float
    raced: float
    plain: float


def stages(losses: Floats, tokens: npt.NDArray[np.int64]) -> list[Stage]:
    """Return the stages of `SHARES`, whole samples each and none twice.

    Args:
        losses: shape `(configurations, samples)`.
        tokens: of each sample.
    """
    ends, found = np.cumsum(tokens), dict[int, Stage]()
    for most in SHARES:
        first = max(1, int((ends <= most * ends[-1]).sum()))
        few, whole = losses[:, :first].mean(axis=1), losses.mean(axis=1)
        share = float(ends[first - 1] / ends[-1])
        correlation = float(spearmanr(few, whole).statistic)
        found[first] = Stage(int(ends[first - 1]), share, correlation, *race(few, whole, share))
    return list(found.values())


def race(few: Floats, whole: Floats, share: float) -> tuple[float, float]:
    """Return the mean log loss above the least, of races and of as many tokens without one.

    Args:
        few: losses on the first samples, shape `(configurations,)`.
        whole: on all of them.
        share: of the tokens that the first samples have.
    """
    generator, logs = np.random.default_rng(0), np.log(whole)
    equal = min(len(whole), KEPT + round(DRAWN * share))
    raced, plain = [], []
    for _ in range(RACES):
        order = generator.permutation(len(whole))
        field = order[:DRAWN]
        raced.append(logs[field[np.argsort(few[field], kind="stable")[:KEPT]]].min())
        plain.append(logs[order[:equal]].min())
    return float(np.mean(raced) - logs.min()), float(np.mean(plain) - logs.min())
