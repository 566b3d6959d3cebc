"""How the agent stands against every other searcher: paired differences over problems and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant_experiments.at_scale.problems import Problem
from rlquant_experiments.comparison.statistics.statistics import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    Estimate,
    interquartile_mean,
)
from rlquant_experiments.real_networks.rows import AGENT

Floats = npt.NDArray[np.float64]
NOTHING = 1e-3
"""A float network's loss below this is none: losses are compared with the float network's own
answers, and what is left of 0 is rounding."""
LEAST = 1e-12
PARTS = ("auto-first-answer", "auto-racing", "dyna-ppo", "dyna-ppo-fresh")
"""Searchers that are the agent with something left out or added; they are no baselines."""
PPO = "masked-ppo"
PPO_PARTS = (
    *(f"{PPO}-imitation", f"{PPO}-sampled", f"{PPO}-encoder", f"{PPO}-shaping"),
    *(f"{PPO}-warm-start", f"{PPO}-plain"),
)
"""The agent of environment steps with something left out."""
FIRST_ANSWER = PARTS[0]
ASK_ONCE = ("knapsack-fisher", "knapsack-output-error", "knapsack-linearity")
"""Baselines that answer by what they know beforehand, as `FIRST_ANSWER` does."""


def baselines(problems: Sequence[Problem]) -> list[str]:
    """Return the searchers that the agent is compared with."""
    names = dict.fromkeys(name for problem in problems for name in problem.runs)
    return [name for name in names if name not in (AGENT, *PARTS, PPO, *PPO_PARTS)]


def increases(problem: Problem, searcher: str) -> Floats:
    """Return the log loss increases of all seeds on test data, shape `(seeds,)`.

    The log of the loss over the float network's, and the log of the loss where that is `NOTHING`.
    """
    base = problem.float_loss if problem.float_loss >= NOTHING else 1.0
    losses = [run.figures.loss for run in problem.runs[searcher]]
    return np.log(np.maximum(losses, LEAST) / base)


def level(problem: Problem, searcher: str) -> float:
    """Return the interquartile mean of the seeds' log loss increases."""
    return float(interquartile_mean(increases(problem, searcher)[:, None]))


def common(problems: Sequence[Problem], searcher: str, agent: str = AGENT) -> list[Problem]:
    """Return the problems that both the agent and a searcher have answers for."""
    return [p for p in problems if agent in p.runs and searcher in p.runs]


@dataclass(frozen=True, slots=True)
class Standing:
    """The agent beside another searcher; below 0 the agent is ahead.

    Attributes:
        searcher: the other one.
        problems: that both have answers for.
        difference: mean over them of the agent's log loss increase minus the other's, with its
            interval over problems and seeds.
        worst: the agent's loss over the other's on the worst problem, in percent.
        at: that problem.
    """

    searcher: str
    problems: int
    difference: Estimate
    worst: float
    at: str


def standings(
    problems: Sequence[Problem], names: Iterable[str], agent: str = AGENT
) -> list[Standing]:
    """Return how the agent stands against each searcher, those with most problems first."""
    others = [name for name in names if name != agent]
    found = [
        _standing(shared, name, agent)
        for name in others
        if (shared := common(problems, name, agent))
    ]
    return sorted(found, key=lambda s: (-s.problems, -s.difference.value, s.searcher))


def _standing(shared: Sequence[Problem], searcher: str, agent: str) -> Standing:
    gaps = [level(p, agent) - level(p, searcher) for p in shared]
    worst = int(np.argmax(gaps))
    difference = paired_difference([(increases(p, agent), increases(p, searcher)) for p in shared])
    return Standing(searcher, len(shared), difference, percent(gaps[worst]), shared[worst].name)


def percent(gap: float) -> float:
    """Return a difference of log losses in percent of the loss."""
    return 100 * math.expm1(gap)


def paired_difference(pairs: Sequence[tuple[Floats, Floats]]) -> Estimate:
    """Return the mean over problems of the difference of interquartile means, with its interval.

    Problems are drawn again, and within each the seeds of both, independently of each other
    (percentile bootstrap).

    Args:
        pairs: for each problem the values of one searcher's seeds and of the other's.
    """
    generator = np.random.default_rng(SEED)
    value = float(np.mean([_middle(own) - _middle(other) for own, other in pairs]))
    drawn_pairs = [[_middle(_drawn(values, generator)) for values in pair] for pair in pairs]
    resampled = np.array([own - other for own, other in drawn_pairs])  # (problems, RESAMPLES)
    chosen = generator.integers(len(pairs), size=(len(pairs), RESAMPLES))
    drawn = np.take_along_axis(resampled, chosen, axis=0).mean(axis=0)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def _drawn(values: Floats, generator: np.random.Generator) -> Floats:
    """Return values drawn again with replacement, shape `(RESAMPLES, seeds)`."""
    return values[generator.integers(len(values), size=(RESAMPLES, len(values)))]


def _middle(values: Floats) -> Floats:
    """Return the interquartile mean over the last axis."""
    return interquartile_mean(values[..., None])


def best_single(found: Sequence[Standing]) -> Standing | None:
    """Return the standing against the best single searcher: of those with most problems."""
    if not found:
        return None
    most = max(standing.problems for standing in found)
    complete = [standing for standing in found if standing.problems == most]
    return max(complete, key=lambda standing: standing.difference.value)


def against_best(problems: Sequence[Problem]) -> list[tuple[Problem, str, float]]:
    """Return for each problem the best searcher beside the agent, and the agent's gap in percent.

    Problems that only one of both has answers for are left out.
    """
    found = []
    for problem in problems:
        others = [name for name in problem.runs if name not in (AGENT, *PARTS, PPO, *PPO_PARTS)]
        if AGENT in problem.runs and others:
            best = min(others, key=lambda name: level(problem, name))
            gap = level(problem, AGENT) - level(problem, best)
            found.append((problem, best, percent(gap)))
    return found
