"""The problem of a live network: layers, space, budget, and the real evaluator behind it."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.ambient import isolated, isolated_steps
from rlquant.arguments import explained
from rlquant.config import FIDELITIES, Fidelity, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.cost.budget import Budget, NetworkCosts
from rlquant.cost.distinct_options import standing_options
from rlquant.cost.feasible import FeasibleSet
from rlquant.data import Data
from rlquant.errors import LARGEST_SEED, SettingsError, whole_number
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.process_memory import close_gaps
from rlquant.evaluation.racing import Racing, require_racing
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.evaluation_settings import EvaluationSettings, require_evaluation
from rlquant.executors.workload import Listener
from rlquant.executors.workload import unheard as unheard_workload
from rlquant.export.deployment import DeploymentTarget
from rlquant.objective import Objective, ObjectiveFunction, as_objective
from rlquant.paths import PathLike
from rlquant.plain_network import require_network
from rlquant.problem.by_workers import measurements_by_workers, scores_on
from rlquant.problem.checks import (
    require_budget,
    require_finite_losses,
    require_imatrix,
    require_own_precision,
    require_space,
    resolve_device,
)
from rlquant.problem.construction import (
    float_measurement,
    found_layers,
    noted,
    require_calibratable,
    require_measurable,
    require_options,
    samples_of,
    unfitted_samples,
    with_batch_size,
    without_idle_overrides,
)
from rlquant.problem.increases import (
    cost_in_evaluations,
    increases_of,
    is_predictable,
    label_variance,
    plan_of,
)
from rlquant.problem.measurements import Measurements
from rlquant.problem.measuring import Measuring
from rlquant.problem.named_data import LoadData
from rlquant.problem.protocol import Evaluations
from rlquant.problem.scores import canonical_in, score_of
from rlquant.problem.training_plan import TrainingPlan
from rlquant.quantizable import excluded_layers
from rlquant.samples import require_different
from rlquant.score import Measurement, Score
from rlquant.sensitivity.plan import IncreasePlan
from rlquant.sensitivity.progress import Progress, unheard
from rlquant.space import SearchSpace
from rlquant.store.store import EvaluationStore, as_store
from rlquant.training.settings import TrainSettings
from rlquant.training.watching import Watcher

logger = logging.getLogger(__name__)


class QuantizationProblem:
    """A trained network, data, a space and a budget, with the real evaluator behind it.

    Args:
        network: trained float network; copied, never changed.
        train_data: for calibration; see `rlquant.data.Data`.
        validation_data: what searches are evaluated on.
        space: the options; by default `SearchSpace.for_network(network)`, or `TRAINING_SPACE`
            where configurations are trained.
        budget: the limit.
        fidelity: "calibrated" (no training step), "tuned" (a short run for each configuration)
            or "trained" (a long one).
        seed: decides the quantizers' random draws.
        objective: cross-entropy and accuracy by default; an `Objective`, or any function
            `(outputs, targets) -> (summed loss, summed metric)` of a batch.
        evaluation: how much data is used, in which batches, and where; see `EvaluationSettings`.
        training: how configurations are trained; by default what suits the fidelity.
        teacher: network that distilled layers learn from; the float network by default.
        warm_start: train from layers that were adapted on their own to the float layers' outputs.
        store: keeps every evaluation: an SQLite file, or the URL of a PostgreSQL database (see
            `EvaluationStore`); None keeps them in memory only.
        racing: how evaluations that cannot win are ended early; None has every one run whole.
        target: where the network will run, e.g. `GgufTarget(source)`: leaves what can be expressed
            there of the space, and sizes are those of its file. None for the packed file.

    Attributes:
        notes: what one should know before scores are compared, in words; above all which bytes of
            the network stay float whatever is chosen.

    Raises:
        NetworkError: no quantizable layer, tied or parametrized weights, a float loss that is not
            finite, outputs that depend on what was run before; see `find_layers`.
        DataError: empty, exhausted, too short or overlapping data, labels out of range, inputs
            that are NaN or that the network does not run on.
        SettingsError: any other argument outside what is allowed.
        BudgetError: a budget below the smallest reachable value (which it names).

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, validation_data = toy_network()
        >>> budget = rlquant.Budget.average_bits(8.0)
        >>> problem = rlquant.QuantizationProblem(network, data, validation_data, budget=budget)
        >>> [layer.name for layer in problem.layers]
        ['hidden', 'last']
        >>> config = problem.feasible.config([1, 2])
        >>> [choice.bits for choice in config]
        [3, 4]
        >>> problem.evaluate(config).average_bits <= 8.0
        True
    """

    @explained
    @isolated(seed=0)
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
        evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - a frozen value
        training: TrainSettings | None = None,
        teacher: nn.Module | None = None,
        warm_start: bool = True,
        store: PathLike | EvaluationStore | None = None,
        racing: Racing | None = None,
        target: DeploymentTarget | None = None,
    ) -> None:
        if fidelity not in FIDELITIES:
            raise SettingsError(f"fidelity={fidelity!r} is not one of {FIDELITIES}")
        self.evaluation = require_evaluation(evaluation)
        place = resolve_device(self.evaluation.device, require_network(network))
        self.budget = require_budget(budget)
        self._whole_space = require_space(space, network, fidelity, target)
        self.space = self._whole_space.at(fidelity)
        self.objective = as_objective(objective)
        self.seed = whole_number("seed", seed, 0, LARGEST_SEED)
        self.racing = require_racing(racing, self.objective, fidelity, self.evaluation.stochastic)
        self.fidelity: Fidelity = fidelity
        self._increase_plan: IncreasePlan | None = None
        close_gaps()  # that loading the network left
        self.network = copy_network(network).to(place)
        self._deployment = None if target is None else target.deploy(self.network)
        self.calibration, self.validation = samples_of(
            train_data, validation_data, self.evaluation, self.racing, place
        )
        self.unfitted = unfitted_samples(train_data, self.calibration, self.validation)
        excluded = excluded_layers(self.network, self.space.exclude)
        self.evaluation = with_batch_size(self.network, self.calibration, self.evaluation)
        self.layers, self._kept_macs = found_layers(
            self.network,
            self.calibration,
            self.validation,
            self.objective,
            self.evaluation,
            excluded,
        )
        self._whole_space = without_idle_overrides(self._whole_space, self.network, self.layers)
        self.space = self._whole_space.at(fidelity)
        self.notes = noted(self.network, self.layers, self.evaluation, excluded)
        close_gaps()
        require_measurable(
            self.network, self.layers, self.calibration, self.validation, self.evaluation
        )
        require_options(self.network, self.layers, self.space, fidelity)
        require_imatrix(self.network, self.layers, self.space, self.evaluation, fidelity)
        require_calibratable(self.network, self.layers, self.calibration, self.evaluation)
        self.costs = self._network_costs()
        self._set_feasible()
        self.plan = self._training_plan(train_data, training, teacher, warm_start)
        close_gaps()
        measuring = self._measuring()
        measured = float_measurement(
            self.network, measuring.batches, self.objective, self.evaluation, self.validation
        )
        kept = self.canonical(QuantizationConfig(()))
        self.float_score = self._score(kept, measured, latency=False)
        self._measurements = Measurements(
            measuring,
            measuring.fingerprint(measured.loss),
            None if store is None else as_store(store),
        )

    # --- what follows from the parts

    def _network_costs(self) -> NetworkCosts:
        packed = NetworkCosts.of(self.network, self.layers, self._kept_macs)
        return packed if self._deployment is None else self._deployment.costs(packed)

    def _training_plan(
        self,
        train_data: Data,
        training: TrainSettings | None,
        teacher: nn.Module | None,
        warm_start: bool,
    ) -> TrainingPlan | None:
        plan = TrainingPlan.of(
            self.fidelity,
            training,
            train_data,
            teacher,
            self.calibration.device,
            warm_start=warm_start,
            distils="distilled" in self.space.whole.method,
            network=self.network,
            objective=self.objective,
        )
        if plan is not None:
            require_own_precision(self.evaluation, self.fidelity)
            require_finite_losses(self.network, self.objective, plan.samples, "train_data")
            require_different(plan.samples, self.validation)
        return plan

    def _measuring(self) -> Measuring:
        return Measuring(
            network=self.network,
            layers=self.layers,
            calibration=self.calibration,
            validation=self.validation,
            objective=self.objective,
            seed=self.seed,
            fidelity=self.fidelity,
            evaluation=self.evaluation,
            plan=self.plan,
            racing=self.racing,
        )

    # --- scores

    @explained
    @isolated()
    def evaluate(
        self,
        config: QuantizationConfig,
        watch: Watcher | None = None,
        incumbent: QuantizationConfig | None = None,
    ) -> Score:
        """Score any valid configuration of the searched layers, also one over the budget.

        Args:
            config: what to score.
            watch: told how its training goes, or went where it is known; may end it.
            incumbent: where the problem races: the evaluation ends early, and its score is partial,
                as soon as it is clear that `config` does not beat this one.

        Raises:
            UnknownNameError: `config` names a layer that is not searched.
            EvaluationStopped: `watch` ended the training.
        """
        canonical = self.canonical(config)
        opponent = None if incumbent is None else self.canonical(incumbent)
        return self._score(canonical, self._measurements.get(canonical, watch, opponent))

    def unmeasured(self, config: QuantizationConfig) -> Score:
        """Return the costs of a configuration with an infinite loss, for one that was given up."""
        canonical = self.canonical(config)
        return self._score(canonical, Measurement(math.inf, math.nan, 0))

    @explained
    @isolated()
    def evaluate_many(
        self, configs: Iterable[QuantizationConfig], executor: Executor | str | None = None
    ) -> list[Score]:
        """Score several configurations, measured in the order in which they share most.

        Args:
            configs: any valid ones.
            executor: whose workers measure them: a `concurrent.futures.Executor`, or a text such as
                "local:4" for processes of this machine; None for this process. Each worker gets
                the problem once and computes with one thread.

        Returns:
            Their scores, in the order given.

        Raises:
            SettingsError: `executor` is none.
            WorkerError: a configuration ended the worker that measured it, three times.
        """
        asked = [self.canonical(config) for config in configs]
        unknown = self._measurements.unknown(asked)
        ordered = [unknown[i] for i in self._measurements.expect(unknown)]
        if executor is not None:
            scores_on(self, ordered, executor)
        for config in ordered:
            self._measurements.get(config)
        return [self._score(config, self._measurements.get(config)) for config in asked]

    def distributed(self, executor: Executor, listener: Listener = unheard_workload) -> Evaluations:
        """Return evaluations by the workers of an executor, see `Distributes`."""
        return measurements_by_workers(
            self._measurements, self.canonical, self._score, executor, listener
        )

    def expect(self, configs: Iterable[QuantizationConfig]) -> list[int]:
        """Say what is going to be asked for; return the order in which it shares most.

        What is then evaluated in that order keeps in memory what the rest needs, and only that.

        Returns:
            Positions in `configs`.
        """
        return self._measurements.expect([self.canonical(config) for config in configs])

    @explained
    def scan(self, configs: Iterable[QuantizationConfig]) -> Iterator[Measurement]:
        """Measure configurations one after the other, and remember none of them.

        For walks over more configurations than a memory or a store should hold. Neighbours share
        what they agree in, so give them in an order such as that of `itertools.product`.
        """
        return isolated_steps(self._measurements.scan(map(self.canonical, configs)))

    @explained
    def canonical(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the canonical form in execution order; layers not named are kept in float32."""
        if self.feasible.vector(config) is not None:
            return config
        return canonical_in(self.layers, config, self.fidelity)

    @explained
    @isolated(seed=0)
    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return the calibrated quantized network with exactly the outputs that were scored."""
        return self._measurements.build(self.canonical(config))

    @explained
    @isolated()
    def with_budget(self, budget: Budget) -> QuantizationProblem:
        """Return the same problem under another budget; evaluator and measurements are shared."""
        other = copy.copy(self)
        other.budget = require_budget(budget)
        other._set_feasible()
        return other

    @isolated(seed=0)
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
        other.fidelity, other.plan = fidelity, self.plan.lowered(fidelity, self.network)
        other.space = self._whole_space.at(fidelity)
        other._set_feasible()
        other.float_score = dataclasses.replace(self.float_score, fidelity=fidelity)
        measuring = dataclasses.replace(
            self._measurements.measuring, fidelity=fidelity, plan=other.plan
        )
        other._measurements = Measurements(
            measuring, measuring.fingerprint(self.float_score.loss), self.store
        )
        other._measurements.load_data = self._measurements.load_data
        return other

    @property
    def tokens(self) -> int:
        """Tokens of the validation samples that count; 1 for each sample without tokens."""
        return int(self.validation.tokens.sum())

    @isolated(seed=0)
    def at_tokens(self, tokens: int) -> QuantizationProblem:
        """Return the same problem, evaluated on the first samples of at most so many tokens.

        At least one sample is taken. Quantized weights are shared, scores are not: the two have
        different fingerprints, and nothing races.

        Args:
            tokens: of validation samples; where these have none, each sample counts as one.

        Raises:
            SettingsError: more than `tokens` of this problem; or configurations are trained, beside
                which validation costs nothing.
        """
        whole_number("tokens", tokens, 1, self.tokens)
        if self.plan is not None:
            raise SettingsError(
                f"tokens={tokens!r} saves validation samples, which cost nothing beside the "
                f"training of fidelity {self.fidelity!r}; use fidelity='calibrated'"
            )
        few = self.validation.within(tokens)
        if len(few) == len(self.validation):
            return self
        other = copy.copy(self)
        other.validation, other.racing = few, None
        measuring = dataclasses.replace(self._measurements.measuring, validation=few, racing=None)
        measured = float_measurement(
            self.network, measuring.batches, self.objective, self.evaluation, few
        )
        kept = self.canonical(QuantizationConfig(()))
        other.float_score = self._score(kept, measured, latency=False)
        other._measurements = self._measurements.on(measuring, measuring.fingerprint(measured.loss))
        return other

    @explained
    @isolated()
    def with_store(self, store: PathLike | EvaluationStore | None) -> QuantizationProblem:
        """Return the same problem with its evaluations kept in `store`."""
        other = self.with_budget(self.budget)
        other._measurements = self._measurements.with_store(
            None if store is None else as_store(store)
        )
        return other

    @explained
    def with_data_from(self, load: LoadData) -> QuantizationProblem:
        """Return the same problem, whose large samples workers load by themselves.

        Samples of 64 MiB and more are then not sent. What a worker loads is held to the
        fingerprints of the samples here. Where configurations are trained all data are sent.

        Args:
            load: returns (training data, validation data) as they were given; a function of a
                module, or another object that can be pickled.
        """
        if not callable(load):
            raise SettingsError(f"load={load!r}, use a function that returns the two data")
        other = self.with_budget(self.budget)
        other._measurements = copy.copy(self._measurements)
        other._measurements.load_data = load
        return other

    @property
    def predicts(self) -> bool:
        """Whether `expected_increases` can be told; see `problem.increases.is_predictable`."""
        return is_predictable(self)

    @property
    def label_variance(self) -> float:
        """The noise of measured increases, see `Predicts`."""
        return label_variance(self)

    @explained
    @isolated(seed=0)
    def expected_increases(
        self, draws: int, progress: Progress = unheard
    ) -> npt.NDArray[np.float64]:
        """Return by how much each option at each layer alone is expected to raise the loss.

        Args:
            draws: gradients; the more, the less noise.
            progress: told how far it is, as it may take minutes.

        Returns:
            Shape `(layers, options)`; of memory or store where these have been measured before.
        """
        plan = self._plan_of_increases
        shape = (len(self.layers), plan.options)
        return self._measurements.increases(
            plan.key(draws, self.unfitted), shape, lambda: increases_of(self, plan, draws, progress)
        )

    def prediction_cost(self, draws: int) -> float:
        """Return what so many gradients cost in evaluations, for each part of the weights."""
        sizes = len(self.unfitted), len(self.validation)
        return cost_in_evaluations(self._plan_of_increases, draws, *sizes)

    @property
    def _plan_of_increases(self) -> IncreasePlan:
        if self._increase_plan is None:
            self._increase_plan = plan_of(self)
        return self._increase_plan

    @property
    @isolated(seed=0)
    def evaluator(self) -> Evaluator | TrainingEvaluator:
        """The evaluator, made on first use in each process."""
        return self._measurements.evaluator

    @property
    def fingerprint(self) -> str:
        """Hash of everything that a score depends on, budget not included."""
        return self._measurements.fingerprint

    @property
    def store(self) -> EvaluationStore | None:
        """What keeps measurements beyond this process."""
        return self._measurements.store

    def _score(
        self, config: QuantizationConfig, measured: Measurement, *, latency: bool = True
    ) -> Score:
        timed = self.feasible.cost if latency and self.budget.table is not None else None
        precision = self.evaluation.precision
        return score_of(config, measured, self.layers, self.costs, timed, self.fidelity, precision)

    def _set_feasible(self) -> None:
        """Make the feasible set of budget and fidelity, and forget what was planned on another."""
        options = self.space.options(self.fidelity)
        own = self.space.own_options([facts.name for facts in self.layers], self.fidelity)
        if self._deployment is not None:
            own &= self._deployment.own_options(self.costs, self.layers, options)
        ties = self.space.decisions(self.layers)
        costs = self.costs.under(self.budget)
        standing = standing_options(self.layers, ties, options, own)
        self.feasible = FeasibleSet(self.layers, options, costs, self.budget, own, ties, standing)
        self._increase_plan = None

    # --- processes

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantizationProblem:
        """Return itself: `gymnasium.make` deep-copies its keywords, and scores are shared."""
        return self
