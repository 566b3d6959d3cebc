"""Configurations measured after real training, of the network that was projected at its end."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import nn

from rlquant.config import QuantizationConfig
from rlquant.data import Samples
from rlquant.evaluation.measure import measure_float, run_batches
from rlquant.score import Measurement, Objective
from rlquant.training.trainer import Trainer
from rlquant.training.watching import Watcher


class TrainingEvaluator:
    """Trains and measures configurations of one network on fixed samples.

    Every training sees the same samples in the same order, so that configurations differ by what
    they choose alone. A training that diverges counts as an infinite loss.

    Args:
        trainer: trains a configuration.
        validation: samples to measure on, run in batches of `batch_size`.
        objective: how outputs are judged.
        batch_size: samples of a validation batch.
    """

    def __init__(
        self, trainer: Trainer, validation: Samples, objective: Objective, batch_size: int = 250
    ) -> None:
        self.trainer, self.objective = trainer, objective
        self.batches = validation.batches(batch_size)
        self._last: tuple[QuantizationConfig, nn.Module] | None = None

    def measure(
        self,
        config: QuantizationConfig,
        watch: Watcher | None = None,
        following: QuantizationConfig | None = None,
    ) -> Measurement:
        """Train and measure a canonical configuration that names every searched layer.

        Args:
            config: canonical.
            watch: told how the training goes; may end it.
            following: of no use here, as nothing is shared.

        Raises:
            EvaluationStopped: `watch` asked for an early end.
        """
        self._last = None
        network, outcome = self.trainer.train(config, watch)
        if outcome.stopped:
            raise EvaluationStopped(outcome.steps)
        self._last = config, network
        measured = run_batches(network, self.batches, self.objective)
        return replace(measured, loss=math.inf) if outcome.diverged else measured

    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return the network with exactly the outputs that were scored.

        It is trained once more, unless it is the one that was measured last.
        """
        last, self._last = self._last, None  # given away once: it is the caller's now
        if last is not None and last[0] == config:
            return last[1]
        return self.trainer.train(config)[0]

    def measure_float(self) -> Measurement:
        """Measure the float network as it is; `DataError` where the targets do not fit."""
        return measure_float(self.trainer.network, self.batches, self.objective)


class EvaluationStopped(Exception):
    """A watcher ended the training of an evaluation, which therefore has no score."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"stopped after {steps} steps")
        self.steps = steps
