"""Plots of what a search found; every function draws into axes of matplotlib and returns them.

    axes = rlquant.visualization.plot_history(result)
    axes.figure.savefig("history.png")

`ax=None` makes a figure of its own, which no window shows; give `ax=plt.gca()` for pyplot's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rlquant.config import QuantizationConfig
from rlquant.errors import SettingsError
from rlquant.score import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {
    "loss": "validation loss (mean per sample)",
    "accuracy": "validation accuracy",
    "average_bits": "stored bits per weight, scales included",
    "size_bytes": "size of the packed file (bytes)",
    "size_ratio": "packed file over float network (bytes per byte)",
    "bops": "bit-operations per sample",
    "latency": "latency by table (s)",
}
"""Fields of a score that can be drawn -> label of their axis, with its unit."""


class Asked(Protocol):
    """An evaluation of a search."""

    @property
    def score(self) -> Score:
        """What was measured."""

    @property
    def candidate(self) -> bool:
        """Whether it may be the result: within the budget, complete."""

    @property
    def final(self) -> bool:
        """Whether the score is complete and of the problem's own fidelity."""


class Found(Protocol):
    """What of `rlquant_agents.SearchResult` is drawn."""

    @property
    def best(self) -> QuantizationConfig:
        """The result."""

    @property
    def score(self) -> Score:
        """Its score."""

    @property
    def history(self) -> Sequence[Asked]:
        """Every evaluation in order."""


def plot_history(results: Found | Mapping[str, Found], *, ax: Axes | None = None) -> Axes:
    """Draw the best loss within the budget after each evaluation.

    Args:
        results: of one search, or of several by name.
        ax: where to draw; a new figure by default.
    """
    axes = _axes(ax)
    for name, result in _named(results).items():
        losses = [e.score.loss if e.candidate else np.inf for e in result.history]
        best = np.minimum.accumulate(losses)
        shown = np.where(np.isfinite(best), best, np.nan)
        axes.step(np.arange(1, len(best) + 1), shown, where="post", label=name or None)
    axes.set_xlabel("evaluations (distinct configurations measured)")
    axes.set_ylabel(f"best {LABELS['loss']}")
    return _with_legend(axes)


def plot_tradeoff(
    results: Found | Mapping[str, Found],
    *,
    x: str = "size_bytes",
    y: str = "loss",
    references: Mapping[str, Score] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw every complete evaluation as a point, and each result as a star.

    Args:
        results: of one search, or of several by name.
        x: field of `Score` on the horizontal axis.
        y: field of `Score` on the vertical axis.
        references: other scores by name, such as the float network's.
        ax: where to draw; a new figure by default.

    Raises:
        SettingsError: no such field.
    """
    for name, field in (("x", x), ("y", y)):
        if field not in LABELS:
            raise SettingsError(f"{name}={field!r}: use one of {', '.join(LABELS)}")
    axes = _axes(ax)
    for name, result in _named(results).items():
        points = _points((e.score for e in result.history if e.final), x, y)
        (drawn,) = axes.plot(*points, "o", markersize=4, alpha=0.5, label=name or None)
        best = _points([result.score], x, y)
        axes.plot(*best, "*", markersize=14, color=drawn.get_color(), markeredgecolor="white")
    for name, score in (references or {}).items():
        axes.plot(*_points([score], x, y), "s", markersize=7, label=name)
    axes.set_xlabel(LABELS[x])
    axes.set_ylabel(LABELS[y])
    return _with_legend(axes)


def plot_layers(
    configs: Found | QuantizationConfig | Mapping[str, QuantizationConfig],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the bits of every layer, in execution order; layers in float have no bar.

    Args:
        configs: a result, a configuration, or several of the same layers by name.
        ax: where to draw; a new figure by default.

    Raises:
        SettingsError: configurations of different layers.
    """
    if isinstance(configs, Mapping):
        named = dict(configs)
    else:
        named = {"": configs if isinstance(configs, QuantizationConfig) else configs.best}
    layers = {tuple(choice.layer for choice in config) for config in named.values()}
    if len(layers) != 1:
        raise SettingsError("configs: give configurations of the same layers")
    axes, names = _axes(ax), next(iter(layers))
    height = 0.8 / len(named)
    for index, (name, config) in enumerate(named.items()):
        bits = [0 if choice.method == "float" else choice.bits for choice in config]
        rows = np.arange(len(names)) - 0.4 + height * (index + 0.5)
        axes.barh(rows, bits, height=height, label=name or None)
    axes.set_yticks(np.arange(len(names)), [name or "network" for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("bits per weight code")
    return _with_legend(axes)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure  # imports slowly

    return Figure(layout="constrained").subplots()


def _named(results: Found | Mapping[str, Found]) -> Mapping[str, Found]:
    return results if isinstance(results, Mapping) else {"": results}


def _points(scores: Iterable[Score], x: str, y: str) -> Any:
    """Return the coordinates of the scores that have both, shape `(2, points)`."""
    pairs = [(getattr(score, x), getattr(score, y)) for score in scores]
    found = [pair for pair in pairs if None not in pair and np.all(np.isfinite(pair))]
    return np.array(found, dtype=float).reshape(-1, 2).T


def _with_legend(axes: Axes) -> Axes:
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    return axes
