"""Panels of a figure as numbers; `figures.py` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlquant.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Series:
    """One line or row of points: its mean over seeds is drawn, and the range of the seeds.

    Attributes:
        label: in the legend.
        x: positions, or words for a categorical axis.
        y: one sequence per seed, as long as `x`.
        dashed: for what others are compared with.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[Sequence[float]]
    dashed: bool = False

    def __post_init__(self) -> None:
        if not self.y or any(len(run) != len(self.x) for run in self.y):
            raise SettingsError(
                f"Series {self.label!r}: {len(self.x)} positions and runs of "
                f"{[len(run) for run in self.y]} numbers; give one number a position and seed"
            )


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: what is to be seen.
        x_label: with unit.
        y_label: with unit.
        series: what is drawn; the same label has the same colour in all panels.
        logarithmic: whether the y axis is.
        logarithmic_x: whether the x axis is.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    logarithmic: bool = False
    logarithmic_x: bool = False
