"""The probe's answers, against tables whose truth is known."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

import rlquant
from rlquant import Budget, GroupedProblem, Problem, QuantizationConfig, SearchSpace, TabularProblem
from rlquant.errors import BudgetError, SettingsError
from rlquant.probing.probe import INTERACTIONS_MATTER, KNAPSACK_DOES, BudgetShare
from rlquant.tabular.shipped import load_table, table_names
from rlquant.testing import random_table
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.searchers.knapsack import solve_knapsack

THREE = Budget.average_bits(3.0)


def unknown(problem: TabularProblem) -> Problem:
    """The same problem, asked one configuration after the other."""
    return GroupedProblem(problem, {facts.name: (facts.name,) for facts in problem.layers})


def smooth(config: QuantizationConfig) -> float:
    """A loss whose log is no sum over the layers."""
    return 0.1 + sum(i * 4.0**-c.bits for i, c in enumerate(config, 1))


# --- against the truth


@pytest.mark.parametrize(
    ("interaction", "groups"), [(0.0, 7), (0.1, 6), (0.3, 7), (0.6, 6), (1.0, 7), (2.0, 6)]
)
def test_sixty_samples_come_near_the_truth(groups: int, interaction: float) -> None:
    problem = TabularProblem(random_table(groups, 6, interaction, seed=1), THREE)
    truth = rlquant.probe(problem)
    assert truth.shares[0].exact
    assert truth.error == 0
    found = [rlquant.probe(unknown(problem), seed=seed) for seed in range(4)]
    assert not any(one.shares[0].exact for one in found)
    for one in found:  # three standard errors; where they are tiny, an absolute tolerance
        assert abs(one.share - truth.share) < max(3 * one.error, 0.01)
    assert np.mean([one.share for one in found]) == pytest.approx(truth.share, abs=0.08)


@pytest.mark.parametrize(
    ("name", "bits"), list(zip(table_names(), itertools.cycle([2.5, 3.0]), strict=False))
)
def test_sixty_samples_come_near_the_truth_of_shipped_tables(name: str, bits: float) -> None:
    problem = TabularProblem(load_table(name), Budget.average_bits(bits))
    truth = rlquant.probe(problem)
    found = [rlquant.probe(unknown(problem), seed=seed).shares[0] for seed in range(12)]
    inside = [one.interval[0] <= truth.share <= one.interval[1] for one in found]
    assert sum(inside) >= 9  # of a little more than 11 expected
    # four standard errors of the mean of twelve, each of up to 0.07
    assert np.mean([one.share for one in found]) == pytest.approx(truth.share, abs=0.08)


def test_its_limits_are_where_a_knapsack_begins_to_fail() -> None:
    better: dict[str, list[float]] = {"does": [], "between": [], "matter": []}
    for interaction in (0.05, 0.2, 0.4, 1.0):
        for seed in range(8):
            table = random_table(6, 6, interaction, seed)
            problem = TabularProblem(table, Budget.average_bits(3.5))
            logs = np.log(table.measured.losses.astype(float))
            widest = 5 * sum(table.strides)
            effects = [[logs[widest + (k - 5) * s] for k in range(6)] for s in table.strides]
            chosen = solve_knapsack(np.array(effects) - logs[widest], problem.feasible)
            inside = logs[problem.feasible_mask()]
            share = rlquant.probe(problem).share
            kind = "does" if share >= KNAPSACK_DOES else "between"
            kind = "matter" if share < INTERACTIONS_MATTER else kind
            better[kind].append(float((inside < logs[table.index_of(chosen.tolist())]).mean()))
    assert all(len(of) >= 4 for of in better.values())
    assert np.mean(better["does"]) < 0.002
    assert np.mean(better["between"]) < 0.02
    assert np.mean(better["matter"]) > 0.02


def test_options_of_several_decisions_are_alike_as_far_as_they_agree() -> None:
    # 34 options in each of 6 layers: 198 effects, of 60 samples
    problem = ToyProblem(layers=6, average_bits=6.0, space=MIXED)
    found = rlquant.probe(problem)
    assert found.share > 0.9
    assert found.share + 3 * found.error > 1 - 1e-9


# --- what is asked


def test_it_asks_for_different_configurations_within_the_budget() -> None:
    problem = ToyProblem(layers=5, average_bits=3.5, loss_of=smooth)
    found = rlquant.probe(problem, samples=30, seed=2)
    assert len(problem.evaluated) == len(set(problem.evaluated)) == 30
    assert all(problem.feasible.fits(problem.feasible.indices(c)) for c in problem.evaluated)
    assert found.shares[0].configurations == 30
    assert rlquant.probe(problem, samples=30, seed=2) == found
    assert rlquant.probe(problem, samples=30, seed=3) != found


def test_fewer_configurations_than_samples_are_all_looked_at() -> None:
    table = TabularProblem(random_table(3, 6, 1.0), Budget.average_bits(4.0))
    count = int(table.feasible_mask().sum())
    assert 50 < count < 100
    (asked,) = rlquant.probe(unknown(table), samples=100).shares
    assert asked.exact
    assert asked.configurations == count
    assert dataclasses.replace(asked, share=0) == dataclasses.replace(
        rlquant.probe(table).shares[0], share=0
    )
    assert asked.share == pytest.approx(rlquant.probe(table).share, abs=1e-12)


def test_several_budgets_are_probed_in_the_order_given() -> None:
    problem = TabularProblem(random_table(5), THREE)
    budgets = (Budget.average_bits(4.0), Budget.average_bits(3.0), Budget.size_bytes(10**9))
    found = rlquant.probe(problem, budgets=budgets)
    assert [of.budget for of in found.shares] == list(budgets)
    assert found.shares[1] == rlquant.probe(problem).shares[0]
    assert (found.share, found.error) == (found.shares[0].share, 0.0)
    assert len(str(found).splitlines()) == 3


# --- odd tables


def test_equal_losses_have_no_share() -> None:
    problem = ToyProblem(loss_of=lambda config: 0.5)
    found = rlquant.probe(problem)
    assert math.isnan(found.share)
    assert "nothing to search" in str(found)
    assert "nan" not in str(found)


def test_infinite_losses_are_left_out_and_counted() -> None:
    def loss(config: QuantizationConfig) -> float:
        return math.inf if config["layer0"].bits == 2 else smooth(config)

    problem = ToyProblem(layers=5, average_bits=4.0, loss_of=loss)
    (found,) = rlquant.probe(problem).shares
    assert 0 < found.infinite < 50
    assert found.configurations == 60
    assert 0 < found.share <= 1
    assert f"{found.infinite} without a finite loss were left out" in str(found)


def test_too_few_finite_losses_are_an_error() -> None:
    problem = ToyProblem(layers=5, average_bits=4.0, loss_of=lambda config: math.inf)
    with pytest.raises(SettingsError, match=r"of 60 .* only 0 have a finite loss; draw more"):
        rlquant.probe(problem)


def test_no_finite_loss_at_all_is_said() -> None:
    problem = ToyProblem(layers=2, loss_of=lambda config: math.inf)
    found = rlquant.probe(problem)
    assert found.shares[0].exact
    assert "None has a finite loss" in str(found)


def test_one_layer_is_always_a_sum() -> None:
    few = rlquant.probe(ToyProblem(layers=1, average_bits=8, loss_of=smooth))
    assert few.shares[0].exact
    many = ToyProblem(
        layers=1, average_bits=20, loss_of=smooth, space=SearchSpace(bits=range(1, 17))
    )
    for found in (few, rlquant.probe(many, samples=10)):
        assert (found.share, found.error) == (pytest.approx(1.0), 0.0)
        assert "knapsack over per-layer sensitivities will do" in str(found)


# --- words


@pytest.mark.parametrize(
    ("share", "error", "words", "clear"),
    [
        (0.99, 0.004, "A knapsack over per-layer sensitivities will do.", True),
        (0.99, 0.02, "A knapsack over per-layer sensitivities will do.", False),
        (0.95, 0.01, "a search can improve on it", True),
        (0.91, 0.02, "a search can improve on it", False),
        (0.7, 0.1, "Interactions between layers matter", True),
        (0.89, 0.02, "Interactions between layers matter", False),
    ],
)
def test_the_sentence_says_what_the_numbers_mean(
    share: float, error: float, words: str, clear: bool
) -> None:
    found = BudgetShare(THREE, share, error, 60, 0, exact=False)
    assert words in str(found)
    assert ("not certain" not in str(found)) is clear
    assert f"Within {THREE}, per-layer effects explain {100 * share:.1f} % of the variance" in str(
        found
    )
    low, high = found.interval
    assert 0 < low < share < high < 1
    assert f"({100 * low:.1f} to {100 * high:.1f} % in 95 of 100 cases, " in str(found)


def test_an_interval_is_two_errors_wide_in_log_odds() -> None:
    found = BudgetShare(THREE, 0.5, 0.1, 60, 0, exact=False)
    assert found.interval == pytest.approx((1 / (1 + math.exp(0.8)), 1 / (1 + math.exp(-0.8))))
    exact = BudgetShare(THREE, 0.5, 0.0, 60, 0, exact=True)
    assert exact.interval == (0.5, 0.5)


# --- wrong arguments


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"samples": 9}, "probe: samples=9, use a whole number of at least 10"),
        ({"samples": 60.0}, "probe: samples=60.0"),
        ({"seed": -1}, "probe: seed=-1"),
        ({"budgets": ()}, r"budgets=\(\), give a tuple"),
        ({"budgets": THREE}, "budgets=.*give a tuple of budgets"),
        ({"budgets": (3.0,)}, "3.0 is no Budget"),
    ],
)
def test_wrong_arguments_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        rlquant.probe(ToyProblem(), **settings)  # type: ignore[arg-type]


def test_what_is_no_problem_is_refused() -> None:
    with pytest.raises(SettingsError, match="probe: problem is Table without layers"):
        rlquant.probe(random_table(3))  # type: ignore[arg-type]


def test_a_budget_that_nothing_keeps_is_refused() -> None:
    with pytest.raises(BudgetError, match="smallest reachable"):
        rlquant.probe(ToyProblem(), budgets=[Budget.average_bits(1.0)])
