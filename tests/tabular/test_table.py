"""A table is checked when it is made, and counts its configurations like digits."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlquant import Budget, LatencyTable, SearchSpace, Table
from rlquant.config import LayerChoice
from rlquant.errors import BudgetError, ChoiceError, SettingsError
from rlquant.tabular.measured import Measured
from rlquant.tabular.table_costs import MOST_UNITS, TableCosts
from rlquant.testing import ToyProblem, random_table
from tables import enumerated, everything, grouped_problem, live_table


@pytest.fixture(scope="module")
def table() -> Table:
    return random_table(groups=3, options=4)


def test_configurations_count_like_digits_the_last_group_fastest(table: Table) -> None:
    problem = ToyProblem(3, 40.0)
    assert table.count == 4**3
    for number, indices in enumerate(everything(problem)):
        assert table.index_of(indices) == number
        assert table.indices_of(number) == indices


@pytest.mark.parametrize("indices", [(0, 0), (0, 0, 0, 0), (0, 0, 4), (-1, 0, 0), ()])
def test_indices_that_are_not_in_the_table_are_refused(table: Table, indices: Any) -> None:
    with pytest.raises(ChoiceError, match=r"give 3 of 0\.\.3"):
        table.index_of(indices)


@pytest.mark.parametrize("number", [-1, 64])
def test_numbers_that_are_not_in_the_table_are_refused(table: Table, number: int) -> None:
    with pytest.raises(ChoiceError, match=r"the table holds 0\.\.63"):
        table.indices_of(number)


def test_a_made_table_holds_what_was_measured_and_what_it_is_of() -> None:
    problem, table = grouped_problem(), live_table()
    for number, indices in enumerate(everything(problem)):
        score = problem.evaluate(problem.feasible.config(indices))
        assert table.measured.losses[number] == np.float32(score.loss)
        assert table.measured.correct[number] == round(score.accuracy * score.samples)
    assert table.facts == problem.layers
    assert table.groups == problem.groups
    assert table.fingerprint == problem.fingerprint
    assert table.float_score == problem.float_score
    assert table.samples == 50
    weights = sum(facts.parameters for facts in problem.layers)
    assert table.costs.weights == weights
    assert table.costs.float_bytes == 4 * (weights + 8 + 8 + 3)  # the biases too


def test_each_layer_of_a_problem_without_groups_is_one() -> None:
    table = enumerated(ToyProblem(2, 40.0))
    assert table.groups == {"layer0": ("layer0",), "layer1": ("layer1",)}


def test_a_table_is_shared_by_deepcopy_and_its_arrays_are_read_only(table: Table) -> None:
    assert copy.deepcopy(table) is table
    arrays = (table.measured.losses, table.measured.correct, table.costs.bops)
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, 1e300])
def test_losses_that_are_not_finite_are_infinite(loss: float) -> None:
    assert Measured(np.array([loss]), np.array([0]), 10).losses.tolist() == [np.inf]  # type: ignore[arg-type]


def test_many_samples_are_counted_in_more_bytes() -> None:
    few = Measured(np.zeros(1, np.float32), np.array([65535], np.uint16), 65535)
    many = Measured(np.zeros(1, np.float32), np.array([65536], np.uint32), 65536)
    assert (few.correct.dtype, many.correct.dtype) == (np.uint16, np.uint32)
    assert many.correct.tolist() == [65536]


@pytest.mark.parametrize(
    ("losses", "correct", "samples", "words"),
    [
        ([1.0], [1, 2], 5, r"shape \(1,\), correct answers \(2,\)"),
        ([[1.0]], [[1]], 5, r"shape \(1, 1\)"),
        ([1.0], [6], 5, r"values outside 0\.\.5"),
        ([1.0], [-1], 5, r"values outside 0\.\.5"),
        ([1.0], [0.5], 5, "type float64"),
        ([1.0], [1], 0, "samples=0"),
        ([1.0], [1], 2**32, "samples=4294967296"),
    ],
)
def test_impossible_values_are_refused(losses: Any, correct: Any, samples: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Measured(losses, correct, samples)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": 3}, "name=3, give a string"),
        ({"command": None}, "command=None, give a string"),
        ({"fidelity": "perfect"}, "fidelity='perfect' is not one of"),
        ({"seed": -1}, "seed=-1"),
        ({"samples": 0}, "samples=0"),
        ({"groups": {"group0": ()}}, r"groups \['group0'\] have the facts of \['group0', 'g"),
        ({"groups": {}, "facts": ()}, r"groups \[\] have the facts of \[\]"),
        ({"space": SearchSpace(bits=(2, 3))}, r"costs of shape \(3, 4\) for 3 groups with 2"),
        ({"samples": 1999}, "values of 64 configurations on 2000 samples, expected 64 on 1999"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    table: Table, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(table, **changes)


def test_a_number_of_values_that_is_not_the_spaces_is_refused() -> None:
    problem = ToyProblem(2, 40.0)
    with pytest.raises(SettingsError, match="values of 15 configurations on 100 samples"):
        Table.of(problem, [1.0] * 15, [1] * 15, name="", task="", command="")


def test_more_configurations_than_a_table_holds_are_refused() -> None:
    for groups in (9, 10**6):
        with pytest.raises(SettingsError, match=f"6 options in {groups} groups are more than 10,0"):
            random_table(groups)


# --- costs


def costs(**changes: Any) -> TableCosts:
    array = np.array([[2, 4], [6, 12]])
    given = {"average_bits": array, "size_bytes": array, "bops": array}
    return TableCosts(**{**given, "weights": 3, "float_bytes": 12, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bops": np.array([[1, 2]])}, r"bops has shape \(1, 2\) and type int64"),
        ({"size_bytes": np.ones((2, 2))}, "size_bytes has shape .* and type float64"),
        ({"average_bits": np.array([2, 4])}, r"average_bits has shape \(2,\)"),
        ({"bops": np.array([[1, 2], [3, -4]])}, "bops holds a number below 0 or too large"),
        ({"bops": np.array([[1, 2], [3, MOST_UNITS]])}, "bops holds a number below 0 or too large"),
        ({"weights": 0}, "weights=0"),
        ({"float_bytes": 1.5}, r"float_bytes=1\.5"),
        ({"fixed_bytes": -1}, "fixed_bytes=-1"),
    ],
)
def test_impossible_costs_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        costs(**changes)


def test_costs_under_each_budget_by_hand() -> None:
    options = (LayerChoice("", 2), LayerChoice("", 4))
    made = costs(fixed_bytes=5, fixed_bits=1, fixed_bops=2)
    layer = random_table(1).facts[0]

    def read(budget: Budget) -> tuple[int, int, int, float]:
        cost = made.under(budget, ("group0", "b"), options)
        units = cost.of_layer(layer, LayerChoice("group0", 4))
        return cost.fixed, units, cost.units(budget.limit), cost.value(6)

    assert read(Budget.average_bits(2.5)) == (1, 4, 7, 2.0)
    assert read(Budget.size_bytes(20.9)) == (5, 4, 20, 6.0)
    assert read(Budget.size_ratio(0.75)) == (5, 4, 9, 0.5)
    assert read(Budget.bops(7)) == (2, 4, 7, 6.0)


def test_what_the_table_does_not_hold_has_no_cost() -> None:
    cost = costs().under(Budget.bops(7), ("a", "b"), (LayerChoice("", 2), LayerChoice("", 4)))
    with pytest.raises(ChoiceError, match=r"the table has no costs of .*bits=3.* at 'group0'"):
        cost.of_layer(random_table(1).facts[0], LayerChoice("group0", 3))


def test_a_latency_budget_is_refused() -> None:
    with pytest.raises(BudgetError, match="a table holds no latencies: give a budget of average"):
        costs().under(Budget.latency(1.0, LatencyTable({})), ("a", "b"), ())


@pytest.mark.parametrize("quantity", ["average_bits", "size_bytes", "size_ratio", "bops"])
@pytest.mark.parametrize("limit", [0.37, 1.0, 2.9, 30.0, 1e4])
def test_limits_are_those_of_the_live_problem(quantity: str, limit: float) -> None:
    live, table = grouped_problem(), live_table()
    loose = live.with_budget(getattr(Budget, quantity)(2.0**40)).feasible.cost
    names, options = [f.name for f in table.facts], table.options
    known = table.costs.under(getattr(Budget, quantity)(limit), names, options)
    assert known.units(limit) == loose.units(limit)
    assert known.fixed == loose.fixed
    units = known.units(limit)
    assert known.value(units) == loose.value(units)
