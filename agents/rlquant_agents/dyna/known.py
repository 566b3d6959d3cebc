"""The configurations that a search has measured, as rows of option indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rlquant.feasible import Indices
from rlquant_agents.session import Session

Floats = npt.NDArray[np.float64]


class Known:
    """What a session has answered, and what it costs.

    Args:
        session: is asked; what it knew before counts as known as well.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._feasible = session.feasible
        self._damages: dict[tuple[int, ...], float] = {}
        self._read = 0
        self.read()

    def ask(self, rows: Indices) -> None:
        """Have the session measure rows `(n, layers)`, in the order in which they share most.

        Where fewer evaluations are left, the first rows are measured.
        """
        rows = rows[: max(1, self._session.remaining)]
        self._session.ask_many([self._feasible.config(row) for row in rows])
        self.read()

    def read(self) -> None:
        """Take over what the session has measured since."""
        for evaluation in self._session.history[self._read :]:
            row = self._feasible.indices(evaluation.config)
            self._damages[tuple(row.tolist())] = self._session.damage(evaluation)
        self._read = len(self._session.history)

    @property
    def rows(self) -> Indices:
        """All rows, shape `(n, layers)`."""
        return np.array(list(self._damages), dtype=np.int64)

    @property
    def damages(self) -> Floats:
        """Their damages, shape `(n,)`."""
        return np.array(list(self._damages.values()))

    @property
    def at_rest(self) -> int:
        """How many evaluations ago the session's best was found."""
        best = self._session.best
        return 0 if best is None else self._read - best.number

    def best(self, limit: float) -> tuple[Indices, float] | None:
        """Return the row of the least damage within a limit, and that damage; None for none."""
        rows, damages = self.rows, self.damages
        within = np.flatnonzero(self.spent(rows) <= limit)
        if not len(within):
            return None
        best = within[damages[within].argmin()]
        return rows[best], float(damages[best])

    def spent(self, rows: Indices) -> Indices:
        """Return what rows cost, in units, shape `(n,)`."""
        layers = np.arange(rows.shape[1])
        found: Indices = self._feasible.costs[layers, rows].sum(axis=1) + self._feasible.cost.fixed
        return found

    def unknown(self, rows: Iterable[Sequence[int]]) -> Indices:
        """Return the distinct rows that are not known, in the order in which they first come."""
        distinct = dict.fromkeys(map(tuple, rows))
        new = [row for row in distinct if row not in self._damages]
        return np.array(new, dtype=np.int64).reshape(-1, len(self._feasible))
