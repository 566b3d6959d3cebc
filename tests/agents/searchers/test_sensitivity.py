"""Sensitivities: exact where measured, exact where effects add up, and said where guessed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rlquant import LayerFacts, QuantizationConfig, Score, SearchSpace
from rlquant.errors import SettingsError
from rlquant.layers import ERROR_BITS
from rlquant.score import WORST_LOG_LOSS, log_loss
from rlquant.testing.toy_problem import MIXED, ToyProblem, loss_of_choice
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.sensitivity import measure_effects, reference_option
from rlquant_agents.surrogate.weight_error import weight_error

KEEPING = SearchSpace(
    bits=(2, 3, 8), method=("post_training", "float", "ternary"), activation_bits=(None, 8)
)
SPACES = {
    "bits": SearchSpace(bits=(2, 3, 4, 8, 16)),
    "points": SearchSpace(bits=(2, 8), points=("symmetric", "clipped", "quantile")),
    "mixed": MIXED,
    "keeping": KEEPING,
    "no bits": SearchSpace(bits=(4,), rounding=("nearest", "stochastic", "gptq")),
}


def true_effects(session: Session) -> np.ndarray:
    """What an option adds to the log loss, over the reference option."""
    problem = session.problem
    assert isinstance(problem, ToyProblem)
    options = problem.feasible.options
    increases = np.array([loss_of_choice(option) for option in options])
    increases -= increases[reference_option(options, session.space)]
    return np.outer(list(problem.sensitivities.values()), increases)


@pytest.mark.parametrize("space", SPACES)
def test_the_full_pass_measures_every_effect(space: str) -> None:
    problem = ToyProblem(3, 3.0 if space != "no bits" else 5.0, SPACES[space])
    options = len(problem.feasible.options)
    session = Session(problem, 3 * 3 * (options - 1))
    effects = measure_effects(session)
    assert effects == pytest.approx(true_effects(session), abs=1e-9)
    assert len(problem.evaluated) == 3 * (options - 1) + 1
    assert session.notes == []


@pytest.mark.parametrize("space", ["points", "mixed", "keeping"])
def test_the_extrapolated_pass_is_exact_where_effects_add_up(space: str) -> None:
    problem = ToyProblem(5, 5.0, SPACES[space])
    full = 5 * (len(problem.feasible.options) - 1)
    session = Session(problem, min(60, 3 * full - 1))
    effects = measure_effects(session)
    assert effects == pytest.approx(true_effects(session), abs=1e-9)
    assert len(problem.evaluated) < full
    (note,) = session.notes
    assert "measured once for all layers" in note
    assert "effects added" in note
    changed = {"points": "points=", "mixed": "rounding=stochastic", "keeping": "method=float"}
    assert changed[space] in note


def test_where_bits_are_not_asked_the_other_decisions_are_measured_for_all_layers_at_once() -> None:
    problem = ToyProblem(5, 5.0, SPACES["no bits"], sensitivities=[0.2] * 5)
    session = Session(problem, 10)
    assert measure_effects(session) == pytest.approx(true_effects(session), abs=1e-9)
    assert len(problem.evaluated) == 3


def test_widths_that_were_not_measured_follow_the_weight_error() -> None:
    problem = ToyProblem(4, 6.0, SearchSpace(bits=(2, 4, 8, 16)))
    session = Session(problem, 8)
    effects = measure_effects(session)
    assert len(problem.evaluated) == 5  # the reference, and two bits at each layer
    # The toy's weight error falls by 4 a bit, as its effects do up to those of the reference.
    assert effects == pytest.approx(true_effects(session), rel=1e-3, abs=1e-6)
    assert session.notes == [
        "sensitivities measured at [2] bits only; other widths follow the weight error"
    ]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ["knapsack", "local-swap"])
@pytest.mark.parametrize("evaluations", [1, 2, 3, 5, 11])
def test_few_evaluations_still_end_in_a_feasible_answer(
    space: str, name: str, evaluations: int
) -> None:
    problem = ToyProblem(4, 5.0, SPACES[space])
    result = make_searcher(name).search(problem, evaluations, seed=0)
    assert problem.feasible.fits(problem.feasible.indices(result.best))
    assert len(problem.evaluated) <= evaluations
    if name == "knapsack":
        assert result.stopped == "finished"  # an evaluation was left for the solution itself


def test_a_single_evaluation_follows_the_weight_error_and_says_so() -> None:
    problem = ToyProblem(4, 5.0)
    result = make_searcher("knapsack").search(problem, 1, seed=0)
    assert "no bits only" in result.notes[0]
    assert result.score.average_bits > 4  # it uses its budget


def test_a_loss_that_is_not_finite_is_bounded() -> None:
    assert log_loss(math.inf) == log_loss(math.nan) == WORST_LOG_LOSS
    assert log_loss(0.0) == pytest.approx(math.log(1e-12))
    problem = ToyProblem(2, 4.0, loss_of=lambda c: 1.0 if c["layer0"].bits > 2 else math.inf)
    result = make_searcher("knapsack").search(problem, 100, seed=0)
    assert result.best["layer0"].bits > 2
    assert math.isfinite(result.score.loss)


def negative(config: QuantizationConfig) -> float:
    return sum((i + 1) * 4.0 ** (2 - choice.bits) for i, choice in enumerate(config)) - 3.0


class NegativeLoss(ToyProblem):
    """As an objective of one's own may have it, e.g. a likelihood or minus a score."""

    @property
    def float_score(self) -> Score:
        return replace(super().float_score, loss=-3.0)


@pytest.mark.parametrize("name", ["knapsack", "local-swap", "nsga2", "random", "masked-ppo"])
def test_losses_below_zero_are_searched_by_their_difference(name: str) -> None:
    problem = NegativeLoss(2, 4.0, loss_of=negative)
    result = make_searcher(name, reward="loss").search(problem, 8, seed=0)
    assert result.score.loss == pytest.approx(problem.best_loss())


def test_the_log_of_a_loss_below_zero_is_refused() -> None:
    with pytest.raises(SettingsError, match="give reward='loss'"):
        make_searcher("knapsack").search(NegativeLoss(3, loss_of=negative), 31, seed=0)


def test_the_reference_is_the_widest_quantized_option() -> None:
    def reference(space: SearchSpace) -> object:
        session = Session(ToyProblem(1, 40.0, space), 5)
        return session.feasible.options[reference_option(session.feasible.options, session.space)]

    widest = reference(MIXED)
    assert widest.bits == 16  # type: ignore[attr-defined]
    assert widest.activation_bits is None  # type: ignore[attr-defined]
    assert widest.rounding == "nearest"  # type: ignore[attr-defined]
    assert reference(KEEPING).method == "post_training"  # type: ignore[attr-defined]
    assert reference(SearchSpace(bits=(2, 4), method=("float",))).method == "float"  # type: ignore[attr-defined]


def test_the_weight_error_beyond_the_known_widths_changes_by_four_a_bit() -> None:
    errors = tuple(0.1 / n for n in range(1, 1 + len(ERROR_BITS)))
    facts = LayerFacts("layer", "linear", (1, 1), 1, 1, relative_error=errors)
    assert [weight_error(facts, bits) for bits in ERROR_BITS] == pytest.approx(errors)
    assert weight_error(facts, 1) == pytest.approx(4 * errors[0])
    assert weight_error(facts, 10) == pytest.approx(errors[-1] / 16)
    exact = LayerFacts("layer", "linear", (1, 1), 1, 1)
    assert weight_error(exact, 4) > 0
