"""An own sampler of Optuna's on a problem: half of the time the best configuration, mutated."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import optuna

import rlquant
from rlquant import Budget, TabularProblem


class MutationSampler(optuna.samplers.BaseSampler):
    """Ask for what the best trial asked for, or, with a probability of `rate`, for any option."""

    def __init__(self, rate: float = 0.2, seed: int = 0) -> None:
        self.rate, self._generator = rate, np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Leave all parameters to `sample_independent`."""
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Sample nothing together."""
        return {}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        """Return an option of one layer, in words such as "3 bits"."""
        done = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
        if done and self._generator.random() >= self.rate:
            return min(done, key=lambda one: one.value).params[name]
        return distribution.choices[self._generator.integers(len(distribution.choices))]


optuna.logging.set_verbosity(optuna.logging.WARNING)
problem = TabularProblem(rlquant.load_table("digits-cnn"), Budget.average_bits(2.6))
study = optuna.create_study(sampler=MutationSampler())  # storage="sqlite:///study.db" to keep it
study.optimize(rlquant.optuna_objective(problem), int(sys.argv[1]) if len(sys.argv) > 1 else 100)
print(study.best_params, f"loss {study.best_value:.4f}")  # noqa: T201
