"""The figure of the page: KL to the float network against the bytes of GGUF files."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from rlquant_agents.reporting.figure_axes import own_style
from rlquant_experiments.targets.rows import (
    GPTQ,
    NEAREST,
    SEARCHED,
    THEIRS,
    THEIRS_BY_IMPORTANCE,
    Figures,
    Row,
)

MEGA = 1e6
STYLES: Mapping[str, tuple[str, str]] = {
    THEIRS: ("v", "tab:orange"),
    THEIRS_BY_IMPORTANCE: ("^", "tab:red"),
    NEAREST: ("s", "tab:cyan"),
    GPTQ: ("o", "tab:blue"),
    SEARCHED: ("*", "black"),
}
"""Marker and color of a way; our own are filled."""
HOLLOW = (THEIRS, THEIRS_BY_IMPORTANCE)


@own_style()
def figure_of(rows: Mapping[Row, Figures]) -> Figure:
    """Return the divergences of the rows of GGUF files against their bytes."""
    figure = Figure(figsize=(8.0, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for way, (marker, color) in STYLES.items():
        own = sorted((f.bytes or f.promised, f.kl) for row, f in rows.items() if row.way == way)
        if own:
            sizes, losses = zip(*own, strict=True)
            axes.plot(
                [size / MEGA for size in sizes],
                losses,
                label=way,
                marker=marker,
                color=color,
                markersize=9 if way == SEARCHED else 6,
                fillstyle="none" if way in HOLLOW else "full",
                linestyle="none",
            )
    axes.set(xlabel="GGUF file (MB)", ylabel="KL to the float network (nats)", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")  # powers would need a formula
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter("{x:g}")
    if axes.has_data():
        figure.legend(loc="outside right upper", fontsize="x-small")
    return figure
