"""Figures: what they show is what was measured, with labels and units, as PNG and as SVG alike."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from matplotlib.image import imread

from html_page import HtmlPage
from reported_runs import run_of
from rlquant.cost.budget import Quantity
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents import make_searcher
from rlquant_agents.reporting.figure_axes import COLORS, MANY
from rlquant_agents.reporting.figure_files import png, svg
from rlquant_agents.reporting.figures import (
    comparison_figure,
    layers_figure,
    pareto_figure,
    search_figure,
)
from rlquant_agents.reporting.quantities import QUANTITIES, UNITS
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.search.curves import best_losses


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return run_of(tmp_path_factory.mktemp("run"))


def labels(figure: Figure) -> list[str]:
    (legend,) = [*figure.legends, *filter(None, [figure.axes[0].get_legend()])]
    return [text.get_text() for text in legend.get_texts()]


def line(figure: Figure, label: str) -> np.ndarray:
    found = next(one for one in figure.axes[0].lines if str(one.get_label()).startswith(label))
    return np.asarray(found.get_xydata())


def assert_readable(figure: Figure) -> None:
    assert_readable_picture(figure)
    assert_readable_drawing(figure)


def assert_readable_picture(figure: Figure) -> None:
    assert figure.axes[0].get_xlabel()
    image = imread(io.BytesIO(png(figure)))
    assert image.shape[0] > 300
    assert image.std() > 0.02  # something was drawn


def assert_readable_drawing(figure: Figure) -> None:
    assert not re.search(r"nan|inf(?!er)", svg(figure, "name", ""))


def test_the_pareto_figure_shows_every_evaluation_front_and_budget(run: RunFiles) -> None:
    figure = pareto_figure(run)
    assert_readable(figure)
    for inside, label in ((True, "within the budget"), (False, "over the budget")):
        expected = {(e.cost, e.loss) for e in run.evaluations if e.feasible is inside}
        assert set(map(tuple, line(figure, label).tolist())) == expected != set()
    assert line(figure, "budget")[0, 0] == run.limit
    assert line(figure, "Pareto front")[:, 1].tolist() == [e.loss for e in run.front]
    assert line(figure, "delivered").tolist() == [
        [run.outcome.score.average_bits, run.outcome.score.loss]
    ]
    assert "float: loss 0.2500" in labels(figure)


@pytest.mark.parametrize("quantity", get_args(Quantity))
def test_every_quantity_has_a_label(run: RunFiles, quantity: str) -> None:
    assert set(UNITS) == set(QUANTITIES)
    budget = {"quantity": quantity, "limit": 100.0}
    timed = replace(run.outcome, score=replace(run.outcome.score, latency=1e-3))
    only = replace(run.facts, uniform=None)
    other = replace(run, settings={**run.settings, "budget": budget}, outcome=timed, facts=only)
    assert pareto_figure(other).axes[0].get_xlabel() == QUANTITIES[quantity][0]


def test_the_layers_figure_has_a_bar_a_name_and_the_choice_of_each_layer(tmp_path: Path) -> None:
    run = run_of(tmp_path, ToyProblem(3, 9.0, MIXED), searcher="random", evaluations=9)
    long, (first, *others) = "a" * 30 + "b" * 30, run.config.choices
    choices = (replace(first, layer=long), replace(others[0], bits=32, method="float"), others[1])
    layers = (replace(run.facts.layers[0], name=long), *run.facts.layers[1:])
    facts = replace(run.facts, layers=layers)
    figure = layers_figure(replace(run, config=replace(run.config, choices=choices), facts=facts))
    assert_readable(figure)
    axes = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    widest = max(option.bits for option in facts.options if option.method != "float")
    assert widths == [choices[0].bits, widest, choices[2].bits]
    assert [text.get_text() for text in axes.texts] == [c.in_words for c in choices]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[0] == f"{'a' * 19}…{'b' * 19} (40)"
    assert names[1] == f"layer1 ({layers[1].parameters})"


def test_the_search_figure_has_the_best_so_far_of_every_run(run: RunFiles) -> None:
    runs = {f"run {i}": run for i in range(len(COLORS) + 1)}
    figure = search_figure(runs)
    assert_readable(figure)
    best = f"best of run 0: loss {run.outcome.score.loss:.4f}"
    assert np.array_equal(line(figure, best)[:, 1], run.curve, equal_nan=True)
    assert len(line(figure, "one evaluation of run 0")) == sum(e.candidate for e in run.evaluations)
    styles = [one.get_linestyle() for one in figure.axes[0].lines[1:]]
    assert styles[: len(runs)] == ["-"] * (len(COLORS) - 1) + ["--"] * 2
    assert any(label.startswith("uniform at") for label in labels(figure))


@pytest.mark.parametrize("loss", [math.inf, -math.inf, 1e308, -0.5, 0.0, 5e-324])
def test_odd_losses_do_no_harm(run: RunFiles, loss: float) -> None:
    first, *others = run.evaluations
    some = replace(run, evaluations=(replace(first, loss=loss, feasible=True), *others))
    everything = replace(run, evaluations=tuple(replace(e, loss=loss) for e in run.evaluations))
    assert_readable_picture(pareto_figure(everything))
    assert_readable_picture(search_figure({"it": some}))
    assert_readable_drawing(pareto_figure(some))
    assert_readable_drawing(search_figure({"it": everything}))
    expected = "log" if abs(loss) > 1 else "linear"  # what is too large is left out
    assert search_figure({"it": some}).axes[0].get_yscale() == expected


def test_nothing_within_the_budget_can_be_drawn(run: RunFiles) -> None:
    over = replace(run, evaluations=tuple(replace(e, feasible=False) for e in run.evaluations))
    assert_readable(search_figure({"it": over}))
    assert_readable(pareto_figure(over))


def test_very_many_evaluations_stay_a_small_page(run: RunFiles) -> None:
    first = replace(run.evaluations[0], feasible=True)
    many = tuple(replace(first, loss=1 + i / 9999) for i in range(5 * MANY))
    assert len(svg(pareto_figure(replace(run, evaluations=many)), "front", "")) < 100_000


def test_the_comparison_shows_median_and_range() -> None:
    problem = ToyProblem(4)
    curves = {
        name: [
            best_losses(make_searcher(name).search(problem, 30, s).history) for s in range(count)
        ]
        for name, count in (("random", 3), ("knapsack", 1))
    }
    curves["knapsack"][0] = curves["knapsack"][0][:20]  # ends early: keeps its value
    figure = comparison_figure(curves, {"float": problem.float_score}, "toy")
    assert_readable(figure)
    assert labels(figure)[:2] == ["random (median of 3)", "knapsack"]
    axes = figure.axes[0]
    assert len(axes.collections) == 1  # the range of the one that ran three times
    assert line(figure, "random")[-1, 1] == np.median([c[-1] for c in curves["random"]])
    assert len(line(figure, "knapsack")) == 30


def test_figures_are_drawn_the_same_whatever_the_user_has_set(run: RunFiles) -> None:
    names = {choice.layer: f"{choice.layer}$_{{<b>\x1b\uffff" for choice in run.config}
    config = replace(
        run.config, choices=tuple(replace(c, layer=names[c.layer]) for c in run.config)
    )
    layers = tuple(replace(facts, name=names[facts.name]) for facts in run.facts.layers)
    other = replace(run, config=config, facts=replace(run.facts, layers=layers))

    def drawn() -> list[bytes | str]:
        figures = (pareto_figure(other), layers_figure(other))
        return [made for f in figures for made in (png(f), svg(f, "name", "what it shows"))]

    expected = drawn()
    with rc_context({"text.usetex": True, "font.size": 3, "savefig.format": "pdf"}):
        before = dict(rcParams)
        assert drawn() == expected
        assert dict(rcParams) == before
    page = HtmlPage(str(expected[-1]))
    assert page.count("b") == 0
    assert r"layer0$_{<b>\x1b\uffff (40)" in page.text
    assert page.values("aria-label") == ["what it shows"]
