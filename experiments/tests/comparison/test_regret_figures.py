"""The figure of regrets shows means, also where some are zero or not there yet."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.comparison.regret_figures import LEAST, regret_figure

CURVES = {
    "random": [np.array([3.0, 1.0, 0.4]), np.array([1.0, 1.0, 0.6])],
    "tpe": [np.array([math.nan, 2.0, 0.0]), np.array([2.0, 2.0, 0.0])],
    "uniform": [np.array([1.0])],
}


def test_lines_are_means_and_zero_is_drawn_at_the_least() -> None:
    figure = regret_figure(CURVES, "a table")
    (axes,) = figure.axes
    random, tpe, uniform = (line.get_ydata() for line in axes.get_lines())
    assert random == pytest.approx([2.0, 1.0, 0.5])
    assert tpe[1:] == pytest.approx([2.0, LEAST])
    assert math.isnan(tpe[0])
    assert uniform == pytest.approx([1.0, 1.0, 1.0])  # it keeps its value
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title() == "a table"
    assert len(png(figure)) > 10_000


def test_no_curve_is_an_empty_figure() -> None:
    assert len(png(regret_figure({}))) > 1000
