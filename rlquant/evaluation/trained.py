"""Configurations measured after real training, of the network that was projected at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
from torch import nn

from rlquant.config import QuantizationConfig
from rlquant.errors import EvaluationStopped
from rlquant.evaluation.looks import Ended, Look, LooksAt
from rlquant.evaluation.measure import measure_float, run_batches
from rlquant.objective import Objective
from rlquant.samples import Samples
from rlquant.score import Measurement
from rlquant.training.trainer import Trainer
from rlquant.training.watching import FIGURES, Watcher


class TrainingEvaluator:
    """Trains and measures configurations of one network on fixed samples.

    Every training sees the same samples in the same order, so that configurations differ by what
    they choose alone. A training that diverges counts as an infinite loss.

    Args:
        trainer: trains a configuration.
        batches: of samples to measure on, with the targets of the objective.
        objective: how outputs are scored.
        run: measures a network on the validation batches.
    """

    def __init__(
        self,
        trainer: Trainer,
        batches: Sequence[Samples],
        objective: Objective,
        run: Callable[[nn.Module, Sequence[Samples], Objective], Measurement] = run_batches,
    ) -> None:
        self.trainer, self.objective, self._run = trainer, objective, run
        self.batches = list(batches)
        self._last: tuple[QuantizationConfig, nn.Module] | None = None

    def measure(
        self,
        config: QuantizationConfig,
        look: LooksAt | None = None,
        following: QuantizationConfig | None = None,
    ) -> Measurement:
        """Train and measure a canonical configuration that names every searched layer.

        Args:
            config: canonical.
            look: shown how the training goes; may end it.
            following: of no use here, as nothing is shared.

        Raises:
            Ended: `look` asked for an early end.
        """
        self._last = None
        network, outcome = self.trainer.train(config, None if look is None else _watcher(look))
        if outcome.stopped:
            raise Ended
        self._last = config, network
        measured = self._run(network, self.batches, self.objective)
        return measured if outcome.finite else replace(measured, loss=math.inf)

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


class Watched:
    """A training that a watcher observes, and may end."""

    def __init__(self, watch: Watcher) -> None:
        self._watch, self._steps = watch, 0

    def ends(self, look: Look) -> bool:
        """Tell the watcher; a training that is over cannot be ended any more."""
        step, *told = look.tolist()
        self._steps, figures = int(step), dict(zip(FIGURES, told, strict=True))
        return bool(self._watch(self._steps, figures)) and figures["steps_left"] > 0

    def outcome(self) -> NoReturn:
        """Raise `EvaluationStopped`."""
        raise EvaluationStopped(self._steps)


def _watcher(look: LooksAt) -> Watcher:
    def watch(step: int, figures: Mapping[str, float]) -> bool:
        return look(np.array([step, *(figures[name] for name in FIGURES)], dtype=np.float64))

    return watch
