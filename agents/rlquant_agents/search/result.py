"""The result of a search: its evaluations, the best configuration, the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from rlquant import Problem, QuantizationConfig, Score
from rlquant.errors import NetworkError


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One distinct configuration that a search asked for.

    Attributes:
        number: 1 for the first.
        config: canonical configuration.
        score: what it measured.
        feasible: whether it keeps the budget.
        value: the reward of the score; larger is better.
        seconds: time since the search began.
        final: whether the score is of the problem's own fidelity and complete; what was screened
            at a lower one, or given up while it was trained, cannot be the result.
    """

    number: int
    config: QuantizationConfig
    score: Score
    feasible: bool
    value: float
    seconds: float
    final: bool = True

    @property
    def candidate(self) -> bool:
        """Whether it may be the result: within the budget, and final."""
        return self.feasible and self.final


STOPPED = {
    "evaluations": "all evaluations are spent",
    "exhausted": "every feasible configuration was evaluated",
    "episodes": "it kept asking for configurations it knew",
    "finished": "the searcher has nothing more to ask",
    "optimum": "it found the best there is, which was known",
    "interrupted": "interrupted; this is the best so far",
}
"""Why a search ended: name -> meaning."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        best: the best feasible configuration.
        score: its score.
        pareto: non-dominated (configuration, score) pairs of loss and the budget's quantity,
            cheapest first; what was asked over the budget is among them.
        history: every evaluation in order.
        stopped: why it ended, a key of `STOPPED`.
        episodes: configurations asked for, known ones included.
        searcher: name of the searcher.
        seed: seed of the search.
        notes: what the reader should know, e.g. what was extrapolated.
        network: the very network that was scored, where the problem can build it.
    """

    best: QuantizationConfig
    score: Score
    pareto: list[tuple[QuantizationConfig, Score]]
    history: tuple[Evaluation, ...]
    stopped: str
    episodes: int
    searcher: str
    seed: int
    notes: tuple[str, ...] = ()
    network: nn.Module | None = field(default=None, repr=False)


def pareto_front(
    history: Sequence[Evaluation], quantity: str
) -> list[tuple[QuantizationConfig, Score]]:
    """Return the evaluations that none beats in both loss and `quantity`, cheapest first."""

    def cost(evaluation: Evaluation) -> float:
        return float(getattr(evaluation.score, quantity))

    front: list[tuple[QuantizationConfig, Score]] = []
    finals = [evaluation for evaluation in history if evaluation.final]
    for evaluation in sorted(finals, key=lambda e: (cost(e), e.score.loss)):
        if not front or evaluation.score.loss < front[-1][1].loss:
            front.append((evaluation.config, evaluation.score))
    return front


def require_finite_loss(result: SearchResult, problem: Problem) -> None:
    """Raise `NetworkError` where nothing that a search measured to its end has a finite loss."""
    losses = [evaluation.score.loss for evaluation in result.history if evaluation.final]
    if not losses or result.stopped == "interrupted" or any(map(math.isfinite, losses)):
        return
    cause = (
        "look at the objective, and at numbers too large for the network's type; "
        "problem.build(config) is such a network"
        if problem.fidelity == "calibrated"
        else "their training diverges: give training=TrainSettings(...) a smaller learning_rate"
    )
    raise NetworkError(
        f"searcher {result.searcher!r}: the loss of each of the {len(losses)} configurations is "
        f"not finite, the float network's is {problem.float_score.loss:.4g}; {cause}"
    )
