"""Figures: what they show is what was measured, with labels, units and a legend."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from matplotlib.image import imread

from rlquant import Budget, QuantizationConfig
from rlquant_agents import make_searcher
from rlquant_agents.reporting.quantities import QUANTITIES, UNITS
from rlquant_agents.runs.figures import (
    comparison_figure,
    layers_figure,
    pareto_figure,
    png,
    search_figure,
)
from rlquant_agents.search.curves import best_losses
from rlquant_agents.search.result import SearchResult
from toy_problem import MIXED, ToyProblem

PROBLEM = ToyProblem(4)
RESULT = make_searcher("knapsack").search(PROBLEM, 40, 0)
RANDOM = make_searcher("random").search(PROBLEM, 40, 0)
FLOAT = {"float": PROBLEM.float_score}
LINES = {**FLOAT, "uniform": RANDOM.history[0].score}


def labels(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def assert_readable(figure: Figure) -> None:
    axes = figure.axes[0]
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert axes.get_title()
    image = imread(io.BytesIO(png(figure)))
    assert image.shape[0] > 300
    assert image.std() > 0.02  # something was drawn


def test_the_pareto_figure_shows_budget_front_and_what_is_over(  # the knapsack asks both
) -> None:
    figure = pareto_figure(RESULT.history, PROBLEM.budget, LINES)
    assert_readable(figure)
    shown = labels(figure)
    for name in ("within budget", "over budget", "Pareto front", "best found", "budget"):
        assert name in shown
    best = next(line for line in figure.axes[0].lines if line.get_label() == "best found")
    assert best.get_xydata().tolist() == [[RESULT.score.average_bits, RESULT.score.loss]]


@pytest.mark.parametrize("quantity", ["size_bytes", "size_ratio", "bops"])
def test_the_pareto_figure_follows_the_budgets_quantity(quantity: str) -> None:
    budget = Budget(quantity, 100.0)  # type: ignore[arg-type]
    figure = pareto_figure(RANDOM.history, budget, FLOAT)
    assert figure.axes[0].get_xlabel() == QUANTITIES[quantity][0]


def test_every_quantity_has_a_label() -> None:
    from typing import get_args

    from rlquant.cost.budget import Quantity

    assert set(QUANTITIES) == set(UNITS) == set(get_args(Quantity))


def test_the_layers_figure_has_a_bar_and_a_name_for_each_layer() -> None:
    figure = layers_figure(RESULT.best, PROBLEM.layers, PROBLEM.space)
    assert_readable(figure)
    axes = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert widths == [choice.bits for choice in RESULT.best]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[0] == "layer0  (40)"


def test_the_layers_figure_says_the_other_decisions_where_they_were_asked() -> None:
    problem = ToyProblem(2, 6.0, MIXED)
    found = make_searcher("random").search(problem, 4, 0)
    figure = layers_figure(found.best, problem.layers, problem.space)
    choice = found.best["layer0"]
    text = figure.axes[0].texts[0].get_text()
    assert text.split()[:4] == [str(choice.bits), choice.rounding, choice.method, choice.points]


def test_a_deep_network_gets_a_high_figure() -> None:
    shallow = layers_figure(RESULT.best, PROBLEM.layers, PROBLEM.space)
    layers = [replace(PROBLEM.layers[0], name=f"l{i}") for i in range(60)]
    choices = tuple(replace(RESULT.best["layer0"], layer=f"l{i}") for i in range(60))
    deep = layers_figure(QuantizationConfig(choices), layers, PROBLEM.space)
    assert deep.get_figheight() > 3 * shallow.get_figheight()


def test_the_search_figure_has_the_best_so_far() -> None:
    figure = search_figure(RANDOM.history, LINES)
    assert_readable(figure)
    curve = next(line for line in figure.axes[0].lines if line.get_label() == "best so far")
    losses = np.asarray(curve.get_ydata())
    assert losses.tolist() == np.minimum.accumulate([e.score.loss for e in RANDOM.history]).tolist()
    assert any(label.startswith("uniform at") for label in labels(figure))


def test_infinite_losses_are_left_out() -> None:
    broken = replace(RANDOM.history[3], score=replace(RANDOM.history[3].score, loss=math.inf))
    history = [*RANDOM.history[:3], broken, *RANDOM.history[4:]]
    assert_readable(search_figure(history, LINES))
    assert_readable(pareto_figure(history, PROBLEM.budget, LINES))


def test_losses_of_both_signs_get_a_plain_axis() -> None:
    below = replace(RANDOM.history[0], score=replace(RANDOM.history[0].score, loss=-1.0))
    figure = search_figure([below, *RANDOM.history[1:]], FLOAT)
    assert figure.axes[0].get_yscale() == "linear"
    assert search_figure(RANDOM.history, FLOAT).axes[0].get_yscale() == "log"


def test_a_search_without_a_feasible_evaluation_can_be_drawn() -> None:
    over = [replace(e, feasible=False) for e in RANDOM.history]
    assert_readable(search_figure(over, FLOAT))
    assert_readable(pareto_figure(over, PROBLEM.budget, FLOAT))


def test_the_comparison_shows_median_and_range() -> None:
    runs: dict[str, list[SearchResult]] = {
        name: [make_searcher(name).search(PROBLEM, 30, seed) for seed in range(3)]
        for name in ("random", "tpe")
    }
    curves = {name: [best_losses(r.history) for r in of] for name, of in runs.items()}
    curves["knapsack"] = [best_losses(RESULT.history)[:20]]  # ends early: keeps its value
    figure = comparison_figure(curves, LINES, "toy")
    assert_readable(figure)
    assert labels(figure)[:3] == ["random (median of 3)", "tpe (median of 3)", "knapsack"]
    axes = figure.axes[0]
    assert len(axes.collections) == 2  # the ranges of the two that ran three times
    median = np.median([c[-1] for c in curves["random"]])
    assert np.asarray(axes.lines[0].get_ydata())[-1] == median
    assert len(np.asarray(axes.lines[2].get_ydata())) == 30


def test_figures_are_drawn_the_same_whatever_the_user_has_set() -> None:
    def drawn() -> list[bytes]:
        layers = [replace(facts, name=f"{facts.name}$_{{") for facts in PROBLEM.layers]
        config = QuantizationConfig(
            tuple(replace(c, layer=f"{c.layer}$_{{") for c in RESULT.best.choices)
        )
        return [
            png(pareto_figure(RESULT.history, PROBLEM.budget, LINES)),
            png(layers_figure(config, layers, PROBLEM.space)),
        ]

    expected = drawn()
    with rc_context({"text.usetex": True, "font.size": 3, "savefig.format": "pdf"}):
        before = dict(rcParams)
        assert drawn() == expected
        assert dict(rcParams) == before
