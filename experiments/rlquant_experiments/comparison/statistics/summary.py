"""Summary of a comparison: regret levels, differences to a chosen searcher, times to a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlquant_experiments.comparison.statistics.regrets import Regrets
from rlquant_experiments.comparison.statistics.statistics import (
    Estimate,
    estimate,
    improvement,
    improvement_estimate,
    interquartile_mean,
)
from rlquant_experiments.comparison.statistics.targets import TARGETS, ToTarget
from rlquant_experiments.comparison.stratum import marks_up_to

COMPARED_AT = (100, 300)
"""Numbers of evaluations at which searchers are compared with each other."""


@dataclass(frozen=True)
class Level:
    """The regret of one searcher after some evaluations, over all strata.

    Attributes:
        mean: of all runs.
        middle: of the middle half of them.
    """

    mean: Estimate
    middle: Estimate


@dataclass(frozen=True)
class Difference:
    """The difference of the chosen searcher from another one after some evaluations.

    Attributes:
        label: the other one.
        mean: the chosen one's mean regret less the other's, paired by seed and stratum; below 0
            the chosen one is nearer to the optimum.
        improvement: how often a run of the chosen one is below a run of the other.
    """

    label: str
    mean: Estimate
    improvement: Estimate

    def words(self) -> str:
        """Return the other one's label and the difference."""
        return f"{self.label} (difference {self.mean.words(signed=True)})"


@dataclass(frozen=True)
class Summary:
    """All that is reported of a comparison.

    Attributes:
        regrets: what it is made of.
        chosen: the searcher that all others are compared with.
        levels: by label and number of evaluations.
        differences: by number of evaluations, the one of the smallest mean regret first.
        improvements: by number of evaluations, how often a run of the one is below a run of the
            other: `improvements[mark][one][other]`.
        targets: by label, one for each of `TARGETS`.
    """

    regrets: Regrets
    chosen: str
    levels: Mapping[str, Mapping[int, Level]]
    differences: Mapping[int, tuple[Difference, ...]]
    improvements: Mapping[int, Mapping[str, Mapping[str, float]]]
    targets: Mapping[str, tuple[ToTarget, ...]]

    @classmethod
    def of(cls, regrets: Regrets, chosen: str) -> Summary:
        """Compute the statistics.

        Args:
            regrets: of every run.
            chosen: the label that all others are compared with.
        """
        most, curves = regrets.evaluations, regrets.curves
        marks = marks_up_to(most)
        compared_at = tuple(mark for mark in COMPARED_AT if mark <= most) or (most,)
        return cls(
            regrets=regrets,
            chosen=chosen,
            levels={k: {mark: _level(regrets, k, mark) for mark in marks} for k in curves},
            differences={mark: _differences(regrets, chosen, mark) for mark in compared_at},
            improvements={mark: _improvements(regrets, mark) for mark in compared_at},
            targets={
                k: tuple(ToTarget.of(curves[k], target) for target in TARGETS) for k in curves
            },
        )

    @property
    def marks(self) -> tuple[int, ...]:
        """Numbers of evaluations at which regrets are shown."""
        return marks_up_to(self.regrets.evaluations)

    @property
    def compared_at(self) -> tuple[int, ...]:
        """Numbers of evaluations at which searchers are compared with each other."""
        return tuple(self.differences)


def _level(regrets: Regrets, label: str, mark: int) -> Level:
    values = regrets.at(label, mark)
    return Level(estimate(values), estimate(values, interquartile_mean))


def _differences(regrets: Regrets, chosen: str, mark: int) -> tuple[Difference, ...]:
    own = regrets.at(chosen, mark)
    others = {label: regrets.at(label, mark) for label in regrets.ranked(mark) if label != chosen}
    return tuple(
        Difference(label, estimate(own - other), improvement_estimate(own, other))
        for label, other in others.items()
    )


def _improvements(regrets: Regrets, mark: int) -> dict[str, dict[str, float]]:
    at = {label: regrets.at(label, mark) for label in regrets.ranked(mark)}
    return {
        one: {other: improvement(at[one], at[other]) for other in at if other != one} for one in at
    }


def verdict(summary: Summary, mark: int) -> str:
    """Say in words how the chosen searcher stands after some evaluations.

    Two differ where the interval of their difference leaves out 0.
    """
    chosen, others = summary.chosen, summary.differences[mark]
    own = summary.levels[chosen][mark].mean
    below = [other for other in others if other.mean.high < 0]
    above = [other for other in others if other.mean.low > 0]
    level = [other for other in others if other not in below and other not in above]
    start = f"After {mark} evaluations {chosen} (mean regret {own.words()})"
    if not others:
        return f"{start} has no baseline."
    if len(below) == len(others):
        nearest = max(below, key=lambda other: other.mean.value)
        return f"{start} is below every baseline; the nearest is {nearest.words()}."
    return (
        f"{start} is not below every baseline. Below it: {_listed(above)}. Not told apart from it: "
        f"{_listed(level)}. It is below {_listed(below)}."
    )


def _listed(differences: Sequence[Difference]) -> str:
    return ", ".join(difference.words() for difference in differences) or "none"
