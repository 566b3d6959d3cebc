"""Figures of statistics: what is drawn, and that names do not cover each other."""

from __future__ import annotations

import numpy as np
import pytest
from compared_runs import two_strata

from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.comparison.statistics.figures import (
    ABOVE,
    BELOW,
    GREY,
    differences_figure,
    regret_figure,
    spread,
    tables_figure,
)
from rlquant_experiments.comparison.statistics.regrets import Regrets
from rlquant_experiments.comparison.statistics.statistics import interquartile_mean
from rlquant_experiments.comparison.statistics.summary import Summary

REGRETS = Regrets.of(two_strata(), 4)


def test_curves_are_means_with_agents_in_colour_and_names_at_their_ends() -> None:
    figure = regret_figure(REGRETS, ["agent"], title="so far")
    (axes,) = figure.axes
    assert axes.get_title() == "so far"
    assert {text.get_text() for text in axes.texts} == {"agent", "random", "uniform"}
    colors = [line.get_color() for line in axes.lines]
    assert colors.count(GREY) == 2
    assert len(axes.collections) == 1  # the agent's band
    drawn = axes.lines[-1].get_ydata()
    assert drawn == pytest.approx(REGRETS.curves["agent"].mean(axis=(0, 1)))
    middle = regret_figure(REGRETS, [], interquartile_mean).axes[0]
    assert middle.lines[1].get_ydata()[-1] == pytest.approx(0.3)
    assert len(png(figure)) > 10_000


def test_names_stand_apart_near_where_they_belong() -> None:
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    places = spread([0.0, 0.41, 0.42, 0.5, 0.9], 0.1)
    assert (np.diff(places) >= 0.1 - 1e-12).all()
    assert places[0] == 0.0
    assert places[-1] == pytest.approx(0.9)
    assert spread([], 0.1) == []


def test_differences_are_coloured_by_what_they_say() -> None:
    (axes,) = differences_figure(Summary.of(REGRETS, "random")).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["uniform", "agent"]
    points = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    assert (points[1].get_color(), points[0].get_color()) == (ABOVE, BELOW)
    assert points[1].get_xdata()[0] == pytest.approx(0.25)


def test_each_table_has_a_column() -> None:
    (axes,) = tables_figure(REGRETS, ["table-0", "table-1"], 4).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["table-0", "table-1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["agent", "random", "uniform"]
    assert [text.get_text() for text in axes.texts][1:4] == ["0.1", "0.3", "0.3"]
