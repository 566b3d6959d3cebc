"""Fronts beside each other: what networks cost, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from rlquant_agents.reporting.figure_axes import (
    COLORS,
    drawable,
    legend_below,
    loss_axis,
    new_axes,
    own_style,
)
from rlquant_agents.reporting.quantities import QUANTITIES

Points = Sequence[tuple[float, float]]
"""Costs and losses."""
MARKS = "osD^vPX*"


@own_style()
def front_figure(fronts: Mapping[str, Points], float_loss: float, quantity: str) -> Figure:
    """Draw loss against cost: the points of each front, joined, and the loss of the float network.

    Args:
        fronts: by name, points in units of the quantity, cheapest first.
        float_loss: of the float network.
        quantity: that costs are of, a key of `QUANTITIES`.
    """
    figure, axes = new_axes()
    label, factor = QUANTITIES[quantity]
    for index, (name, points) in enumerate(fronts.items()):
        seen = [(factor * cost, loss) for cost, loss in points if drawable(cost) and drawable(loss)]
        if seen:
            x, y = zip(*seen, strict=True)
            mark, color = MARKS[index % len(MARKS)], COLORS[index % len(COLORS)]
            axes.step(x, y, where="post", marker=mark, color=color, markersize=5, label=name)
    if drawable(float_loss):
        axes.axhline(float_loss, color="#333333", linestyle=(0, (6, 3)), lw=1.1, label="float")
    axes.set_xlabel(label)
    loss_axis(axes)
    legend_below(figure)
    return figure
