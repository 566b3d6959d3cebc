"""Layers that share a choice: costs are sums, scores are the inner problem's, facts add up."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from problems import counting, problem
from rlquant import (
    Budget,
    GroupedProblem,
    LatencyTable,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.errors import BudgetError, SettingsError, UnknownNameError
from rlquant.layer_groups import group_facts
from rlquant.layers import ERROR_BITS, LayerFacts
from rlquant.testing import ToyProblem
from tables import GROUPS, everything, grouped_problem

SMALL = LayerFacts(
    name="a",
    kind="linear",
    shape=(4, 5),
    parameters=20,
    macs=20,
    calls=3,
    normalized=True,
    has_bias=False,
    std=0.1,
    largest=0.5,
    kurtosis=3.0,
    relative_error=(0.4,) * len(ERROR_BITS),
)
LARGE = replace(
    SMALL,
    name="b",
    kind="conv_transpose2d",
    shape=(2, 10, 3, 1),
    channel_axis=1,
    parameters=60,
    macs=600,
    std=0.3,
    largest=0.4,
    kurtosis=7.0,
    relative_error=(0.8,) * len(ERROR_BITS),
)


def test_facts_of_a_group_by_hand() -> None:
    facts = group_facts("both", (SMALL, LARGE))
    assert facts == LayerFacts(
        name="both",
        kind="conv_transpose2d",
        shape=(2, 10, 3, 1),
        channel_axis=1,
        parameters=80,
        macs=620,
        calls=1,
        has_bias=False,
        normalized=True,
        std=pytest.approx(0.25),
        largest=0.5,
        kurtosis=pytest.approx(6.0),
        relative_error=pytest.approx((0.7,) * len(ERROR_BITS)),
    )
    mixed = group_facts("both", (SMALL, replace(LARGE, has_bias=True, normalized=False)))
    assert mixed.has_bias
    assert not mixed.normalized


def test_of_equally_large_layers_the_first_gives_the_kind() -> None:
    assert group_facts("g", (SMALL, replace(LARGE, parameters=20))).kind == "linear"


def test_a_group_of_one_layer_keeps_its_facts() -> None:
    assert group_facts("alone", (LARGE,)) == replace(LARGE, name="alone")


@pytest.mark.parametrize(
    "budget",
    [
        Budget.average_bits(6.0),
        Budget.size_bytes(10**6),
        Budget.size_ratio(5.0),
        Budget.bops(10**6),
    ],
    ids=str,
)
def test_costs_are_those_of_the_expanded_configuration(budget: Budget) -> None:
    grouped = grouped_problem().with_budget(budget)
    for indices in everything(grouped):
        config = grouped.expand(grouped.feasible.config(indices))
        inner = grouped.problem.feasible
        assert grouped.feasible.spent(indices) == inner.spent(inner.indices(config))
    assert grouped.feasible.limit == grouped.problem.feasible.limit
    assert grouped.feasible.cost.value(7) == grouped.problem.feasible.cost.value(7)


def test_latency_adds_up_over_the_members_with_their_own_shapes() -> None:
    rows = {}
    for facts in grouped_problem().problem.layers:
        shape = "x".join(map(str, facts.shape))
        rows |= {("linear", shape, None, b, None): float(b * facts.macs) for b in (2, 3, 8)}
    budget = Budget.latency(1e6, LatencyTable(rows))
    grouped = grouped_problem().with_budget(budget)
    body = sum(facts.macs for facts in grouped.problem.layers[:2])
    seconds = [2 * body, 2 * body, 3 * body, 3 * body, 8 * body, 8 * body]  # two points a width
    assert grouped.feasible.costs[0].tolist() == [n * 10**9 for n in seconds]
    macs = sum(facts.macs for facts in grouped.problem.layers)
    assert grouped.evaluate(grouped.feasible.config((0, 0))).latency == 2 * macs


def test_scores_are_those_of_the_expanded_configurations() -> None:
    grouped = grouped_problem()
    configs = [grouped.feasible.config(indices) for indices in everything(grouped)[:4]]
    scores = [grouped.problem.evaluate(grouped.expand(config)) for config in configs]
    assert grouped.evaluate_many(configs) == scores
    assert grouped.evaluate(configs[2]) == scores[2]
    assert grouped.float_score == grouped.problem.float_score


def test_processes_measure_groups_where_the_problem_is_live() -> None:
    grouped = grouped_problem()
    nested = GroupedProblem(grouped, ("*",))
    with mock.patch.object(QuantizationProblem, "evaluate_many", autospec=True) as asked:
        grouped.evaluate_many([grouped.feasible.config((0, 1))], executor="local:2")
        nested.evaluate_many([nested.feasible.config([0])], executor="local:3")
    assert [call.args[2] for call in asked.call_args_list] == ["local:2", "local:3"]
    assert asked.call_args_list[0].args[1] == [grouped.expand(grouped.feasible.config((0, 1)))]


def test_workers_measure_groups_of_any_problem() -> None:
    toy = GroupedProblem(ToyProblem(), {"all": [f"layer{i}" for i in range(4)]})
    configs = [toy.feasible.config([option]) for option in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert toy.evaluate_many(configs, executor=threads) == toy.evaluate_many(configs)


@pytest.mark.parametrize("executor", ["local:0", 3])
def test_what_is_no_executor_is_refused(executor: Any) -> None:
    toy = GroupedProblem(ToyProblem(), [f"layer{i}" for i in range(4)])
    for grouped in (toy, grouped_problem()):
        with pytest.raises(SettingsError, match="use local"):
            grouped.evaluate_many([], executor=executor)


def test_expanding_names_layers_in_execution_order() -> None:
    groups = {"outer": ("last", "first"), "inner": ("second",)}
    grouped = GroupedProblem(problem("mlp"), groups)
    config = QuantizationConfig((LayerChoice("inner", 4), LayerChoice("outer", 8)))
    expanded = grouped.expand(config)
    assert [(choice.layer, choice.bits) for choice in expanded] == [
        ("first", 8),
        ("second", 4),
        ("last", 8),
    ]


def test_a_group_that_is_not_named_stays_in_float() -> None:
    grouped = grouped_problem()
    partly = QuantizationConfig((LayerChoice("last", 2),))
    layers = [choice.layer for choice in grouped.expand(partly)]
    assert layers == ["last"]
    kept = [LayerChoice(name, 32, method="float") for name in ("first", "second")]
    whole = QuantizationConfig((*kept, LayerChoice("last", 2)))
    assert grouped.evaluate(partly) == grouped.problem.evaluate(whole)


def test_a_layer_is_no_group() -> None:
    config = QuantizationConfig((LayerChoice("first", 4),))
    with pytest.raises(UnknownNameError, match="unknown searched layer 'first'"):
        grouped_problem().evaluate(config)


def test_groups_of_single_layers_are_the_problem_itself() -> None:
    inner = problem("mlp")
    alone = GroupedProblem(inner, [facts.name for facts in inner.layers])
    assert alone.layers == inner.layers
    assert alone.fingerprint == inner.fingerprint
    assert alone.feasible.costs.tolist() == inner.feasible.costs.tolist()


def test_other_groups_are_another_problem() -> None:
    inner = grouped_problem().problem
    prints = {
        GroupedProblem(inner, groups).fingerprint
        for groups in (GROUPS, {"b": GROUPS["body"], "last": ("last",)}, ("*",))
    }
    assert len({*prints, inner.fingerprint}) == 4
    assert grouped_problem().fingerprint == GroupedProblem(inner, GROUPS).fingerprint


def test_a_budget_below_what_layers_can_do_together_is_refused() -> None:
    # alone, each of two layers has an option of one second; together they take the same one
    seconds = {2: (1.0, 9.0), 3: (5.0, 5.0), 8: (9.0, 1.0)}
    rows = {}
    for bits, of_layers in seconds.items():
        for shape, value in zip(("8x6", "8x8", "3x8"), (*of_layers, 1.0), strict=True):
            rows[("linear", shape, None, bits, None)] = value
    table = LatencyTable(rows)
    inner = grouped_problem().problem
    assert inner.with_budget(Budget.latency(4.0, table)).feasible.smallest == 3 * 10**9
    assert grouped_problem().with_budget(Budget.latency(11.0, table))
    with pytest.raises(BudgetError, match="smallest reachable is 11"):
        grouped_problem().with_budget(Budget.latency(10.0, table))


def test_it_is_shared_by_deepcopy_and_survives_pickling() -> None:
    grouped = grouped_problem()
    assert copy.deepcopy(grouped) is grouped
    again = pickle.loads(pickle.dumps(grouped))
    config = grouped.feasible.config((1, 3))
    assert again.evaluate(config) == grouped.evaluate(config)
    assert again.fingerprint == grouped.fingerprint


def in_three_groups() -> GroupedProblem:
    made = problem("conv", space=SearchSpace(bits=(2, 3, 8)))
    names = [facts.name for facts in made.layers]
    return GroupedProblem(made, {"early": names[:2], "middle": names[2:-1], "last": names[-1:]})


def test_a_scan_remembers_nothing() -> None:
    live = in_three_groups()
    configs = [live.feasible.config(i) for i in ((0, 0, 0), (0, 0, 1), (2, 0, 1))]
    with counting() as measured:
        scanned = [found.loss for found in live.scan(configs)]
        assert scanned == [score.loss for score in live.evaluate_many(configs)]
    assert measured.call_count == 6
    assert list(live.scan([])) == []


def test_the_best_order_is_that_of_the_single_layers() -> None:
    live = in_three_groups()
    configs = [live.feasible.config(i) for i in ((0, 0, 0), (1, 0, 0), (0, 0, 1))]
    assert live.expect(configs) == [1, 0, 2]
    toy = GroupedProblem(ToyProblem(), [f"layer{i}" for i in range(4)])
    assert toy.expect([toy.feasible.config([0] * 4)] * 2) == [0, 1]


def test_what_is_not_live_cannot_be_scanned() -> None:
    toy = GroupedProblem(ToyProblem(), [f"layer{i}" for i in range(4)])
    with pytest.raises(SettingsError, match="a ToyProblem is not live"):
        toy.scan([])
