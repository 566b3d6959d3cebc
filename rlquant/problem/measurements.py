"""What is known of configurations: remembered, found in the store, or else measured now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rlquant.config import QuantizationConfig
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.order import sharing_order
from rlquant.evaluation.store import EvaluationStore
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.problem.measuring import Measuring
from rlquant.score import Measurement
from rlquant.training.watching import Watcher


class Measurements:
    """Answers for canonical configurations; whole measurements are remembered, partial ones not.

    Args:
        measuring: what makes the evaluator.
        fingerprint: of what a measurement depends on, the store's key.
        store: keeps measurements beyond this process, where there is one.
    """

    def __init__(
        self, measuring: Measuring, fingerprint: str, store: EvaluationStore | None
    ) -> None:
        self.measuring, self.fingerprint, self.store = measuring, fingerprint, store
        self._known: dict[QuantizationConfig, Measurement] = {}
        self._following: dict[QuantizationConfig, QuantizationConfig] = {}
        self._evaluator: Evaluator | TrainingEvaluator | None = None

    @property
    def evaluator(self) -> Evaluator | TrainingEvaluator:
        """The evaluator, made on first use in each process."""
        if self._evaluator is None:
            self._evaluator = self.measuring.evaluator()
        return self._evaluator

    def get(
        self,
        config: QuantizationConfig,
        watch: Watcher | None = None,
        rival: QuantizationConfig | None = None,
    ) -> Measurement:
        """Return a configuration's measurement; a partial one only where it lost against `rival`.

        Args:
            config: canonical.
            watch: told how its training goes, if it has to be trained; may end it.
            rival: canonical; where the problem races, the configuration to beat.
        """
        known = self._known.get(config)
        if known is None and self.store is not None:
            known = self.store.get(self.fingerprint, config)
        if known is None:
            known = self._measure(config, watch, rival)
        if not known.partial:
            self._known[config] = known
        return known

    def _measure(
        self, config: QuantizationConfig, watch: Watcher | None, rival: QuantizationConfig | None
    ) -> Measurement:
        evaluator, following = self.evaluator, self._following.get(config)
        start = time.perf_counter()
        if rival is not None and isinstance(evaluator, Evaluator) and evaluator.races:
            measured = evaluator.race(config, rival, following)
        else:
            measured = evaluator.measure(config, watch, following)
        if self.store is not None and not measured.partial:
            seconds = time.perf_counter() - start
            self.store.put(self.fingerprint, config, measured, seconds)
        return measured

    def remember(self, config: QuantizationConfig, measured: Measurement) -> None:
        """Take over what another process measured."""
        self._known[config] = measured

    def unknown(self, configs: Iterable[QuantizationConfig]) -> list[QuantizationConfig]:
        """Return those that are not remembered, each once."""
        return list(dict.fromkeys(config for config in configs if config not in self._known))

    def expect(self, configs: Sequence[QuantizationConfig]) -> list[int]:
        """Hear what will be asked for; return the order in which it shares most.

        What is then measured in that order keeps in memory what the rest needs, and only that.
        """
        order = sharing_order([config.choices for config in configs])
        ordered = [configs[i] for i in order]
        self._following = dict(zip(ordered, [*ordered[1:], *ordered[-1:]], strict=True))
        return order

    def scan(self, configs: Iterator[QuantizationConfig]) -> Iterator[Measurement]:
        """Measure one after the other, in this order, and remember none."""
        config = next(configs, None)
        while config is not None:
            following = next(configs, None)
            yield self.evaluator.measure(config, following=following or config)
            config = following

    def with_store(self, store: EvaluationStore | None) -> Measurements:
        """Return the same with another store and nothing remembered; the evaluator is shared."""
        other = Measurements(self.measuring, self.fingerprint, store)
        other._evaluator = self.evaluator
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_evaluator": None, "_following": {}}
