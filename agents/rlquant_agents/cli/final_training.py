"""Final training: the configurations that searches found, trained longer, beside uniform ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import nn

from rlquant import LayerChoice, QuantizationConfig, QuantizationProblem, Score
from rlquant_agents.search.training_progress import TrainingProgressBar
from rlquant_agents.search.uniform import best_uniform


@dataclass(frozen=True, eq=False)
class FinalNetwork:
    """A network after its final training.

    Attributes:
        name: what it is called in tables.
        config: its configuration.
        score: on the validation data.
        network: in eval mode.
    """

    name: str
    config: QuantizationConfig
    score: Score
    network: nn.Module


def final_networks(
    problem: QuantizationProblem, found: Mapping[str, QuantizationConfig], *, progress: bool = False
) -> Iterator[FinalNetwork]:
    """Train uniform configurations of the same budget, then the best one of each searcher.

    Args:
        problem: of fidelity "trained".
        found: best configuration by searcher.
        progress: show a progress bar for each network.
    """
    calibrated = problem.at_fidelity("calibrated")
    for name, config in references(problem).items():
        measured = calibrated if "post-training" in name else problem
        yield _final(measured, name, config, progress)
    for searcher, config in found.items():
        yield _final(problem, trained_name(searcher), config, progress)


def trained_name(searcher: str) -> str:
    """Return the name of a searcher's trained network in tables."""
    return f"{searcher}, trained"


def _final(
    problem: QuantizationProblem, name: str, config: QuantizationConfig, progress: bool
) -> FinalNetwork:
    with TrainingProgressBar(name, shown=progress) as bar:
        score = problem.evaluate(config, bar)
    return FinalNetwork(name, config, score, problem.build(config))


def references(problem: QuantizationProblem) -> dict[str, QuantizationConfig]:
    """Return uniform configurations that keep the budget, by name.

    These are the best post-training one, the same distilled, and the ternary one. None is called
    "uniform": that is the best of all, as the search measures them.
    """
    found = {}
    best = best_uniform(problem.at_fidelity("calibrated"), 1, method="post_training")
    if best is not None:
        config, words = best[0], f"{best[0].choices[0].bits} bits"
        distilled = tuple(replace(choice, method="distilled") for choice in config)
        found[f"{words}, post-training"] = config
        found[f"{words}, distilled"] = QuantizationConfig(distilled)
    of_all = LayerChoice("", 2, method="ternary", points="clipped")
    ternary = QuantizationConfig.uniform(of_all, [facts.name for facts in problem.layers])
    if _fits(problem, ternary):
        found["all ternary"] = ternary
    return found


def _fits(problem: QuantizationProblem, config: QuantizationConfig) -> bool:
    spent = getattr(problem.unmeasured(config), problem.budget.quantity)
    return bool(spent <= problem.budget.limit)
