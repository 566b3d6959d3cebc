"""Comparison statistics: regret levels, differences to a chosen searcher, times to a target."""

from __future__ import annotations

from collections.abc import Mapping
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
from rlquant_experiments.comparison.table_comparison_report import marks_up_to

JUDGED_AT = (100, 300)
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
class Rival:
    """How the chosen searcher stands to another one after some evaluations.

    Attributes:
        label: the other one.
        difference: the chosen one's mean regret less the other's, paired by seed and stratum;
            below 0 the chosen one is nearer to the optimum.
        improvement: how often a run of the chosen one is below a run of the other.
    """

    label: str
    difference: Estimate
    improvement: Estimate


@dataclass(frozen=True)
class Judgement:
    """All that is reported of a comparison.

    Attributes:
        regrets: what it is made of.
        chosen: the searcher that all others are compared with.
        levels: by label and number of evaluations.
        rivals: by number of evaluations, the one of the smallest mean regret first.
        improvements: by number of evaluations, how often a run of the one is below a run of the
            other: `improvements[mark][one][other]`.
        targets: by label, one for each of `TARGETS`.
    """

    regrets: Regrets
    chosen: str
    levels: Mapping[str, Mapping[int, Level]]
    rivals: Mapping[int, tuple[Rival, ...]]
    improvements: Mapping[int, Mapping[str, Mapping[str, float]]]
    targets: Mapping[str, tuple[ToTarget, ...]]

    @property
    def marks(self) -> tuple[int, ...]:
        """Numbers of evaluations at which regrets are shown."""
        return marks_up_to(self.regrets.evaluations)

    @property
    def judged_at(self) -> tuple[int, ...]:
        """Numbers of evaluations at which searchers are compared with each other."""
        return tuple(self.rivals)


def judge(regrets: Regrets, chosen: str) -> Judgement:
    """Judge searchers by their regrets.

    Args:
        regrets: of every run.
        chosen: the label that all others are compared with.
    """
    labels, most = regrets.labels, regrets.evaluations
    judged_at = tuple(mark for mark in JUDGED_AT if mark <= most) or (most,)
    return Judgement(
        regrets=regrets,
        chosen=chosen,
        levels={
            label: {mark: _level(regrets, label, mark) for mark in marks_up_to(most)}
            for label in labels
        },
        rivals={mark: _rivals(regrets, chosen, mark) for mark in judged_at},
        improvements={mark: _improvements(regrets, mark) for mark in judged_at},
        targets={
            label: tuple(ToTarget.of(regrets.curves[label], target) for target in TARGETS)
            for label in labels
        },
    )


def _level(regrets: Regrets, label: str, mark: int) -> Level:
    values = regrets.at(label, mark)
    return Level(estimate(values), estimate(values, interquartile_mean))


def _rivals(regrets: Regrets, chosen: str, mark: int) -> tuple[Rival, ...]:
    own = regrets.at(chosen, mark)
    found = []
    for label in regrets.ranked(mark):
        if label != chosen:
            other = regrets.at(label, mark)
            found.append(Rival(label, estimate(own - other), improvement_estimate(own, other)))
    return tuple(found)


def _improvements(regrets: Regrets, mark: int) -> dict[str, dict[str, float]]:
    at = {label: regrets.at(label, mark) for label in regrets.ranked(mark)}
    return {
        one: {other: improvement(at[one], at[other]) for other in at if other != one} for one in at
    }
