"""How well sums of increases, corrected or not, foresee measured losses of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr

from rlquant_experiments.landscapes.landscape import Floats
from rlquant_experiments.layer_policy.examples import Examples


@dataclass(frozen=True, slots=True)
class Foresight:
    """Of one network under one budget.

    Attributes:
        of: numbers of the landscape and its budget.
        rank: Spearman's correlation of predicted and measured log increases.
        error: root mean square of the difference of their logs, its mean taken away.
        count: configurations.
    """

    of: tuple[int, int]
    rank: float
    error: float
    count: int


def foresee(examples: Examples, corrections: Floats) -> list[Foresight]:
    """Return how well sums of corrected increases foresee each example.

    Args:
        examples: networks under budgets.
        corrections: of the logs of increases, shape `(n, layers, options)`.
    """
    predicted = examples.predicted(torch.from_numpy(corrections).float()).double().numpy()
    found = []
    for of, guess, truth in zip(examples.of, predicted, examples.targets.numpy(), strict=True):
        known = ~np.isnan(truth)
        error = (truth - guess)[known]
        rank = float(spearmanr(truth[known], guess[known]).statistic)
        found.append(Foresight(of, rank, float(error.std()), int(known.sum())))
    return found
