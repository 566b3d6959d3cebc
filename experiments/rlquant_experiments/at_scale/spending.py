"""What searches spend in token-equivalents: a backward pass of a token is two forward ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rlquant_agents.search.predictions import N_DRAWS
from rlquant_experiments.at_scale.problems import Found, Problem
from rlquant_experiments.baselines.knapsack_fisher import KnapsackFisher
from rlquant_experiments.baselines.knapsack_linearity import SHARE
from rlquant_experiments.landscapes.networks import LENGTH
from rlquant_experiments.real_networks.settings import Amounts

BACKWARD = 3
"""Forward passes that a gradient takes as long as, its own one included."""
TOKENS = {"smollm2-135m": 256, "llama-8x128": LENGTH}
"""Of a sample; samples of other tasks, sentences and images, count as one each."""


def _fisher(amounts: Amounts) -> int:
    return BACKWARD * min(KnapsackFisher.samples, amounts.calibration)


OUTSIDE: Mapping[str, Callable[[Amounts], int]] = {
    "auto-first-answer": lambda _: BACKWARD * N_DRAWS[0],
    "knapsack-fisher": _fisher,
    "knapsack-output-error": lambda amounts: amounts.calibration,
    "knapsack-weight-error": lambda amounts: 0,
    "knapsack-linearity": lambda amounts: int(SHARE * amounts.evaluations) * amounts.validation,
}
"""Searchers that ask once, and the sample passes that they take besides: gradients, Hessians, noise
(at most)."""


def spent(problem: Problem, run: Found) -> int:
    """Return the token-equivalents of a run.

    A search spends the evaluations that it was given: gradients and looks on few tokens are among
    them. A uniform configuration is the best of those that fit, each of which is evaluated.
    """
    amounts = run.amounts
    if not run.is_search:
        samples = problem.uniforms * amounts.validation
    elif run.label in OUTSIDE:
        samples = run.figures.evaluations * amounts.validation + OUTSIDE[run.label](amounts)
    else:
        samples = amounts.evaluations * amounts.validation
    return samples * TOKENS.get(problem.task, 1)


def unit(task: str) -> str:
    """Return what token-equivalents of a task are counted in."""
    return "tokens" if task in TOKENS else "samples"
