"""Evolution of a normal distribution over all layers' ranks, by Optuna's sampler."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import optuna

from rlquant import Problem
from rlquant.errors import SettingsError
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.search import OptunaSearch


@dataclass(frozen=True, kw_only=True)
class CMAES(OptunaSearch):
    """Covariance matrix adaptation (Hansen and Ostermeier 2001) on one number a layer.

    With decoding="decisions" it can move the bits alone, and draws other decisions at random.

    Attributes:
        population: configurations in a generation; fewer than usual, as evaluations are few.
    """

    name: ClassVar[str] = "cma-es"

    population: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(2, "population")

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` where the package that Optuna's sampler needs is missing."""
        if find_spec("cmaes") is None:
            raise SettingsError(
                f"searcher {self.name!r} needs cmaes; install it with: pip install "
                f"'rlquant[experiments]'"
            )

    def sampler(self, session: Session, seed: int) -> optuna.samplers.BaseSampler:
        """Return the sampler, every default that changed between versions stated."""
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=1,
            popsize=self.population,
            consider_pruned_trials=False,
            use_separable_cma=False,
            with_margin=False,
            lr_adapt=False,
            warn_independent_sampling=False,
            seed=seed,
        )
