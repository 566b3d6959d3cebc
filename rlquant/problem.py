"""The problem of a live network: layers, space, budget, and the real evaluator behind it."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rlquant.choices import FIDELITIES, Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost import Budget, NetworkCosts, total
from rlquant.data import Data, require_different, take_samples
from rlquant.errors import LARGEST_SEED, DataError, SettingsError, unknown_name, whole_number
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.store import EvaluationStore
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.feasible import FeasibleSet
from rlquant.fingerprint import describe_objective, fingerprint
from rlquant.layers import copy_network, count_macs, find_layers
from rlquant.problem_parts import (
    require_activations,
    require_budget,
    require_finite_float,
    require_moments,
    require_network,
    require_runs,
    require_space,
    resolve_device,
)
from rlquant.quantizers.activation import RangeMethod, require_range_method
from rlquant.score import Measurement, Objective, ObjectiveFunction, Score, as_objective
from rlquant.space import SearchSpace
from rlquant.training.settings import TrainSettings
from rlquant.training.trainer import Trainer
from rlquant.training.watching import Watcher
from rlquant.training_plan import TrainingPlan

logger = logging.getLogger(__name__)

EVALUATION_VERSION = 2
"""Raised whenever the same configuration would be measured differently; part of fingerprints."""
TRAINING_VERSION = 2
"""The same for what is trained first."""


class QuantizationProblem:
    """A trained network, data, a space and a budget, with the real evaluator behind it.

    Args:
        network: trained float network; copied, never changed.
        train_data: for calibration; see `rlquant.data.Data`.
        validation_data: what searches are judged on.
        space: the options; by default `SearchSpace()`, or `TRAINING_SPACE` where configurations
            are trained.
        budget: the limit.
        fidelity: "calibrated" (no training step), "tuned" (a short run for each configuration)
            or "trained" (a long one).
        seed: decides the quantizers' random draws.
        objective: cross-entropy and accuracy by default; an `Objective`, or any function
            `(outputs, targets) -> (summed loss, summed metric)` of a batch.
        validation_samples: at most so many validation samples are used.
        calibration_samples: exactly so many training samples are used.
        batch_size: samples of a validation batch.
        activation_range: "minmax" or "percentile" of each layer's inputs.
        training: how configurations are trained; by default what suits the fidelity.
        teacher: network that distilled layers learn from; the float network by default.
        warm_start: train from layers that were adapted on their own to the float layers' outputs.
        device: where to evaluate; the network's own by default.
        store: file that keeps every evaluation; None keeps them in memory only.

    Raises:
        NetworkError: no quantizable layer, tied or parametrized weights, a float loss that is not
            finite; see `find_layers`.
        DataError: empty, exhausted, too short or overlapping data, labels out of range, inputs
            that are NaN or that the network does not run on.
        SettingsError: any other argument outside what is allowed.
        BudgetError: a budget below the smallest reachable value (which it names).
    """

    def __init__(
        self,
        network: nn.Module,
        train_data: Data,
        validation_data: Data,
        *,
        budget: Budget,
        space: SearchSpace | None = None,
        fidelity: Fidelity = "calibrated",
        seed: int = 0,
        objective: Objective | ObjectiveFunction | None = None,
        validation_samples: int = 2000,
        calibration_samples: int = 512,
        batch_size: int = 250,
        activation_range: RangeMethod = "percentile",
        training: TrainSettings | None = None,
        teacher: nn.Module | None = None,
        warm_start: bool = True,
        device: str | torch.device | None = None,
        store: str | Path | EvaluationStore | None = None,
    ) -> None:
        if fidelity not in FIDELITIES:
            raise SettingsError(f"fidelity={fidelity!r} is not one of {FIDELITIES}")
        require_range_method(activation_range)
        if train_data is validation_data:
            raise DataError("validation_data is train_data; give separate data")
        place = resolve_device(device, require_network(network))
        self.budget = require_budget(budget)
        self._whole_space = require_space(space, fidelity)
        self.space = self._whole_space.at(fidelity)
        self.objective = as_objective(objective)
        self.seed = whole_number("seed", seed, 0, LARGEST_SEED)
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.store = None if store is None else as_store(store)
        self.network = copy_network(network).to(place)
        self.fidelity: Fidelity = fidelity
        self.activation_range: RangeMethod = activation_range
        self.calibration = take_samples(
            train_data, calibration_samples, name="train_data", device=place, exactly=True
        )
        self.validation = take_samples(
            validation_data, validation_samples, name="validation_data", device=place
        )
        require_different(self.calibration, self.validation)

        first_batch = self.validation.first(self.batch_size)
        require_runs(self.network, self.objective, self.calibration.first(2), first_batch)
        example = self.calibration.first(2).inputs
        self.layers = find_layers(self.network, example, keep=self.space.keep)
        require_activations(self.layers, self.space)
        require_moments(self.network, self.layers, self.space)
        kept_macs = count_macs(self.network, example, self.space.keep)
        self.costs = NetworkCosts.of(self.network, self.layers, self.space.bucket_size, kept_macs)
        self.feasible = self._feasible(self.budget)
        self.plan = TrainingPlan.of(
            fidelity,
            training,
            train_data,
            teacher,
            place,
            warm_start=warm_start,
            distils="distilled" in self.space.method,
            network=self.network,
            objective=self.objective,
        )
        if self.plan is not None:
            require_different(self.plan.samples, self.validation)
        self._memo: dict[QuantizationConfig, Measurement] = {}
        self._evaluator: Evaluator | TrainingEvaluator | None = None
        measured = self.evaluator.measure_float()
        require_finite_float(measured, self.objective)
        kept = self.canonical(QuantizationConfig(()))
        self.float_score = self._score(kept, measured, latency=False)
        self.fingerprint = self._fingerprint(measured.loss)

    # --- scores

    def evaluate(self, config: QuantizationConfig, watch: Watcher | None = None) -> Score:
        """Score any valid configuration of the searched layers, also one over the budget.

        Args:
            config: what to score.
            watch: told how its training goes, if it has to be trained; may end it.

        Raises:
            UnknownNameError: `config` names a layer that is not searched.
            EvaluationStopped: `watch` ended the training.
        """
        canonical = self.canonical(config)
        measured = self._memo.get(canonical)
        if measured is None:
            measured = self._memo[canonical] = self._measure_or_recall(canonical, watch)
        return self._score(canonical, measured)

    def unmeasured(self, config: QuantizationConfig) -> Score:
        """Return the costs of a configuration with an infinite loss, for one that was given up."""
        canonical = self.canonical(config)
        return self._score(canonical, Measurement(math.inf, math.nan, 0))

    def evaluate_many(self, configs: Iterable[QuantizationConfig]) -> list[Score]:
        """Score several configurations, in the order given."""
        return [self.evaluate(config) for config in configs]

    def canonical(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the canonical form in execution order; layers not named are kept in float32."""
        named = {choice.layer: choice for choice in config}
        names = [facts.name for facts in self.layers]
        for name in named.keys() - set(names):
            raise unknown_name("searched layer", name, names)
        kept = {name: LayerChoice(name, 32, method="keep") for name in names}
        return QuantizationConfig(
            tuple(named.get(n, kept[n]).canonical(self.fidelity) for n in names)
        )

    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return the calibrated quantized network with exactly the outputs that were scored."""
        return self.evaluator.build(self.canonical(config))

    def with_budget(self, budget: Budget) -> QuantizationProblem:
        """Return the same problem under another budget; evaluator, memo and store are shared."""
        other = copy.copy(self)
        other.budget = require_budget(budget)
        other.feasible = other._feasible(budget)
        other._evaluator = self.evaluator
        return other

    def at_fidelity(self, fidelity: Fidelity) -> QuantizationProblem:
        """Return the same problem at a lower fidelity, with the default settings of that one.

        Raises:
            SettingsError: `fidelity` is higher than this problem's, for which it has no data.
        """
        if fidelity not in FIDELITIES[: FIDELITIES.index(self.fidelity) + 1]:
            raise SettingsError(
                f"fidelity={fidelity!r} is above this problem's, {self.fidelity!r}; make a "
                f"QuantizationProblem of the highest fidelity and go down from there"
            )
        if fidelity == self.fidelity or self.plan is None:
            return self
        other = copy.copy(self)
        other.fidelity, other.plan = fidelity, self.plan.lowered(fidelity)
        other.space = self._whole_space.at(fidelity)
        other.feasible = other._feasible(self.budget)
        other._memo, other._evaluator = {}, None
        other.float_score = dataclasses.replace(self.float_score, fidelity=fidelity)
        other.fingerprint = other._fingerprint(self.float_score.loss)
        return other

    def with_store(self, store: str | Path | EvaluationStore | None) -> QuantizationProblem:
        """Return the same problem with its evaluations kept in `store`."""
        other = self.with_budget(self.budget)
        other.store = None if store is None else as_store(store)
        other._memo = {}
        return other

    @property
    def evaluator(self) -> Evaluator | TrainingEvaluator:
        """The evaluator, made on first use in each process."""
        if self._evaluator is None:
            self._evaluator = self._make_evaluator()
        return self._evaluator

    def _make_evaluator(self) -> Evaluator | TrainingEvaluator:
        quantizing: dict[str, Any] = {
            "bucket_size": self.space.bucket_size,
            "seed": self.seed,
            "activation_range": self.activation_range,
        }
        if self.plan is None:
            return Evaluator(
                self.network,
                self.layers,
                self.calibration,
                self.validation,
                self.objective,
                batch_size=self.batch_size,
                **quantizing,
            )
        trainer = Trainer(
            self.network,
            self.layers,
            self.plan.samples,
            self.calibration,
            self.objective,
            self.plan.settings,
            teacher=self.plan.teacher,
            warm_start=self.plan.warm_start,
            **quantizing,
        )
        return TrainingEvaluator(trainer, self.validation, self.objective, self.batch_size)

    def _measure_or_recall(
        self, canonical: QuantizationConfig, watch: Watcher | None
    ) -> Measurement:
        if self.store is not None:
            recorded = self.store.get(self.fingerprint, canonical)
            if recorded is not None:
                return recorded
        start = time.perf_counter()
        measured = self.evaluator.measure(canonical, watch)
        if self.store is not None:
            seconds = time.perf_counter() - start
            self.store.put(self.fingerprint, canonical, measured, seconds)
        return measured

    def _score(
        self, config: QuantizationConfig, measured: Measurement, *, latency: bool = True
    ) -> Score:
        choices: Mapping[str, LayerChoice] = {c.layer: c for c in config}
        costs = self.costs
        timed = self.feasible.cost if latency and self.budget.table is not None else None
        size_bytes = total(costs.size, self.layers, choices)
        bits = total(costs.average_bits, self.layers, choices)
        return Score(
            loss=measured.loss,
            accuracy=measured.accuracy,
            size_bytes=size_bytes,
            average_bits=costs.average_bits.value(bits),
            size_ratio=size_bytes / costs.size.float_bytes,
            bops=total(costs.bops, self.layers, choices),
            latency=timed.value(total(timed, self.layers, choices)) if timed is not None else None,
            samples=measured.samples,
            fidelity=self.fidelity,
        )

    def _feasible(self, budget: Budget) -> FeasibleSet:
        options = self.space.options(self.fidelity)
        return FeasibleSet(self.layers, options, self.costs.under(budget), budget)

    def _fingerprint(self, float_loss: float) -> str:
        """Hash what a measurement depends on: network, samples, settings, version of the code.

        The float loss stands for what no description sees, such as another `forward` of the same
        class; three digits, as the last ones differ between machines.
        """
        return fingerprint(
            EVALUATION_VERSION,
            self.network,
            describe_objective(self.objective),
            f"{float_loss:.3g}",
            [facts.name for facts in self.layers],
            self.calibration.fingerprint(),
            self.validation.fingerprint(),
            self.space.bucket_size,
            self.seed,
            self.fidelity,
            self.batch_size,
            self.activation_range,
            self.calibration.targets.device.type,
            *(() if self.plan is None else (TRAINING_VERSION, self.plan.described())),
        )

    # --- processes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_evaluator": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantizationProblem:
        """Return itself: `gymnasium.make` deep-copies its keywords, and scores are shared."""
        return self


def as_store(store: str | Path | EvaluationStore) -> EvaluationStore:
    """Return a store, opening the file of that name where a path is given.

    Raises:
        SettingsError: neither a store nor a path.
    """
    if isinstance(store, EvaluationStore):
        return store
    if not isinstance(store, (str, Path)):
        raise SettingsError(f"store={store!r}, give a path or an EvaluationStore")
    return EvaluationStore(store)
