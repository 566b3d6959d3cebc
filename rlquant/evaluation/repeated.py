"""Scores of stochastic networks: means over passes with fixed seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from torch import nn

from rlquant.ambient import seeded
from rlquant.config import QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.looks import LooksAt
from rlquant.evaluation.measure import run_batches
from rlquant.objective import Objective
from rlquant.samples import Samples
from rlquant.score import Measurement

PASSES = 5
"""Passes over the validation samples that a score is the mean of."""


def run_repeatedly(
    network: nn.Module, batches: Sequence[Samples], objective: Objective
) -> Measurement:
    """Return the mean of several passes, each of a fresh copy and with a seed of its own.

    The result depends on the network alone, not on what was drawn or run before.
    """
    runs = []
    for number in range(PASSES):
        with seeded(number):
            runs.append(run_batches(copy_network(network), batches, objective))
    return replace(
        runs[0], loss=fmean(run.loss for run in runs), accuracy=fmean(run.accuracy for run in runs)
    )


class RepeatedEvaluator(Evaluator):
    """An evaluator whose measurements are means over several passes of fresh copies.

    Nothing is shared between configurations, and no evaluation ends early.
    """

    def measure(
        self,
        config: QuantizationConfig,
        look: LooksAt | None = None,
        following: QuantizationConfig | None = None,
    ) -> Measurement:
        """Measure a canonical configuration that names every searched layer.

        Args:
            config: canonical, the layers in execution order.
            look: shown nothing, as races are refused.
            following: of no use here, as nothing is shared.
        """
        return run_repeatedly(self.build(config), self.batches, self.objective)

    def measure_float(self) -> Measurement:
        """Measure the float network as it is; `DataError` where the targets do not fit."""
        super().measure_float()
        return run_repeatedly(self.network, self.batches, self.objective)
