"""The configurations that a search has measured, as rows of option indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session

Floats = npt.NDArray[np.float64]


class Known:
    """What a session has answered, and what it costs.

    Args:
        session: is asked; what it knew before counts as known as well.

    Attributes:
        rows: all that is known, in the order in which it was measured, shape `(n, layers)`.
        damages: their damages, shape `(n,)`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._feasible = session.feasible
        self._known: set[tuple[int, ...]] = set()
        self._read = 0
        self.rows: Indices = np.zeros((0, len(session.feasible)), dtype=np.int64)
        self.damages: Floats = np.zeros(0)
        self._costs: Indices = np.zeros(0, dtype=np.int64)
        self.read()

    def ask(self, rows: Indices) -> None:
        """Have the session measure rows `(n, layers)`, in the order in which they share most.

        Where fewer evaluations are left, the first rows are measured.
        """
        rows = rows[: max(1, self._session.remaining)]
        self._session.ask_many([self._feasible.config(row) for row in rows])
        self.read()

    def read(self) -> None:
        """Take over what the session has measured since; it measures nothing twice."""
        new = self._session.history[self._read :]
        if not new:
            return
        rows = np.array([self._feasible.indices(evaluation.config) for evaluation in new])
        damages = [self._session.damage(evaluation) for evaluation in new]
        self._known.update(map(tuple, rows.tolist()))
        self.rows = np.concatenate([self.rows, rows])
        self.damages = np.concatenate([self.damages, damages])
        self._costs = np.concatenate([self._costs, self.spent(rows)])
        self._read += len(new)

    @property
    def at_rest(self) -> int:
        """How many evaluations ago the session's best was found."""
        best = self._session.best
        return 0 if best is None else self._read - best.number

    def best(self, limit: float) -> tuple[Indices, float] | None:
        """Return the row of the least damage within a limit, and that damage; None for none."""
        within = np.flatnonzero(self._costs <= limit)
        if not len(within):
            return None
        best = within[self.damages[within].argmin()]
        return self.rows[best], float(self.damages[best])

    def spent(self, rows: Indices) -> Indices:
        """Return what rows cost, in units, shape `(n,)`."""
        layers = np.arange(rows.shape[1])
        found: Indices = self._feasible.costs[layers, rows].sum(axis=1) + self._feasible.cost.fixed
        return found

    def unknown(self, rows: Iterable[Sequence[int]]) -> Indices:
        """Return the distinct rows that are not known, in the order in which they first come."""
        distinct = dict.fromkeys(map(tuple, rows))
        new = [row for row in distinct if row not in self._known]
        return np.array(new, dtype=np.int64).reshape(-1, len(self._feasible))
