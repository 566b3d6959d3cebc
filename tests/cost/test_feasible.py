"""The feasible set against brute force, and sampling against the uniform distribution."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost import feasible
from rlquant.cost.budget import Budget, NetworkCosts
from rlquant.cost.feasible import FeasibleSet, option_distance
from rlquant.errors import BudgetError, ChoiceError
from rlquant.layers import LayerFacts, find_layers
from rlquant.space import SearchSpace, for_layer
from small_networks import FEATURES, Mlp, fresh

OPTIONS = (
    LayerChoice("", 2),
    LayerChoice("", 2, method="ternary"),
    LayerChoice("", 3),
    LayerChoice("", 3, activation_bits=8),
    LayerChoice("", 3, points="kmeans", activation_bits=8),
    LayerChoice("", 8),
    LayerChoice("", 32, method="float"),
)


@dataclass(frozen=True)
class ListedCost:
    """Whole units by layer and option."""

    units_of: dict[LayerChoice, int]
    fixed: int = 0

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        return self.units_of[choice]

    def units(self, limit: float) -> int:
        return math.floor(limit)

    def value(self, units: int) -> float:
        return float(units)


def feasible_set(rows: list[list[int]], limit: float, fixed: int = 0) -> FeasibleSet:
    """Make a set whose layer i pays `rows[i][j]` for option j."""
    layers = [LayerFacts(f"layer{i}", "linear", (1, 1), 1, 1) for i in range(len(rows))]
    units = {
        for_layer(option, facts.name): cost
        for facts, row in zip(layers, rows, strict=True)
        for option, cost in zip(OPTIONS, row, strict=False)
    }
    options = OPTIONS[: len(rows[0])]
    return FeasibleSet(layers, options, ListedCost(units, fixed), Budget.bops(limit))


@st.composite
def small_sets(draw: st.DrawFn, *, most_expensive: int = 9) -> FeasibleSet:
    layers, options = draw(st.integers(1, 4)), draw(st.integers(1, len(OPTIONS)))
    row = st.lists(st.integers(0, most_expensive), min_size=options, max_size=options)
    rows = draw(st.lists(row, min_size=layers, max_size=layers))
    fixed = draw(st.integers(0, 3))
    smallest = fixed + sum(min(row) for row in rows)
    largest = fixed + sum(max(row) for row in rows)
    limit = draw(st.integers(smallest, largest + 1))
    return feasible_set(rows, limit + 0.5, fixed)  # half a unit buys nothing


def everything(found: FeasibleSet) -> list[tuple[int, ...]]:
    return list(itertools.product(range(len(found.options)), repeat=len(found)))


def feasible_ones(found: FeasibleSet) -> list[tuple[int, ...]]:
    return [indices for indices in everything(found) if found.fits(indices)]


# --- costs


def test_costs_by_hand() -> None:
    found = feasible_set([[2, 5], [1, 7]], limit=9, fixed=3)
    assert len(found) == 2
    assert found.limit == 9
    assert (found.smallest, found.largest) == (3 + 2 + 1, 3 + 5 + 7)
    assert found.spent([]) == 3
    assert found.spent([1]) == 8
    assert found.spent(np.array([1, 0])) == 9
    assert found.fits([1, 0])
    assert not found.fits([0, 1])


def test_a_budget_that_cannot_be_kept_names_the_smallest_that_can() -> None:
    layers = find_layers(fresh(Mlp), torch.zeros(2, FEATURES))
    costs = NetworkCosts.of(fresh(Mlp), layers)
    options = SearchSpace().options()
    for make in (Budget.average_bits, Budget.size_bytes, Budget.size_ratio, Budget.bops):
        budget = make(1e-3)
        with pytest.raises(
            BudgetError, match="cannot be kept: the smallest reachable is"
        ) as caught:
            FeasibleSet(layers, options, costs.under(budget), budget)
        (smallest,) = re.findall(r"smallest reachable is (\S+) ", str(caught.value))
        reachable = make(float(smallest))
        assert FeasibleSet(layers, options, costs.under(reachable), reachable).count() >= 1
        below = make(math.nextafter(float(smallest), 0))
        with pytest.raises(BudgetError):
            FeasibleSet(layers, options, costs.under(below), below)


# --- vectors and configurations


@given(found=small_sets(), data=st.data())
def test_vectors_and_configurations_are_the_same_thing(
    found: FeasibleSet, data: st.DataObject
) -> None:
    indices = data.draw(st.sampled_from(everything(found)))
    config = found.config(indices)
    assert [choice.layer for choice in config] == list(found.names)
    assert found.indices(config).tolist() == list(indices)


def test_a_configuration_outside_the_space_is_refused() -> None:
    found = feasible_set([[1, 2], [1, 2]], limit=4)
    inside = [LayerChoice("layer0", 2), LayerChoice("layer1", 2)]
    outside = QuantizationConfig((inside[0], LayerChoice("layer1", 7)))
    with pytest.raises(ChoiceError, match=r"bits=7.* is not among the options of the space"):
        found.indices(outside)
    with pytest.raises(ChoiceError, match="no choice for layer 'layer1'"):
        found.indices(QuantizationConfig((inside[0],)))
    with pytest.raises(ValueError, match="shorter"):
        found.config([0])


# --- one layer after the other


@given(found=small_sets(), data=st.data())
def test_an_option_is_allowed_where_some_completion_fits(
    found: FeasibleSet, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, len(found) - 1))
    number = st.integers(0, len(found.options) - 1)
    prefix = tuple(data.draw(st.lists(number, min_size=length, max_size=length)))
    expected = [
        any(found.fits(full) for full in everything(found) if full[: length + 1] == (*prefix, o))
        for o in range(len(found.options))
    ]
    assert found.allowed(length, found.spent(prefix)).tolist() == expected


@given(found=small_sets(), data=st.data())
def test_whoever_takes_allowed_options_ends_within_the_budget(
    found: FeasibleSet, data: st.DataObject
) -> None:
    taken: list[int] = []
    for layer in range(len(found)):
        allowed = np.flatnonzero(found.allowed(layer, found.spent(taken)))
        assert len(allowed) > 0
        taken.append(data.draw(st.sampled_from(allowed.tolist())))
    assert found.fits(taken)


@given(found=small_sets(), data=st.data())
def test_the_nearest_option_is_allowed_and_keeps_the_bits_where_it_can(
    found: FeasibleSet, data: st.DataObject
) -> None:
    taken: list[int] = []
    for layer in range(len(found)):
        wanted = data.draw(st.integers(0, len(found.options) - 1))
        spent = found.spent(taken)
        allowed = found.allowed(layer, spent)
        nearest = found.nearest(layer, wanted, spent)
        assert allowed[nearest]
        if allowed[wanted]:
            assert nearest == wanted
        distances = [option_distance(found.options[wanted], o) for o in found.options]
        within = [d for d, fits in zip(distances, allowed, strict=True) if fits]
        assert distances[nearest] == min(within)
        widths = [option.arithmetic_bits for option in found.options]
        if any(widths[i] == widths[wanted] for i in np.flatnonzero(allowed)):
            assert widths[nearest] == widths[wanted]
        taken.append(nearest)
    assert found.fits(taken)


def test_of_equally_near_options_the_most_expensive_is_taken() -> None:
    options = [LayerChoice("", bits) for bits in (2, 4, 3)]
    facts = LayerFacts("fc", "linear", (1, 1), 1, 1)
    units = {LayerChoice("fc", 2): 1, LayerChoice("fc", 4): 2, LayerChoice("fc", 3): 9}
    found = FeasibleSet([facts], options, ListedCost(units), Budget.bops(2))
    assert found.nearest(0, 2, 0) == 1  # three bits do not fit; two and four are one away


def test_distance_counts_bits_first() -> None:
    a = LayerChoice("", 4)
    assert option_distance(a, a) == 0
    everything_else = LayerChoice("", 4, "stochastic", "distilled", "kmeans", 64, 8)
    assert option_distance(a, everything_else) < 1 == option_distance(a, LayerChoice("", 5))
    assert option_distance(LayerChoice("", 2), LayerChoice("", 2, method="ternary")) == 0.1
    assert option_distance(LayerChoice("", 8), LayerChoice("", 32, method="float")) > 24


# --- repair


@given(found=small_sets(), data=st.data())
def test_repair_keeps_the_budget_and_leaves_alone_what_fits(
    found: FeasibleSet, data: st.DataObject
) -> None:
    indices = data.draw(st.sampled_from(everything(found)))
    repaired = found.repair(indices)
    assert found.fits(repaired)
    if found.fits(indices):
        assert repaired.tolist() == list(indices)
    rows = np.arange(len(found))
    changed = repaired != np.array(indices)
    cheaper = found.costs[rows, repaired] < found.costs[rows, list(indices)]
    assert np.array_equal(changed, cheaper)


def test_repair_does_not_write_to_its_argument() -> None:
    found = feasible_set([[1, 5], [1, 5]], limit=2)
    indices = np.array([1, 1])
    assert found.repair(indices).tolist() == [0, 0]
    assert indices.tolist() == [1, 1]


def test_the_widest_layers_give_way_first() -> None:
    options = tuple(LayerChoice("", bits) for bits in (2, 4, 8))
    layers = [LayerFacts(name, "linear", (1, 1), 1, 1) for name in "abc"]
    units = {for_layer(o, facts.name): o.bits for facts in layers for o in options}
    found = FeasibleSet(layers, options, ListedCost(units), Budget.bops(12))
    assert found.repair([2, 0, 1]).tolist() == [1, 0, 1]
    assert found.repair([2, 2, 2]).tolist() == [1, 1, 1]


# --- counting and sampling


@given(found=small_sets())
def test_the_count_is_that_of_brute_force(found: FeasibleSet) -> None:
    number = len(feasible_ones(found))
    assert found.exact
    assert found.count() == pytest.approx(number)
    assert found.log_count() == pytest.approx(math.log(number))


@given(found=small_sets(), seed=st.integers(0, 2**32))
def test_a_sample_keeps_the_budget(found: FeasibleSet, seed: int) -> None:
    generator = np.random.default_rng(seed)
    assert all(found.fits(found.sample(generator)) for _ in range(5))


@given(found=small_sets(most_expensive=1000), grid=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_costs_finer_than_the_grid_never_break_the_budget(
    found: FeasibleSet, grid: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    with mock.patch.object(feasible, "GRID", grid):
        assert all(found.fits(found.sample(generator)) for _ in range(5))
        number = len(feasible_ones(found))
        assert 1 - 1e-9 <= found.count() <= number * (1 + 1e-9)
        if found.exact:
            assert found.count() == pytest.approx(number)


def test_a_finer_grid_misses_fewer() -> None:
    rows = [[0, 301, 707, 1013]] * 4
    true = len(feasible_ones(feasible_set(rows, limit=1800)))
    counts, exact = [], []
    for grid in (8, 40, 2000):
        with mock.patch.object(feasible, "GRID", grid):
            found = feasible_set(rows, limit=1800)
            counts.append(found.count())
            exact.append(found.exact)
    assert exact == [False, False, True]
    assert counts[0] < counts[1] <= counts[2]
    assert counts[2] == pytest.approx(true)


UNEVEN = pytest.mark.parametrize(
    ("rows", "limit"),
    [
        ([[1, 3, 4], [2, 2, 7], [0, 5, 5], [1, 2, 9]], 14),
        ([[6, 12, 18, 24], [10, 20, 30, 40], [1, 2, 3, 4]], 50),
        ([[0, 0], [0, 0], [0, 0]], 1),
    ],
)


@dataclass
class Scripted:
    """A generator that draws what it is told."""

    draws: list[float]

    def random(self) -> float:
        return self.draws.pop(0)


@UNEVEN
def test_each_draw_is_split_by_the_number_of_completions(rows: list[list[int]], limit: int) -> None:
    # An option takes the share of [0, 1) that its completions have: just inside both ends of
    # that share, layer by layer, every configuration is drawn. So each has the same probability.
    found = feasible_set(rows, limit)
    cells = feasible_ones(found)
    for cell in cells:
        for edge in (1e-9, 1 - 1e-9):
            draws = []
            for layer, option in enumerate(cell):
                rest = [other[layer] for other in cells if other[:layer] == cell[:layer]]
                before, own = sum(o < option for o in rest), rest.count(option)
                draws.append((before + edge * own) / len(rest))
            drawn = found.sample(Scripted(draws))  # type: ignore[arg-type]
            assert tuple(drawn.tolist()) == cell


def uniformity(found: FeasibleSet, draw: Callable[[], npt.ArrayLike]) -> float:
    """Return the p-value of a chi-square test with 200 draws expected a configuration."""
    drawn = dict.fromkeys(feasible_ones(found), 0)
    for _ in range(200 * len(drawn)):
        drawn[tuple(np.asarray(draw()).tolist())] += 1
    return float(chisquare(list(drawn.values())).pvalue)


@UNEVEN
def test_samples_are_uniform(rows: list[list[int]], limit: int) -> None:
    # Fixed seed; an exact sampler fails once in ten thousand seeds.
    found, generator = feasible_set(rows, limit), np.random.default_rng(0)
    assert uniformity(found, lambda: found.sample(generator)) > 1e-4


def test_options_drawn_one_by_one_among_the_allowed_are_not_uniform() -> None:
    # The control: what the chi-square test is there to find, it finds.
    found = feasible_set([[6, 12, 18, 24], [10, 20, 30, 40], [1, 2, 3, 4]], limit=50)
    generator = np.random.default_rng(0)

    def draw() -> list[int]:
        taken: list[int] = []
        for layer in range(len(found)):
            allowed = np.flatnonzero(found.allowed(layer, found.spent(taken)))
            taken.append(int(generator.choice(allowed)))
        return taken

    assert uniformity(found, draw) < 1e-9


def test_samples_depend_on_the_generator_alone() -> None:
    found = feasible_set([[1, 3, 4]] * 5, limit=12)
    a, b = (np.random.default_rng(7) for _ in range(2))
    assert [found.sample(a).tolist() for _ in range(9)] == [
        found.sample(b).tolist() for _ in range(9)
    ]


def exact_count(rows: list[list[int]], limit: int) -> int:
    """Count with whole numbers of any size."""
    ways = {0: 1}
    for row in rows:
        after: dict[int, int] = {}
        for spent, number in ways.items():
            for cost in row:
                if spent + cost <= limit:
                    after[spent + cost] = after.get(spent + cost, 0) + number
        ways = after
    return sum(ways.values())


@pytest.mark.parametrize("limit", [450, 900, 1500, 10_000])
def test_deep_networks_neither_overflow_nor_vanish(limit: int) -> None:
    rows = [[1, 2, 3, 4, 5, 6, 7]] * 450  # 7^450 is 10^380
    found = feasible_set(rows, limit)
    exact = exact_count(rows, limit)
    assert found.log_count() == pytest.approx(math.log(exact), rel=1e-9, abs=1e-9)
    assert found.count() == (math.inf if exact > 10**300 else pytest.approx(exact, rel=1e-6))
    generator = np.random.default_rng(0)
    spent = [found.spent(found.sample(generator)) for _ in range(20)]
    assert max(spent) <= limit
    if limit == 10_000:  # nothing is excluded: every layer pays 4 on average, 2 either way
        assert np.mean(spent) == pytest.approx(4 * 450, abs=5 * 2 * 450**0.5 / 20**0.5)
    else:  # nearly all configurations within the budget lie close to it
        assert min(spent) > 0.97 * limit
