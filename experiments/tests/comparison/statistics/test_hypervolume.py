"""Areas by hand, and against the code of docs/how-to/benchmark.md."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from rlquant import Budget, QuantizationConfig, Score, TabularProblem
from rlquant.errors import DataError, SettingsError
from rlquant.testing import random_table
from rlquant_agents import make_searcher
from rlquant_experiments.comparison.statistics.hypervolume import (
    hypervolume,
    points_of,
    reference_point,
    relative_hypervolume,
)

SCORE = Score(loss=0.5, accuracy=0.9, size_bytes=10, average_bits=3, size_ratio=0.1, bops=1)


def scored(loss: float, bits: float) -> Score:
    return replace(SCORE, loss=loss, average_bits=bits)


def test_areas_by_hand() -> None:
    reference = np.array([4.0, 4.0])
    steps = np.array([[1.0, 3.0], [2.0, 1.0]])
    assert hypervolume(steps, reference) == (4 - 1) * (4 - 3) + (4 - 2) * (3 - 1)
    more = np.array([[3.0, 3.5], [1.0, 3.0], [5.0, 0.0], [0.0, 4.0], [2.0, 1.0]])
    assert hypervolume(more, reference) == 7  # dominated, repeated, beyond, on the edge
    assert hypervolume(np.empty((0, 2)), reference) == 0


def test_points_are_costs_and_logs_of_losses() -> None:
    points = points_of([scored(1.0, 2.0), scored(np.e, 1.0)], "average_bits")
    assert points == pytest.approx(np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert reference_point(points) == pytest.approx([2.0, 1.0])
    assert points_of([], "average_bits").shape == (0, 2)
    assert np.isfinite(points_of([scored(np.inf, 1.0)], "average_bits")).all()


@pytest.mark.parametrize("quantity", ["average_bits", "size_bytes"])
def test_the_whole_front_is_one_and_nothing_is_zero(quantity: str) -> None:
    table = random_table(4, interaction=1.0)
    limit = 3.0 if quantity == "average_bits" else 10**6
    problem = TabularProblem(table, Budget(quantity, limit))  # type: ignore[arg-type]
    front = [score for _, score in problem.pareto()]
    assert relative_hypervolume(problem, front) == 1.0
    assert relative_hypervolume(problem, []) == 0.0
    assert 0 < relative_hypervolume(problem, front[::3]) < 1


def test_it_is_the_share_that_the_documentation_defines() -> None:
    problem = TabularProblem(random_table(4, interaction=1.0), Budget.average_bits(3.5))
    front = problem.pareto()
    result = make_searcher("random").search(problem, evaluations=40, seed=0)

    def dominated(scores: list[Score]) -> float:  # as docs/how-to/benchmark.md has it
        most_bits, worst = front[-1][1].average_bits, np.log(front[0][1].loss)
        area, reached = 0.0, worst
        for score in sorted(scores, key=lambda score: (score.average_bits, score.loss)):
            height = np.log(score.loss)
            if score.average_bits < most_bits and height < reached:
                area += (most_bits - score.average_bits) * (reached - height)
                reached = height
        return float(area)

    share = dominated([e.score for e in result.history]) / dominated([s for _, s in front])
    found = [score for _, score in result.pareto]
    assert relative_hypervolume(problem, found) == pytest.approx(share)


class OnePoint(TabularProblem):
    def pareto(self) -> list[tuple[QuantizationConfig, Score]]:
        return super().pareto()[:1]


def test_a_front_without_area_is_refused() -> None:
    problem = OnePoint(random_table(3), Budget.average_bits(3.0))
    with pytest.raises(DataError, match="its front of 1 has no area to compare with"):
        relative_hypervolume(problem, [])


def test_without_moocore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moocore", None)
    with pytest.raises(SettingsError, match=r"pip install 'rlquant\[experiments\]'"):
        hypervolume(np.zeros((1, 2)), np.ones(2))
