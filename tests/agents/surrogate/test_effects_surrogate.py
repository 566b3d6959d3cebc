"""The surrogate around effects: what it must reproduce, and what it must leave alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rlquant import QuantizationConfig, SearchSpace
from rlquant.config import LayerChoice
from rlquant.probing.option_correlation import exponential_correlation
from rlquant.testing import ToyProblem
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.effects_surrogate import EffectsPrior, EffectsSurrogate
from rlquant_agents.surrogate.observations import SMALLEST_SPREAD, Observations

TWO_BITS = SearchSpace(bits=(2, 4))


def observed(problem: ToyProblem, rows: list[tuple[int, ...]]) -> Observations:
    session = Session(problem, 99)
    for row in rows:
        session.ask_indices(row)
    return Observations(session)


def prior(problem: ToyProblem, *, interaction: float, noise: float = 1e-4) -> EffectsPrior:
    shape = problem.feasible.costs.shape
    correlation = np.eye(shape[1])
    return EffectsPrior(np.zeros(shape), np.ones(shape), correlation, interaction, noise)


def test_a_prediction_is_the_sum_of_its_terms() -> None:
    single = np.array([[0.0, 1.0], [0.0, 10.0], [0.0, 100.0]])
    double = np.array([[[0.0, 0.0], [0.0, 0.5]]])
    model = EffectsSurrogate(1000.0, single, [(0, 2)], double)
    rows = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1]])
    assert model.predict(rows).tolist() == [1000.0, 1011.0, 1101.5]


def test_where_layers_add_up_a_sum_of_effects_predicts_what_it_never_saw() -> None:
    problem = ToyProblem(3, 40.0, TWO_BITS)
    rows = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    known = observed(problem, rows)
    model = prior(problem, interaction=0.0).fit(known)
    everything = np.array(problem.everything())
    true = [math.log(problem.loss(problem.feasible.config(row))) for row in everything]
    assert model.predict(everything) * known.spread == pytest.approx(true, abs=1e-2)
    assert len(model.pairs) == 0


def test_an_interaction_is_found_by_pairs_alone() -> None:
    def coupled(config: QuantizationConfig) -> float:
        low = [choice.bits == 2 for choice in config]
        return math.exp(0.1 * sum(low) + 2.0 * (low[0] and low[2]))

    problem = ToyProblem(3, 40.0, TWO_BITS, loss_of=coupled)
    everything = list(itertools.product((0, 1), repeat=3))
    known = observed(problem, everything)
    log_losses = np.array([math.log(coupled(problem.feasible.config(row))) for row in everything])

    def error(interaction: float) -> float:
        model = prior(problem, interaction=interaction, noise=1e-2).fit(known)
        return float(np.abs(model.predict(known.rows) * known.spread - log_losses).max())

    assert error(1.0) < 0.1
    assert error(0.0) > 0.3


def test_without_deviations_the_prior_stays_and_only_the_constant_moves() -> None:
    problem = ToyProblem(2, 40.0, TWO_BITS)
    effects = np.array([[3.0, 0.0], [1.0, 0.0]])
    shape = effects.shape
    held = EffectsPrior(effects, np.zeros(shape), np.eye(2), 1.0, 0.1)
    model = held.fit(observed(problem, [(0, 1), (1, 1)]))
    assert model.single.tolist() == effects.tolist()
    assert not model.double.any()


def test_what_was_measured_is_counted_in_units_of_its_spread() -> None:
    losses = {4: 1.0, 3: math.e, 2: math.e**5}
    problem = ToyProblem(
        1, 3.5, SearchSpace(bits=(2, 3, 4)), loss_of=lambda config: losses[config["layer0"].bits]
    )
    found = observed(problem, [(2,), (0,), (1,)])
    assert found.best(problem.feasible.limit)[0].tolist() == [1]  # type: ignore[index]
    assert found.least == 1.0  # 4 bits are over the budget
    assert found.spread == pytest.approx(3.6)  # nine tenths of the way from 1 to 5
    assert found.log_losses.tolist() == pytest.approx([0.0, 5.0, 1.0])
    assert observed(problem, [(1,)]).spread == SMALLEST_SPREAD


def test_options_are_correlated_by_bits_and_decisions() -> None:
    options = [
        LayerChoice("", 2),
        LayerChoice("", 4),
        LayerChoice("", 4, points="kmeans"),
    ]
    correlation = exponential_correlation(options)
    assert correlation[0] == pytest.approx([1.0, math.exp(-1), math.exp(-1.5)])
    assert correlation == pytest.approx(correlation.T)
