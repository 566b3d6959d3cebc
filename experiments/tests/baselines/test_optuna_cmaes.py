"""Optuna's CMA-ES within the budget."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_experiments.baselines.optuna_cmaes import CMAES


def test_it_is_better_than_random() -> None:
    def log_losses(name: str) -> float:
        problem = ToyProblem(7, 4.0)
        losses = [make_searcher(name).search(problem, 60, seed).score.loss for seed in range(4)]
        return float(np.log(losses).mean())

    assert log_losses("cma-es") < log_losses("random") - 0.03


def test_population_out_of_range_is_refused() -> None:
    with pytest.raises(SettingsError, match="population=1"):
        CMAES(population=1)


def test_without_cmaes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlquant_experiments.baselines.optuna_cmaes.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'rlquant\[experiments\]'"):
        CMAES().search(ToyProblem(3, 4.0), 5, seed=0)
