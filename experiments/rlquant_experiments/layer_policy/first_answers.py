"""First answers on networks of a family that was not learned from: proposed, then measured once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlquant_agents.searchers.knapsack import solve_by_price
from rlquant_experiments.landscapes.landscape import Landscape
from rlquant_experiments.landscapes.measuring import budgets_of, problem_of
from rlquant_experiments.landscapes.networks import SmallNetwork
from rlquant_experiments.layer_policy.examples import examples_of, noise_floor
from rlquant_experiments.layer_policy.features import LEAST
from rlquant_experiments.layer_policy.folds import GRADIENTS, Ensemble

FISHER, WEIGHT_ERRORS = "Fisher", "weight errors"
BEST = "best of the landscape"
BASELINES = (GRADIENTS, FISHER, WEIGHT_ERRORS)
"""In the order in which a landscape's rows begin under every budget."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Measured losses of first answers on one network.

    Attributes:
        name, family: of the network.
        increases: by way the loss above the float network's under each budget; `BEST` is the least
            of a landscape, whose configurations are changes of what gradients would choose.
        floor: below which an increase is noise, and counts as so much.
    """

    name: str
    family: str
    increases: Mapping[str, Sequence[float]]
    floor: float

    def logs(self, way: str, over: str = GRADIENTS) -> float:
        """Return the mean over the budgets of the log of one way's increase over another's."""
        one, other = (np.maximum(self.increases[each], self.floor) for each in (way, over))
        return float(np.log(one / other).mean())


def measure_answers(
    kind: SmallNetwork, folder: Path, landscape: Landscape, encoders: Mapping[str, Ensemble]
) -> Answers:
    """Measure what encoders propose for a network, beside what is known of it.

    Args:
        kind: the network.
        folder: its own, with trained weights and evaluations.
        landscape: of the network.
        encoders: by way, which have not seen the network's family.
    """
    problem = problem_of(kind, folder)
    feasibles = [problem.with_budget(budget).feasible for budget in budgets_of(problem)]
    found: dict[str, list[float]] = {way: [] for way in (*BASELINES, BEST, *encoders)}
    logs = np.log(np.maximum(landscape.increases, LEAST))
    corrections = {way: of.corrections(examples_of([landscape])) for way, of in encoders.items()}
    examples = examples_of([landscape])
    for number, (_, budget) in enumerate(examples.of):
        losses = landscape.losses[landscape.budgets == budget] - landscape.float_loss
        for way, loss in zip(BASELINES, losses, strict=False):
            found[way].append(float(loss))
        found[BEST].append(float(losses.min()))
        for way, of in corrections.items():
            row = solve_by_price(np.exp(logs + of[number]), feasibles[budget])
            loss = problem.evaluate(problem.feasible.config(row)).loss
            found[way].append(loss - landscape.float_loss)
    return Answers(landscape.name, landscape.family, found, noise_floor(landscape))
