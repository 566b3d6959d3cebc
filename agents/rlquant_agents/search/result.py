"""The result of a search: its evaluations, the best configuration, the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from torch import nn

from rlquant import LayerChoice, Problem, QuantizationConfig, Score, pareto
from rlquant.errors import NetworkError, SettingsError
from rlquant.escaping import html_table, html_text
from rlquant.pasting import install

if TYPE_CHECKING:
    from pandas import DataFrame


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

    def record(self) -> dict[str, Any]:
        """Return all that is known of it beside its choices, by the names that tables have."""
        return {
            "number": self.number,
            "key": self.config.key,
            "seconds": round(self.seconds, 6),
            "fidelity": self.score.fidelity,
            "final": self.final,
            "feasible": self.feasible,
            **asdict(self.score),
            "value": self.value,
        }


_DECISIONS = [field.name for field in fields(LayerChoice) if field.name != "layer"]

STOPPED = {
    "evaluations": "all evaluations are spent",
    "exhausted": "every feasible configuration was evaluated",
    "episodes": "it kept asking for configurations it knew",
    "finished": "the searcher has nothing more to ask",
    "optimum": "it found the best there is, which was known",
    "interrupted": "interrupted; this is the best so far",
}
"""Why a search ended: name -> meaning."""


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult:
    """What a search found; notebooks show it as a table of its front.

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
        source: where the best configuration comes from, in words, such as "the policy"; "" where
            the searcher does not say.
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
    network: nn.Module | None = None
    source: str = ""

    def __repr__(self) -> str:
        score = self.score
        return (
            f"SearchResult(searcher={self.searcher!r}, seed={self.seed}, "
            f"evaluations={len(self.history)}, stopped={self.stopped!r}, loss={score.loss:.5g}, "
            f"accuracy={score.accuracy:.5g}, average_bits={score.average_bits:.5g}, "
            f"size_bytes={score.size_bytes})"
        )

    def _repr_html_(self) -> str:
        """Return the front as a table for a notebook, the best configuration marked."""
        headings = ("", "loss", "accuracy", "average bits", "bytes", "bit-operations")
        rows = [
            (
                "best" if config == self.best else "",
                *(score.loss, score.accuracy, score.average_bits, score.size_bytes, score.bops),
            )
            for config, score in self.pareto
        ]
        return f"<p>{html_text(repr(self))}</p>\n{html_table(headings, rows)}"

    def to_dataframe(self) -> DataFrame:
        """Return one row an evaluation, in order.

        The columns are those of `Evaluation.record`, then `bits:<layer>` for every layer, and
        `<decision>:<layer>` for the other decisions (`rounding`, `method`, ...) that differ
        anywhere in the search.

        Raises:
            SettingsError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            command = install("'rlquant[notebook]'")
            raise SettingsError(f"to_dataframe needs pandas: run `{command}`") from error
        choices = [choice for evaluation in self.history for choice in evaluation.config]
        decided = [name for name in _DECISIONS if len({getattr(c, name) for c in choices}) > 1]
        return DataFrame(
            [
                evaluation.record()
                | {
                    f"{name}:{choice.layer}": getattr(choice, name)
                    for name in dict.fromkeys(["bits", *decided])
                    for choice in evaluation.config
                }
                for evaluation in self.history
            ]
        )


def pareto_front(
    history: Sequence[Evaluation], quantity: str
) -> list[tuple[QuantizationConfig, Score]]:
    """Return the final evaluations that none beats in both loss and `quantity`, cheapest first.

    Ties: see `rlquant.pareto.pareto_front`; the first evaluation of several equal ones.
    """
    finals = [evaluation for evaluation in history if evaluation.final]
    costs = [float(getattr(evaluation.score, quantity)) for evaluation in finals]
    front = pareto.pareto_front(costs, [evaluation.score.loss for evaluation in finals])
    return [(finals[i].config, finals[i].score) for i in front.tolist()]


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
