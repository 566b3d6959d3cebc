"""What every problem promises to searchers and environments, live or known completely."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from problems import problem
from rlquant import (
    Budget,
    FeasibleSet,
    GroupedProblem,
    LayerChoice,
    Problem,
    QuantizationConfig,
    SearchSpace,
    TabularProblem,
)
from rlquant.config import FIDELITIES
from rlquant.errors import BudgetError, UnknownNameError
from rlquant.tabular.random_table import random_table
from small_networks import trained
from tables import GROUPS, live_table
from toy_problem import ToyProblem

SPACE = SearchSpace(bits=(2, 3, 8), points=("clipped", "affine"))


def live() -> Problem:
    return problem("mlp", trained("mlp"), space=SPACE)


MAKERS: dict[str, Callable[[], Problem]] = {
    "toy": lambda: ToyProblem(3, 40.0),
    "live": live,
    "grouped": lambda: GroupedProblem(live(), GROUPS),
    "grouped toy": lambda: GroupedProblem(ToyProblem(4, 40.0), ("layer[01]", "layer2", "layer3")),
    "table": lambda: TabularProblem(random_table(3, 4), Budget.average_bits(40.0)),
    "table of a live one": lambda: TabularProblem(live_table(), Budget.average_bits(40.0)),
    "grouped table": lambda: GroupedProblem(
        TabularProblem(random_table(3, 4), Budget.average_bits(40.0)), ("group[02]", "group1")
    ),
}

QUANTITIES = ("average_bits", "size_bytes", "size_ratio", "bops")


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def made(name: str) -> Problem:
    return MAKERS[name]()


def drawn(asked: Problem, count: int) -> list[QuantizationConfig]:
    generator = np.random.default_rng(0)
    feasible = asked.feasible
    return [feasible.config(feasible.sample(generator)) for _ in range(count)]


def test_it_has_all_that_the_protocol_names(made: Problem) -> None:
    assert isinstance(made.layers, tuple)
    names = [facts.name for facts in made.layers]
    assert len(set(names)) == len(names) >= 1
    assert isinstance(made.space, SearchSpace)
    assert isinstance(made.budget, Budget)
    assert isinstance(made.seed, int)
    assert made.fidelity in FIDELITIES
    assert isinstance(made.feasible, FeasibleSet)
    assert made.feasible.names == tuple(names)
    assert made.feasible.options == made.space.options(made.fidelity)
    assert made.feasible.budget == made.budget
    assert isinstance(made.fingerprint, str)
    assert made.float_score.fidelity == made.fidelity
    assert math.isfinite(made.float_score.loss)


def test_several_scores_are_those_one_by_one_in_the_order_given(made: Problem) -> None:
    configs = drawn(made, 5)
    scores = [made.evaluate(config) for config in configs]
    assert made.evaluate_many(iter([*configs, configs[0]])) == [*scores, scores[0]]


def test_a_score_is_of_the_configuration_alone(made: Problem, name: str) -> None:
    first, *others = drawn(made, 4)
    score = made.evaluate(first)
    for config in others:
        made.evaluate(config)
    assert made.evaluate(first) == score
    turned = QuantizationConfig(tuple(first)[::-1])
    if "toy" not in name:  # which adds its costs up by position
        assert made.evaluate(turned) == score


def test_the_costs_of_scores_are_what_the_feasible_set_counts(made: Problem, name: str) -> None:
    toy = "toy" in name  # whose budget is always one of bits
    for quantity in QUANTITIES[:1] if toy else QUANTITIES:
        asked = made.with_budget(getattr(Budget, quantity)(2.0**40))
        feasible = asked.feasible
        for config in drawn(asked, 4):
            spent = feasible.spent(feasible.indices(config))
            assert getattr(asked.evaluate(config), quantity) == feasible.cost.value(spent)


def test_another_budget_changes_what_fits_and_nothing_else(made: Problem) -> None:
    config = drawn(made, 1)[0]
    score = made.evaluate(config)
    feasible = made.feasible
    tightest = Budget.average_bits(feasible.cost.value(feasible.smallest))
    tight = made.with_budget(tightest)
    assert made.budget != tightest == tight.budget == tight.feasible.budget
    assert made.feasible is feasible
    for attribute in ("layers", "space", "seed", "fidelity", "fingerprint", "float_score"):
        assert getattr(tight, attribute) == getattr(made, attribute)
    assert tight.evaluate(config) == score  # also over the budget
    assert tight.feasible.count() < feasible.count()


def test_a_budget_below_the_smallest_reachable_names_that(made: Problem) -> None:
    with pytest.raises(BudgetError, match="smallest reachable is"):
        made.with_budget(Budget.average_bits(0.01))


def test_a_layer_that_is_not_searched_is_named(made: Problem, name: str) -> None:
    if name == "toy":
        pytest.skip("the toy problem does not check what it is asked")
    config = QuantizationConfig((*drawn(made, 1)[0], LayerChoice("elsewhere", 2)))
    with pytest.raises(UnknownNameError, match="unknown searched layer 'elsewhere'"):
        made.evaluate(config)


def test_a_deep_copy_is_the_problem_itself(made: Problem) -> None:
    assert copy.deepcopy(made) is made


def test_it_survives_pickling_with_the_same_answers(made: Problem) -> None:
    config = drawn(made, 1)[0]
    score = made.evaluate(config)
    there = pickle.loads(pickle.dumps(made))
    assert there.evaluate(config) == score
    assert there.fingerprint == made.fingerprint
