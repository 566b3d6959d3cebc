"""Plots return axes that hold what the result says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from rlquant import visualization
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents import SearchResult, search_problem
from rlquant_agents.search.curves import best_losses


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return search_problem(ToyProblem(3, 4.0), searcher="random", evaluations=12)


def test_the_history_is_the_best_so_far(result: SearchResult) -> None:
    axes = visualization.plot_history({"random": result})
    (line,) = axes.lines
    assert np.array_equal(line.get_ydata(), best_losses(result.history), equal_nan=True)
    assert axes.get_legend() is not None


def test_the_tradeoff_has_a_point_an_evaluation_and_a_star_for_the_result(
    result: SearchResult,
) -> None:
    own = Figure().subplots()
    references = {"float": ToyProblem(3).float_score}
    axes = visualization.plot_tradeoff(result, x="average_bits", references=references, ax=own)
    assert axes is own
    points, best, reference = axes.lines
    assert len(points.get_xdata()) == len(result.history)
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (  # type: ignore[index]
        result.score.average_bits,
        result.score.loss,
    )
    assert reference.get_label() == "float"
    with pytest.raises(SettingsError, match="use one of loss, accuracy"):
        visualization.plot_tradeoff(result, x="bits")


def test_layers_have_bars_as_long_as_their_bits(result: SearchResult) -> None:
    axes = visualization.plot_layers(result)
    assert [bar.get_width() for bar in axes.patches] == [c.bits for c in result.best]
    both = visualization.plot_layers({"a": result.best, "b": result.best})
    assert len(both.patches) == 2 * len(axes.patches)
    other = search_problem(ToyProblem(2, 4.0), searcher="random", evaluations=1).best
    with pytest.raises(SettingsError, match="the same layers"):
        visualization.plot_layers({"a": result.best, "b": other})
