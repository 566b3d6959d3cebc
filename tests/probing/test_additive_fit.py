"""Least squares over complete tables, against an independent solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack
from scipy.sparse.linalg import lsqr

from rlquant import Budget, TabularProblem
from rlquant.probing.additive_fit import additive_share
from rlquant.probing.feasible_rows import every_row
from rlquant.testing import random_table


def by_iteration(rows: np.ndarray, values: np.ndarray, options: int) -> float:
    """The same share by scipy's iterative solver, on the sparse one-hot design with a constant."""
    count, layers = rows.shape
    place = (np.repeat(np.arange(count), layers), (rows + options * np.arange(layers)).reshape(-1))
    design = csr_array((np.ones(count * layers), place), shape=(count, options * layers))
    design = hstack([design, csr_array(np.ones((count, 1)))])
    effects = lsqr(design, values, atol=1e-13, btol=1e-13, iter_lim=10_000)[0]
    return 1 - float(((values - design @ effects) ** 2).mean() / values.var())


@pytest.mark.parametrize("interaction", [0.1, 0.5, 2.0])
def test_it_is_the_share_of_least_squares(interaction: float) -> None:
    problem = TabularProblem(random_table(6, 6, interaction), Budget.average_bits(3.5))
    rows = np.concatenate(list(every_row(problem.feasible)))
    values = np.log(problem.losses_of(rows))
    assert len(rows) > 2000
    share = additive_share([(rows, values)], 6)
    assert share == pytest.approx(by_iteration(rows, values, 6), abs=1e-9)
    parts = zip(np.array_split(rows, 7), np.array_split(values, 7), strict=True)
    assert additive_share(parts, 6) == pytest.approx(share, abs=1e-12)


def test_a_sum_is_explained_completely_wherever_its_origin_lies() -> None:
    draw = np.random.default_rng(0)
    rows = draw.integers(0, 4, (500, 5))
    values = 1e4 + draw.standard_normal((5, 4))[np.arange(5), rows].sum(axis=1)
    assert additive_share([(rows, values)], 4) == pytest.approx(1.0, abs=1e-9)


def test_noise_is_explained_as_far_as_there_are_effects_to_fit_it() -> None:
    draw = np.random.default_rng(0)
    rows, values = draw.integers(0, 4, (2000, 5)), draw.standard_normal(2000)
    # 15 free effects of 1999: their share is 0.0075, with a standard error of about 0.003
    assert additive_share([(rows, values)], 4) == pytest.approx(0.0075, abs=0.01)


def test_equal_values_have_no_share() -> None:
    rows = np.zeros((3, 2), dtype=np.int64)
    assert math.isnan(additive_share([(rows, np.full(3, 0.1))], 4))
    assert math.isnan(additive_share([(rows[:0], np.zeros(0))], 4))
