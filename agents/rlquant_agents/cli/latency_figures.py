"""The picture of a latency table: predicted against measured times."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rlquant.profiling.profile import LatencyProfile
from rlquant_agents.reporting.figure_axes import COLORS, LEGEND, new_axes, own_style


@own_style()
def latency_figure(profile: LatencyProfile) -> Figure:
    """Draw the check networks, and where predictions would be exact and 15 % off."""
    figure, axes = new_axes(5.4, 4.6)
    unfitted = slice(-profile.checks, None)
    measured, predicted = (
        1e3 * np.array(times[unfitted]) for times in (profile.measured, profile.predicted)
    )
    ends = np.array(
        [0.9 * min(measured.min(), predicted.min()), 1.1 * max(measured.max(), predicted.max())]
    )
    axes.fill_between(ends, 0.85 * ends, 1.15 * ends, color="#eeeeee", label="within 15 %")
    axes.plot(ends, ends, color="#888888", linewidth=1.0, label="exact")
    axes.scatter(measured, predicted, s=30, color=COLORS[0], label="mixes of 8-bit and float")
    axes.set(xlim=ends, ylim=ends, xlabel="measured (ms)", ylabel="predicted by the table (ms)")
    axes.set_title(f"{len(measured)} networks, mean error {100 * profile.mean_error:.1f} %")
    axes.legend(**LEGEND, loc="upper left")
    return figure
