"""Bayesian optimisation with a Gaussian process, by Optuna's sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import optuna

from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.search import OptunaSearch


@dataclass(frozen=True, kw_only=True)
class GaussianProcess(OptunaSearch):
    """A Gaussian process (Matern 5/2, a length scale a layer) and log expected improvement.

    Sources: Jones et al. 1998, Ament et al. 2023 (the log of it). A trial costs a fit of about a
    third of a second, so that known configurations are not asked for twice in a row.

    Attributes:
        startup: random trials before the model is used.
    """

    name: ClassVar[str] = "gp"

    startup: int = 10
    patience: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "startup")

    def sampler(self, session: Session, seed: int) -> optuna.samplers.BaseSampler:
        """Return the sampler; what is noise to it are the jumps between options."""
        return optuna.samplers.GPSampler(
            n_startup_trials=self.startup,
            deterministic_objective=False,
            warn_independent_sampling=False,
            seed=seed,
        )
