"""The regrets of every run on every stratum: of which statistics are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant_experiments.comparison.statistics.statistics import Values
from rlquant_experiments.comparison.stratum import Stratum, labels_of

Curves = npt.NDArray[np.float64]
"""Regrets after each evaluation, shape `(seeds, strata, evaluations)`."""


@dataclass(frozen=True, eq=False)
class Regrets:
    """Regrets by label, alike for all: runs that no seed changes stand for every seed.

    Attributes:
        strata: the names of tables under budgets.
        curves: by label, shape `(seeds, strata, evaluations)`.
    """

    strata: tuple[str, ...]
    curves: Mapping[str, Curves]

    @classmethod
    def of(cls, strata: Sequence[Stratum], evaluations: int) -> Regrets:
        """Gather the regrets of runs of so many evaluations."""
        seeds = max(len(of) for stratum in strata for of in stratum.runs.values())
        curves = {}
        for label in labels_of(strata):
            stacks = [stratum.regrets(label, evaluations) for stratum in strata]
            whole = [np.broadcast_to(stack, (seeds, evaluations)) for stack in stacks]
            curves[label] = np.stack(whole, axis=1)
        return cls(tuple(stratum.name for stratum in strata), curves)

    @property
    def labels(self) -> tuple[str, ...]:
        """What was compared."""
        return tuple(self.curves)

    @property
    def evaluations(self) -> int:
        """How many each run might use."""
        return int(next(iter(self.curves.values())).shape[-1])

    def at(self, label: str, evaluations: int) -> Values:
        """Return the regrets after so many evaluations, shape `(seeds, strata)`."""
        found: Values = self.curves[label][:, :, evaluations - 1]
        return found

    def ranked(self, evaluations: int) -> list[str]:
        """Return the labels, the smallest mean regret after so many evaluations first."""
        return sorted(self.labels, key=lambda label: float(self.at(label, evaluations).mean()))
