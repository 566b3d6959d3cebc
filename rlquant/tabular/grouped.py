"""A problem whose layers share choices: a group of layers counts as one layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlquant.arguments import explained
from rlquant.config import Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget, Cost
from rlquant.cost.feasible import FeasibleSet
from rlquant.errors import SettingsError, WorkerError, unknown_name
from rlquant.executors.workload import Listener, unheard
from rlquant.layer_groups import Groups, group_facts, resolve_groups
from rlquant.layers import LayerFacts
from rlquant.problem.by_workers import evaluations_on, scores_on
from rlquant.problem.fingerprint import fingerprint
from rlquant.problem.protocol import Enumerates, Evaluations, Orders, Problem
from rlquant.score import Measurement, Score
from rlquant.space import SearchSpace, for_layer


@dataclass(frozen=True)
class GroupCost:
    """A cost of groups: the sum of what their layers cost under the group's choice.

    Attributes:
        cost: the cost of layers.
        members: facts of each group's layers, by the group's name.
    """

    cost: Cost
    members: Mapping[str, tuple[LayerFacts, ...]]

    @property
    def fixed(self) -> int:
        """The units that every configuration pays."""
        return self.cost.fixed

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the units of a group."""
        members = self.members[facts.name]
        return sum(self.cost.of_layer(f, for_layer(choice, f.name)) for f in members)

    def units(self, limit: float) -> int:
        """Return the largest whole number of units within `limit`."""
        return self.cost.units(limit)

    def value(self, units: int) -> float:
        """Return `units` in the unit in which people give the budget."""
        return self.cost.value(units)


class GroupedProblem:
    """Any problem, with layers that share one choice taken together.

    Keeps the protocol `Problem`: its layers are the groups, and a configuration names groups.

    Args:
        problem: what scores configurations of single layers.
        groups: group name -> layers, or patterns such as ("stem", "stage1.*"), see
            `resolve_groups`; every searched layer is in exactly one group.

    Raises:
        SettingsError, UnknownNameError: groups that do not divide the layers, or a space with ties.
        BudgetError: the budget is below the cheapest option of every group.
    """

    @explained
    def __init__(self, problem: Problem, groups: Groups) -> None:
        by_name = {facts.name: facts for facts in problem.layers}
        if problem.feasible.names != tuple(by_name):
            raise SettingsError("groups of layers that are tied already; leave out groups, or tie")
        self.groups = resolve_groups(groups, list(by_name))
        self._members = {
            group: tuple(by_name[layer] for layer in layers)
            for group, layers in self.groups.items()
        }
        owners = {layer: name for name, layers in self.groups.items() for layer in layers}
        self._group_of = {layer: owners[layer] for layer in by_name}  # in execution order
        self.layers = tuple(group_facts(name, members) for name, members in self._members.items())
        self.space: SearchSpace = problem.space
        self.seed: int = problem.seed
        self.fidelity: Fidelity = problem.fidelity
        self._set(problem)

    def _set(self, problem: Problem) -> None:
        """Take the scores and the budget from `problem`."""
        self.problem = problem
        self.budget = problem.budget
        cost = GroupCost(problem.feasible.cost, self._members)
        options = self.space.options(self.fidelity)
        own = dict(zip(problem.feasible.names, problem.feasible.own, strict=True))
        common = [np.all([own[f.name] for f in m], axis=0) for m in self._members.values()]
        for facts, row in zip(self.layers, common, strict=True):
            if not row.any():
                raise SettingsError(f"the layers of group {facts.name!r} have no option in common")
        self.feasible = FeasibleSet(
            self.layers, options, cost, problem.budget, np.array(common, dtype=np.bool_)
        )

    @property
    def fingerprint(self) -> str:
        """The problem's own where every layer stands alone, else a hash of it and the groups."""
        if all(layers == (name,) for name, layers in self.groups.items()):
            return self.problem.fingerprint
        return fingerprint("groups", self.problem.fingerprint, list(self.groups.items()))

    @property
    def float_score(self) -> Score:
        """The score of the float network."""
        return self.problem.float_score

    def expand(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the configuration of single layers that one of groups stands for.

        Raises:
            UnknownNameError: `config` names something else than a group.
        """
        chosen = {choice.layer: choice for choice in config}
        for name in chosen:
            if name not in self.groups:
                raise unknown_name("searched layer", name, self.groups)
        return QuantizationConfig(
            tuple(
                for_layer(chosen[group], layer)
                for layer, group in self._group_of.items()
                if group in chosen
            )
        )

    @explained
    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score a configuration of the groups; `UnknownNameError` for what is no group."""
        return self.problem.evaluate(self.expand(config))

    @explained
    def evaluate_many(
        self, configs: Iterable[QuantizationConfig], executor: Executor | str | None = None
    ) -> list[Score]:
        """Score several configurations of the groups.

        Args:
            configs: any valid ones.
            executor: whose workers measure them; see `QuantizationProblem.evaluate_many`.

        Returns:
            Their scores, in the order given.

        Raises:
            SettingsError: `executor` is none.
            WorkerError: a configuration ended the worker that measured it, three times.
        """
        expanded = [self.expand(config) for config in configs]
        if isinstance(self.problem, Enumerates):
            return self.problem.evaluate_many(expanded, executor)
        if executor is not None:
            return scores_on(self.problem, expanded, executor)
        return self.problem.evaluate_many(expanded)

    def distributed(self, executor: Executor, listener: Listener = unheard) -> Evaluations:
        """Return evaluations by the workers of an executor, see `Distributes`."""
        return _Expanded(evaluations_on(self.problem, executor, listener), self.expand)

    def scan(self, configs: Iterable[QuantizationConfig]) -> Iterator[Measurement]:
        """Measure configurations of the groups and remember none; see `QuantizationProblem.scan`.

        Raises:
            SettingsError: the problem is no live one.
        """
        if not isinstance(self.problem, Enumerates):
            raise SettingsError(f"a {type(self.problem).__name__} is not live: nothing to scan")
        return self.problem.scan(map(self.expand, configs))

    def expect(self, configs: Iterable[QuantizationConfig]) -> list[int]:
        """Say what is going to be asked for; see `QuantizationProblem.expect`."""
        asked = [self.expand(config) for config in configs]
        if isinstance(self.problem, Orders):
            return self.problem.expect(asked)
        return list(range(len(asked)))

    @explained
    def with_budget(self, budget: Budget) -> GroupedProblem:
        """Return the same problem under another budget; scores are shared."""
        other = copy.copy(self)
        other._set(self.problem.with_budget(budget))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> GroupedProblem:
        """Return itself: `gymnasium.make` deep-copies its keywords, and scores are shared."""
        return self


class _Expanded:
    """Evaluations of groups by those of their layers."""

    def __init__(
        self,
        evaluations: Evaluations,
        expand: Callable[[QuantizationConfig], QuantizationConfig],
    ) -> None:
        self._evaluations, self._expand = evaluations, expand
        self.close = evaluations.close

    @property
    def workers(self) -> int:
        """How many there are."""
        return self._evaluations.workers

    def scores(
        self, configs: Iterable[QuantizationConfig], incumbent: QuantizationConfig | None = None
    ) -> Generator[Score | WorkerError, None, None]:
        """Evaluate configurations of the groups; see `Evaluations.scores`."""
        opponent = None if incumbent is None else self._expand(incumbent)
        return self._evaluations.scores(map(self._expand, configs), opponent)
