"""Shared style of figures: axes, colours, numbers on logarithmic axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from rlquant_agents.search.curves import Curve

Stack = npt.NDArray[np.float64]
"""Curves of several runs, shape `(runs, evaluations)`."""

NARROW = 4.0
"""Loss axes with a smaller ratio of ends than this have equally spaced numbers."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#555555")
"""Told apart also by colour-blind readers (Okabe and Ito 2008), with two more."""

LARGEST = 1e100
"""Losses and costs beyond this are not drawn: ratios and sums of an axis' ends stay finite."""
MANY = 1000
"""More points than these are one image in a vector graphic, which stays small."""
LOSS = "validation loss (mean per sample)"
LEGEND: dict[str, Any] = {"fontsize": 8, "framealpha": 0.85, "edgecolor": "none"}


@contextmanager
def own_style() -> Iterator[None]:
    """Within the context, or the decorated function, matplotlib's settings are its defaults.

    The user's may ask for LaTeX, which is not always there; and names of layers are no formulas.
    """
    own = {
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    }
    with style.context(["default", own]):
        yield


def new_axes(width: float = 7.0, height: float = 4.4) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_numbers(axis: Axis, low: float, high: float, *, most: int, subs: Sequence[float]) -> None:
    """Label a logarithmic axis without powers; a narrow one at equal steps."""
    narrow = high < NARROW * low
    axis.set_major_locator(MaxNLocator(most) if narrow else LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(NullLocator())


def drawable(value: float) -> bool:
    """Return whether a number has a place on an axis."""
    return abs(value) <= LARGEST


def draw_points(axes: Axes, points: Iterable[tuple[float, float]], color: str, label: str) -> None:
    """Draw dots, those at one place once, and those without a place not at all."""
    seen = list(dict.fromkeys(point for point in points if all(map(drawable, point))))
    if seen:
        x, y = zip(*seen, strict=True)
        axes.plot(
            *(x, y, "o"),
            color=color,
            markersize=4,
            alpha=0.5,
            markeredgewidth=0,
            label=label,
            rasterized=len(seen) > MANY,
        )


def draw_curve(axes: Axes, curve: Curve, index: int, label: str, **settings: Any) -> None:
    """Draw a curve that keeps its height up to the next evaluation; more than `COLORS` dashed."""
    numbers = np.arange(1, len(curve) + 1)
    line: dict[str, Any] = {
        "color": COLORS[index % len(COLORS)],
        "ls": "-" if index < len(COLORS) else "--",
    }
    axes.step(numbers, curve, where="post", linewidth=1.6, label=label, **line, **settings)


def legend_below(figure: Figure) -> None:
    """Put the legend below the axes, where it hides nothing."""
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)


def loss_axis(axes: Axes) -> None:
    """Set a logarithmic loss axis with plain numbers, where all that is drawn is positive."""
    axes.set_ylabel(LOSS)
    if axes.dataLim.y0 < 1 / LARGEST:
        return
    axes.set_ylabel(f"{LOSS}, log scale")
    limits = axes.get_ylim()
    axes.set_yscale("log")
    low, high = axes.get_ylim() if limits[0] <= 0 else limits
    plain_numbers(axes.yaxis, low, high, most=8, subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


def evaluations_axis(axes: Axes) -> None:
    """Say that the horizontal axis counts evaluations."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("evaluations (distinct configurations measured)")


def extended(curve: Curve, length: int) -> Curve:
    """Return a curve that keeps its last value up to `length`; NaN for an empty one."""
    tail = np.full(length - len(curve), curve[-1] if len(curve) else np.nan)
    return np.concatenate([curve, tail])


def draw_runs(
    axes: Axes,
    curves: Mapping[str, Sequence[Curve]],
    summary: Callable[[Stack], tuple[Curve, Curve, Curve]],
    word: str,
) -> int:
    """Draw one line for the runs of each searcher, and a band where they lie.

    Args:
        axes: to draw on.
        curves: by searcher, one curve a run; one that stopped early keeps its last value.
        summary: middle, low and high of a stack of runs, shape `(runs, evaluations)`.
        word: what the middle is called.

    Returns:
        The length of the longest run, at least 1.
    """
    longest = max((len(c) for runs in curves.values() for c in runs), default=1)
    numbers = np.arange(1, longest + 1)
    for index, (name, runs) in enumerate(curves.items()):
        middle, low, high = summary(np.array([extended(curve, longest) for curve in runs]))
        label = name if len(runs) == 1 else f"{name} ({word} of {len(runs)})"
        if len(runs) > 1:
            color = COLORS[index % len(COLORS)]
            axes.fill_between(numbers, low, high, step="post", color=color, alpha=0.12, lw=0)
        draw_curve(axes, middle, index, label)
    return longest
