"""Optuna's Gaussian process within the budget."""

from __future__ import annotations

import pytest

from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_experiments.baselines.optuna_gp import GaussianProcess


def test_it_finds_the_optimum_of_a_small_space() -> None:
    problem = ToyProblem(2, 4.0)
    result = GaussianProcess(startup=3).search(problem, 8, seed=0)
    assert result.score.loss == pytest.approx(problem.best_loss())


def test_startup_out_of_range_is_refused() -> None:
    with pytest.raises(SettingsError, match="startup=0"):
        GaussianProcess(startup=0)
