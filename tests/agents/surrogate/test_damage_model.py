"""The model of the damage: what it must reproduce, and what it must leave alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rlquant import QuantizationConfig, SearchSpace
from rlquant.config import LayerChoice
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.damage_model import (
    LEAST_SPREAD,
    DamageModel,
    DamagePrior,
    Measured,
    similarity,
)
from toy_problem import ToyProblem

TWO_BITS = SearchSpace(bits=(2, 4))


def measured(problem: ToyProblem, rows: list[tuple[int, ...]]) -> Measured:
    session = Session(problem, 99)
    found = Measured(session)
    for row in rows:
        found.add(session.ask_indices(row))
    return found


def prior(problem: ToyProblem, *, interaction: float, noise: float = 1e-4) -> DamagePrior:
    shape = problem.feasible.costs.shape
    alike = np.eye(shape[1])
    return DamagePrior(np.zeros(shape), np.ones(shape), alike, interaction, noise)


def test_a_prediction_is_the_sum_of_its_terms() -> None:
    single = np.array([[0.0, 1.0], [0.0, 10.0], [0.0, 100.0]])
    double = np.array([[[0.0, 0.0], [0.0, 0.5]]])
    model = DamageModel(1000.0, single, [(0, 2)], double)
    rows = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1]])
    assert model.predict(rows).tolist() == [1000.0, 1011.0, 1101.5]


def test_where_layers_add_up_a_sum_of_effects_predicts_what_it_never_saw() -> None:
    problem = ToyProblem(3, 40.0, TWO_BITS)
    rows = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    known = measured(problem, rows)
    model = prior(problem, interaction=0.0).fitted(known)
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
    known = measured(problem, everything)
    damages = np.array([math.log(coupled(problem.feasible.config(row))) for row in everything])

    def error(interaction: float) -> float:
        model = prior(problem, interaction=interaction, noise=1e-2).fitted(known)
        return float(np.abs(model.predict(known.rows) * known.spread - damages).max())

    assert error(1.0) < 0.1
    assert error(0.0) > 0.3


def test_without_freedom_the_prior_stays_and_only_the_constant_moves() -> None:
    problem = ToyProblem(2, 40.0, TWO_BITS)
    effects = np.array([[3.0, 0.0], [1.0, 0.0]])
    shape = effects.shape
    held = DamagePrior(effects, np.zeros(shape), np.eye(2), 1.0, 0.1)
    model = held.fitted(measured(problem, [(0, 1), (1, 1)]))
    assert model.single.tolist() == effects.tolist()
    assert not model.double.any()


def test_what_was_measured_is_counted_in_units_of_its_spread() -> None:
    losses = {4: 1.0, 3: math.e, 2: math.e**5}
    problem = ToyProblem(
        1, 3.5, SearchSpace(bits=(2, 3, 4)), loss_of=lambda config: losses[config["layer0"].bits]
    )
    found = measured(problem, [(2,), (0,), (1,)])
    assert (found.best.tolist(), found.least) == ([1], 1.0)  # 4 bits are over the budget
    assert found.spread == pytest.approx(3.6)  # nine tenths of the way from 1 to 5
    assert found.damages.tolist() == pytest.approx([0.0, 5.0, 1.0])
    assert measured(problem, [(1,)]).spread == LEAST_SPREAD
    assert measured(problem, [(0,)])
    assert not Measured(Session(problem, 3))


def test_options_are_alike_by_bits_and_decisions() -> None:
    options = [
        LayerChoice("", 2),
        LayerChoice("", 4),
        LayerChoice("", 4, points="kmeans"),
    ]
    alike = similarity(options)
    assert alike[0] == pytest.approx([1.0, math.exp(-1), math.exp(-1.5)])
    assert alike == pytest.approx(alike.T)
