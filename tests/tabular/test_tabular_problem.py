"""The problem over a table: the live problem's answers, and all configurations at once."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import (
    Budget,
    LatencyTable,
    LayerChoice,
    QuantizationConfig,
    Score,
    SearchSpace,
    Table,
    TabularProblem,
)
from rlquant.errors import BudgetError, ChoiceError, UnknownNameError
from rlquant.tabular.measured import Measured
from rlquant.testing import ToyProblem, random_table
from tables import enumerated, everything, grouped_problem, live_table

LOOSE = Budget.average_bits(40.0)
QUANTITIES = ("average_bits", "size_bytes", "size_ratio", "bops")


def within(table: Table, quantity: str, fraction: float) -> TabularProblem:
    """A budget between the cheapest (0) and the most expensive configuration (1)."""
    loose = TabularProblem(table, getattr(Budget, quantity)(2.0**50))
    feasible = loose.feasible
    units = feasible.smallest + fraction * (feasible.largest - feasible.smallest)
    return loose.with_budget(getattr(Budget, quantity)(feasible.cost.value(math.floor(units))))


def spent(score: Score, quantity: str) -> float:
    value: float = getattr(score, quantity)
    return value


# --- the live problem's answers


def test_every_score_is_the_live_problems() -> None:
    live, problem = grouped_problem(), TabularProblem(live_table(), LOOSE)
    for indices in everything(live):
        config = live.feasible.config(indices)
        expected = live.evaluate(config)
        found = problem.evaluate(config)
        assert found == replace(expected, loss=float(np.float32(expected.loss)))
        assert problem.evaluate_indices(indices) == found
        assert problem.indices(config) == list(indices)


def test_what_searchers_and_environments_see_is_the_live_problems() -> None:
    live = grouped_problem()
    problem = TabularProblem(live_table(), live.budget)
    for name in ("layers", "space", "budget", "seed", "fidelity", "fingerprint", "float_score"):
        assert getattr(problem, name) == getattr(live, name)
    for quantity in QUANTITIES:
        budget = getattr(Budget, quantity)(1e6)
        ours, theirs = problem.with_budget(budget).feasible, live.with_budget(budget).feasible
        assert ours.costs.tolist() == theirs.costs.tolist()
        assert (ours.limit, ours.smallest) == (theirs.limit, theirs.smallest)
        assert (ours.names, ours.options) == (theirs.names, theirs.options)


def test_the_order_of_choices_and_what_has_no_effect_do_not_matter() -> None:
    problem = TabularProblem(live_table(), LOOSE)
    config = problem.feasible.config((1, 4))
    turned = QuantizationConfig(tuple(replace(c, method="distilled") for c in config)[::-1])
    assert problem.evaluate(turned) == problem.evaluate(config)


def test_kept_layers_can_be_left_out_where_the_table_holds_them() -> None:
    space = SearchSpace(bits=(2, 4), method=("post_training", "float"))
    problem = TabularProblem(enumerated(ToyProblem(2, 40.0, space)), LOOSE)
    kept = LayerChoice("layer0", 32, method="float")
    other = LayerChoice("layer1", 4, points="clipped")
    whole = problem.evaluate(QuantizationConfig((kept, other)))
    assert problem.evaluate(QuantizationConfig((other,))) == whole


def test_an_unknown_layer_is_named_with_the_nearest() -> None:
    problem = TabularProblem(live_table(), LOOSE)
    with pytest.raises(UnknownNameError, match="searched layer 'bodi'; did you mean 'body'"):
        problem.evaluate(QuantizationConfig((LayerChoice("bodi", 2),)))


@pytest.mark.parametrize("bits", [5, None])
def test_a_choice_that_the_table_does_not_hold_is_refused(bits: int | None) -> None:
    problem = TabularProblem(live_table(), LOOSE)
    first, last = problem.feasible.config((0, 0))
    config = (first,) if bits is None else (first, replace(last, bits=bits))
    with pytest.raises(ChoiceError, match="is not among the options of the space"):
        problem.evaluate(QuantizationConfig(config))


def test_a_budget_that_no_configuration_keeps_and_one_of_latency_are_refused() -> None:
    problem = TabularProblem(live_table(), LOOSE)
    with pytest.raises(BudgetError, match="smallest reachable"):
        problem.with_budget(Budget.average_bits(1.0))
    with pytest.raises(BudgetError, match="a table holds no latencies"):
        problem.with_budget(Budget.latency(1.0, LatencyTable({})))


def test_it_is_shared_by_deepcopy_and_survives_pickling() -> None:
    problem = TabularProblem(live_table(), LOOSE)
    assert copy.deepcopy(problem) is problem
    again = pickle.loads(pickle.dumps(problem))
    assert again.evaluate_indices((2, 3)) == problem.evaluate_indices((2, 3))


def test_losses_that_are_not_finite_are_infinite() -> None:
    table = enumerated(ToyProblem(1, 40.0, loss_of=lambda config: math.nan))
    problem = TabularProblem(table, LOOSE)
    assert problem.evaluate_indices((0,)).loss == math.inf
    assert problem.optimum()[1].loss == math.inf
    assert problem.pareto() == []


# --- many at once


def test_many_losses_at_once_are_those_one_by_one() -> None:
    problem = TabularProblem(random_table(3, 4), LOOSE)
    rows = np.array(everything(problem))[::-1]
    losses = problem.losses_of(rows)
    assert losses.dtype == np.float64
    assert losses.tolist() == [problem.evaluate_indices(row).loss for row in rows.tolist()]
    assert problem.losses_of(np.empty((0, 3), dtype=np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ([0, 1, 2], r"shape \(3,\)"),
        ([[0, 1]], r"give whole numbers of shape \(n, 3\)"),
        ([[0.0, 1.0, 2.0]], "type float64"),
        ([[0, 1, 4]], r"outside 0\.\.3"),
        ([[0, 1, -1]], r"outside 0\.\.3"),
    ],
)
def test_indices_that_are_not_in_the_table_are_refused(indices: Any, words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        TabularProblem(random_table(3, 4), LOOSE).losses_of(indices)


def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether a is cheaper or better, and in neither worse; equal ones by the rest."""
    if a[:2] == b[:2]:
        return a[2:] < b[2:]
    return a[0] <= b[0] and a[1] <= b[1]


