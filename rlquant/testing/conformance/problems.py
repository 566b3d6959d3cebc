"""Conformance suite for problems: what searchers and environments may rely on."""

from __future__ import annotations

import copy
import math
import pickle
from operator import attrgetter
from typing import ClassVar

import numpy as np
import pytest

from rlquant.config import FIDELITIES, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget, Quantity
from rlquant.cost.feasible import FeasibleSet
from rlquant.errors import BudgetError, UnknownNameError
from rlquant.problem.protocol import Problem
from rlquant.space import SearchSpace


class ProblemConformance:
    """Guarantees of every `Problem`; inherit from it and write `make_problem`.

    The problem has several configurations within its budget.

    Attributes:
        quantities: of the budgets that the problem takes.
    """

    quantities: ClassVar[tuple[Quantity, ...]] = (
        "average_bits",
        "size_bytes",
        "size_ratio",
        "bops",
    )

    def make_problem(self) -> Problem:
        """Return a new problem, the same one each time."""
        raise NotImplementedError(f"{type(self).__name__}: write make_problem(self)")

    @pytest.fixture
    def problem(self) -> Problem:
        """Return what is tested; overridden, with `params`, to test several."""
        return self.make_problem()

    def test_has_all_that_the_protocol_names(self, problem: Problem) -> None:
        assert isinstance(problem.layers, tuple)
        names = [facts.name for facts in problem.layers]
        assert len(set(names)) == len(names) >= 1
        assert isinstance(problem.space, SearchSpace)
        assert isinstance(problem.budget, Budget)
        assert isinstance(problem.seed, int)
        assert problem.fidelity in FIDELITIES
        assert isinstance(problem.feasible, FeasibleSet)
        assert problem.feasible.layer_names == tuple(names)
        assert problem.feasible.options == problem.space.options(problem.fidelity)
        assert problem.feasible.budget == problem.budget
        assert isinstance(problem.fingerprint, str)
        assert problem.float_score.fidelity == problem.fidelity
        assert math.isfinite(problem.float_score.loss)

    def test_several_scores_are_those_one_by_one_in_the_order_given(self, problem: Problem) -> None:
        configs = drawn(problem, 5)
        scores = [problem.evaluate(config) for config in configs]
        assert problem.evaluate_many(iter([*configs, configs[0]])) == [*scores, scores[0]]

    def test_a_score_is_of_the_configuration_alone(self, problem: Problem) -> None:
        first, *others = drawn(problem, 4)
        score = problem.evaluate(first)
        for config in others:
            problem.evaluate(config)
        assert problem.evaluate(first) == score
        assert problem.evaluate(QuantizationConfig(tuple(first)[::-1])) == score

    def test_the_costs_of_scores_are_what_the_feasible_set_counts(self, problem: Problem) -> None:
        for quantity in self.quantities:
            loose = problem.with_budget(getattr(Budget, quantity)(2.0**40))
            feasible = loose.feasible
            for config in drawn(loose, 4):
                spent = feasible.spent(feasible.indices(config))
                assert getattr(loose.evaluate(config), quantity) == feasible.cost.value(spent)

    def test_another_budget_changes_what_fits_and_nothing_else(self, problem: Problem) -> None:
        config = drawn(problem, 1)[0]
        score = problem.evaluate(config)
        feasible = problem.feasible
        quantity = problem.budget.quantity
        tightest = Budget(quantity, feasible.cost.value(feasible.smallest), problem.budget.table)
        tight = problem.with_budget(tightest)
        assert problem.budget != tightest == tight.budget == tight.feasible.budget
        assert problem.feasible is feasible
        assert without_budget(tight) == without_budget(problem)
        assert tight.evaluate(config) == score  # also over the budget
        assert tight.feasible.count() < feasible.count()

    def test_a_budget_below_the_smallest_reachable_names_that(self, problem: Problem) -> None:
        with pytest.raises(BudgetError, match="smallest reachable is"):
            problem.with_budget(getattr(Budget, self.quantities[0])(1e-6))

    def test_a_layer_that_is_not_searched_is_named(self, problem: Problem) -> None:
        config = QuantizationConfig((*drawn(problem, 1)[0], LayerChoice("elsewhere", 2)))
        with pytest.raises(UnknownNameError, match="'elsewhere'"):
            problem.evaluate(config)

    def test_a_deep_copy_is_the_problem_itself(self, problem: Problem) -> None:
        assert copy.deepcopy(problem) is problem

    def test_survives_pickling_with_the_same_answers(self, problem: Problem) -> None:
        config = drawn(problem, 1)[0]
        score = problem.evaluate(config)
        there = pickle.loads(pickle.dumps(problem))
        assert there.evaluate(config) == score
        assert there.fingerprint == problem.fingerprint


without_budget = attrgetter("layers", "space", "seed", "fidelity", "fingerprint", "float_score")


def drawn(problem: Problem, count: int) -> list[QuantizationConfig]:
    """Return configurations drawn uniformly from those within the budget, the same each time."""
    generator = np.random.default_rng(0)
    feasible = problem.feasible
    return [feasible.config(feasible.sample(generator)) for _ in range(count)]
