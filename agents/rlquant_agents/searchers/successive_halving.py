"""Many configurations measured cheaply, the best of them again at the next fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import QuantizationConfig
from rlquant.config import FIDELITIES, Fidelity
from rlquant.problem.protocol import Trains
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving(Searcher):
    """Screen random feasible configurations below the problem's fidelity, promote the best.

    Evaluations count alike at every fidelity, though they take less time at a lower one. A
    problem without a lower fidelity is searched at its own, which is random search.

    Attributes:
        reduction: of so many configurations one goes on to the next fidelity.
        start: lowest fidelity that is used.

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification".
    """

    name: ClassVar[str] = "successive-halving"

    reduction: int = 4
    start: str = "calibrated"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(2, "reduction")
        self.require_one_of("start", FIDELITIES)

    def explore(self, session: Session, seed: int) -> None:
        """Fill one fidelity after the other, then draw at the problem's own."""
        generator = np.random.default_rng(seed)
        rungs = self.rungs(session)
        sizes = rung_sizes(session.evaluations, len(rungs) + 1, self.reduction)
        drawn = self._draw(session, generator, sizes[0]) if rungs else []
        for fidelity, size in zip(rungs, sizes[1:], strict=False):
            screened = session.screen_many(drawn, fidelity)
            drawn = best_of(drawn, screened, size)
        session.prefetch([session.feasible.indices(config).tolist() for config in drawn])
        for config in drawn:
            session.ask(config)
        while True:  # what screening left over, if anything
            rows = [session.feasible.sample(generator) for _ in range(session.batch)]
            session.ask_rows([row.tolist() for row in rows])

    def rungs(self, session: Session) -> tuple[Fidelity, ...]:
        """Return the fidelities below the problem's that are used, lowest first."""
        if not isinstance(session.problem, Trains):
            return ()
        low, high = FIDELITIES.index(self.start), FIDELITIES.index(session.fidelity)
        return FIDELITIES[low:high]

    def _draw(
        self, session: Session, generator: np.random.Generator, count: int
    ) -> list[QuantizationConfig]:
        """Draw distinct configurations, fewer where the feasible set gives no more."""
        found: dict[QuantizationConfig, None] = {}
        for _ in range(20 * count):
            if len(found) == count:
                break
            found[session.feasible.config(session.feasible.sample(generator))] = None
        return list(found)


def rung_sizes(evaluations: int, rungs: int, reduction: int) -> list[int]:
    """Return how many configurations each rung measures, lowest first; `evaluations` in all.

    The last rung has at least one.
    """
    shares = np.array([float(reduction) ** -i for i in range(rungs)])
    sizes = [max(1, int(evaluations * share / shares.sum())) for share in shares]
    sizes[0] += evaluations - sum(sizes)
    return sizes if sizes[0] > 0 else [*[0] * (rungs - 1), evaluations]


def best_of(
    configs: list[QuantizationConfig], screened: list[Evaluation], count: int
) -> list[QuantizationConfig]:
    """Return the `count` configurations of the largest value, best first; of equals the first."""
    order = sorted(range(len(configs)), key=lambda i: -screened[i].value)
    return [configs[i] for i in order[:count]]
