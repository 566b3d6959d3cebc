"""The search for settings in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlquant_agents.figure_axes import COLORS, LEGEND, new_axes
from rlquant_agents.tuning_trial import Tried


def search_figure(tried: Sequence[Tried]) -> Figure:
    """Draw the objective of each trial, the best so far, and that of the shipped settings.

    Args:
        tried: the trials, the shipped settings first.
    """
    shipped = tried[0]
    figure, axes = new_axes()
    whole = [trial for trial in tried if trial.finished]
    given_up = [trial.number for trial in tried if not trial.finished]
    numbers = [trial.number for trial in whole]
    values = [trial.value for trial in whole]
    axes.plot(numbers, values, "o", color=COLORS[0], markersize=4, label="saw all tables")
    if given_up:  # on some of the tables only, so that their height would say nothing
        axes.plot(
            given_up,
            [0.02] * len(given_up),
            "x",
            color="#999999",
            markersize=4,
            transform=axes.get_xaxis_transform(),
            label="given up before",
        )
    end = max(trial.number for trial in tried)
    axes.step(
        [*numbers, end],
        np.minimum.accumulate([*values, values[-1]]),
        where="post",
        color=COLORS[1],
        linewidth=1.6,
        label="best so far",
    )
    axes.axhline(shipped.value, color="#333333", linestyle="--", linewidth=1, label="shipped")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("objective: mean log(best loss so far / optimum)")
    axes.legend(**LEGEND)
    return figure