# --- all configurations, against one configuration after the other


@st.composite
def tied_tables(draw: st.DrawFn) -> Table:
    """Random costs, and losses with many ties and some that are infinite."""
    table = random_table(3, 4, seed=draw(st.integers(0, 5)))
    losses = draw(
        st.lists(
            st.sampled_from([0.5, 1.0, 1.5, 2.0, math.inf]),
            min_size=table.count,
            max_size=table.count,
        )
    )
    correct = np.zeros(table.count, np.uint16)
    costs = table.costs
    if draw(st.booleans()):  # few different costs
        costs = replace(costs, average_bits=costs.average_bits // 4000, bops=costs.bops // 10**7)
    source = Measured(np.array(losses, np.float32), correct, table.samples)
    return replace(table, costs=costs, source=source)


@settings(deadline=None, max_examples=60)
@given(
    table=tied_tables(),
    quantity=st.sampled_from(QUANTITIES),
    fraction=st.floats(0, 1),
)
def test_optimum_front_and_mask_are_those_of_brute_force(
    table: Table, quantity: str, fraction: float
) -> None:
    problem = within(table, quantity, fraction)
    scores = [problem.evaluate_indices(indices) for indices in everything(problem)]
    inside = [spent(score, quantity) <= problem.budget.limit for score in scores]
    assert problem.feasible_mask().tolist() == inside
    keys = [
        (score.loss, score.size_bytes, number)
        for number, score in enumerate(scores)
        if inside[number]
    ]
    best = min(keys)[2]
    config, score = problem.optimum()
    assert score == scores[best]
    assert problem.indices(config) == list(table.indices_of(best))

    points = [
        (spent(score, quantity), score.loss, score.size_bytes, number)
        for number, score in enumerate(scores)
        if math.isfinite(score.loss)
    ]
    front = [p for p in points if not any(beats(other, p) for other in points)]
    expected = [list(table.indices_of(number)) for *_, number in sorted(front)]
    found = problem.pareto()
    assert [problem.indices(config) for config, _ in found] == expected
    assert [problem.evaluate(config) for config, _ in found] == [score for _, score in found]


def test_the_front_is_of_the_whole_table_whatever_the_limit() -> None:
    table = random_table(3, 4)
    assert within(table, "bops", 0.1).pareto() == within(table, "bops", 1.0).pareto()
