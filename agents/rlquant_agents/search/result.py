"""What a search asked and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from rlquant import QuantizationConfig, Score


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
