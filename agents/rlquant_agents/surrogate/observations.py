"""The evaluations of a search as rows of option indices, with their log losses and costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session

Floats = npt.NDArray[np.float64]

SMALLEST_SPREAD = 0.05
"""Log losses are taken to differ by so much at least; their differences are noise below."""


class Observations:
    """What a session has answered.

    Args:
        session: is asked; what it knew before is observed as well.
        partial: whether evaluations without a final score count, with the loss they had so far.

    Attributes:
        rows: what is observed, in the order of evaluation, shape `(n, layers)`.
        log_losses: shape `(n,)`; under another reward what `Session.log_loss` says.
        asked: all that was asked for, also without a final score, shape `(m, layers)`.
    """

    def __init__(self, session: Session, *, partial: bool = True) -> None:
        self._session, self._partial = session, partial
        self._feasible = session.feasible
        self._known: set[tuple[int, ...]] = set()
        self.asked: Indices = np.zeros((0, len(session.feasible)), dtype=np.int64)
        self.rows = self.asked
        self.log_losses: Floats = np.zeros(0)
        self._costs: Indices = np.zeros(0, dtype=np.int64)
        self.update()

    def evaluate(self, rows: Indices) -> None:
        """Have the session evaluate rows `(n, layers)`, in the order in which they share most.

        Where fewer evaluations are left, the first rows are evaluated.
        """
        rows = rows[: max(1, self._session.remaining)]
        self._session.ask_many([self._feasible.config(row) for row in rows])
        self.update()

    def update(self) -> None:
        """Take over what the session has evaluated since; it evaluates nothing twice."""
        new = self._session.history[len(self.asked) :]
        if not new:
            return
        rows = np.array([self._feasible.indices(evaluation.config) for evaluation in new])
        log_losses = np.array([self._session.log_loss(evaluation) for evaluation in new])
        counted = np.array([self._partial or evaluation.final for evaluation in new])
        self._known.update(map(tuple, rows.tolist()))
        self.asked = np.concatenate([self.asked, rows])
        self.rows = np.concatenate([self.rows, rows[counted]])
        self.log_losses = np.concatenate([self.log_losses, log_losses[counted]])
        self._costs = np.concatenate([self._costs, self.spent(rows[counted])])

    @property
    def stagnation(self) -> int:
        """How many evaluations ago the session's best was found."""
        best = self._session.best
        return 0 if best is None else len(self.asked) - best.number

    def best(self, limit: float) -> tuple[Indices, float] | None:
        """Return the row of the least log loss within a limit, and that; None for none."""
        within = np.flatnonzero(self._costs <= limit)
        if not len(within):
            return None
        best = within[self.log_losses[within].argmin()]
        return self.rows[best], float(self.log_losses[best])

    @property
    def least(self) -> float:
        """The least log loss within the budget."""
        return float(self._within_budget.min())

    @property
    def spread(self) -> float:
        """How far bad ones lie above the best, within the budget: nine of ten are less bad."""
        bad = float(np.quantile(self._within_budget, 0.9))
        return max(bad - self.least, SMALLEST_SPREAD)

    @property
    def _within_budget(self) -> Floats:
        return self.log_losses[self._costs <= self._feasible.limit]

    def spent(self, rows: Indices) -> Indices:
        """Return what rows cost, in units, shape `(n,)`."""
        layers = np.arange(rows.shape[1])
        found: Indices = self._feasible.costs[layers, rows].sum(axis=1) + self._feasible.cost.fixed
        return found

    def is_known(self, row: Indices) -> bool:
        """Return whether a row was asked for."""
        return tuple(row.tolist()) in self._known

    def unknown(self, rows: Iterable[Sequence[int]]) -> Indices:
        """Return the distinct rows that were not asked for, in the order in which they come."""
        distinct = dict.fromkeys(map(tuple, rows))
        new = [row for row in distinct if row not in self._known]
        return np.array(new, dtype=np.int64).reshape(-1, len(self._feasible))
