"""`auto` on networks of many layers: what gradients say comes first, and is paid for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from many_layers import BLOCKS, SPACE, Residual, problem, shared
from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.problem import live
from rlquant.problem.increases import increases_of
from rlquant.sensitivity.expected_increases import GRADIENTS, QUANTIZING
from rlquant_agents import search_problem
from rlquant_agents.search.predictions import N_DRAWS, PREDICTION_SHARE
from rlquant_agents.search.session import Callback, Session
from rlquant_agents.search.uniform import best_uniform
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.searchers.uniform import ask_widest_uniforms


def test_the_solution_of_expected_increases_beats_the_best_uniform_one() -> None:
    given = shared()
    increases = given.expected_increases(32)
    solution = solve_knapsack(given.feasible.summed(increases), given.feasible)
    found = best_uniform(given, 99)
    assert found is not None
    assert given.evaluate(given.feasible.config(solution)).loss < 0.8 * found[1].loss


def test_expected_increases_are_near_the_measured_ones() -> None:
    given = shared()
    increases = given.expected_increases(64)
    widest = len(SPACE.options()) - 1
    base = [widest] * len(given.layers)
    floor = given.evaluate(given.feasible.config(base)).loss
    measured = []
    for layer in range(0, len(given.layers), 3):
        row = [1 if i == layer else option for i, option in enumerate(base)]
        loss = given.evaluate(given.feasible.config(row)).loss
        measured.append((loss - floor, increases[layer, 1] - increases[layer, widest]))
    true, expected = np.log(np.array(measured)).T
    assert np.corrcoef(true, expected)[0, 1] > 0.9
    assert abs(float((true - expected).mean())) < 0.5


def test_gradients_are_paid_for_with_evaluations_once() -> None:
    session = Session(shared(), 30)
    increases = session.expected_increases()
    assert increases is not None
    assert increases.shape == session.feasible.costs.shape
    cost = math.ceil(session.problem.prediction_cost(N_DRAWS[0]))  # type: ignore[attr-defined]
    assert 0 < cost <= PREDICTION_SHARE * 30
    assert session.remaining == 30 - cost
    assert session.expected_increases() is increases
    assert session.remaining == 30 - cost


def test_where_evaluations_are_too_few_gradients_are_not_taken() -> None:
    session = Session(shared(), 1)
    assert session.expected_increases() is None
    assert session.remaining == 1


@pytest.mark.parametrize("evaluations", [6, 16])
def test_auto_starts_from_gradients_and_keeps_its_evaluations(evaluations: int) -> None:
    given = shared()
    result = search_problem(given, searcher="auto", evaluations=evaluations, seed=0)
    assert len(result.history) < evaluations  # some were paid for the gradients
    assert any("gradients" in note for note in result.notes)
    uniform = best_uniform(given, 99)
    assert uniform is not None
    assert result.score.loss < uniform[1].loss
    assert result.source
    assert result.source != "a uniform configuration"
    assert f"the best configuration was proposed by {result.source}" in result.notes


def test_the_same_seed_finds_the_same() -> None:
    found = [
        search_problem(given, searcher="auto", evaluations=8, seed=3).best
        for given in (problem(), shared())
    ]
    assert found[0] == found[1]


def test_an_objective_without_curvature_is_searched_by_measured_sensitivities() -> None:
    def squares(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.square().mean(dim=1).sum(), torch.zeros(())

    torch.manual_seed(0)
    network = nn.Sequential(*(Residual(number) for number in range(BLOCKS)))
    inputs = torch.randn(96, 8)
    given = QuantizationProblem(
        network,
        [(inputs[:64], torch.zeros(64))],
        [(inputs[64:], torch.zeros(32))],
        budget=Budget.average_bits(4.2),
        space=SPACE,
        objective=squares,
    )
    assert not given.predicts
    result = search_problem(given, searcher="auto", evaluations=12, seed=0)
    assert not any("gradients" in note for note in result.notes)


def test_auto_evaluates_the_best_uniform_configuration() -> None:
    given = shared()
    uniform = best_uniform(given, 99)
    result = search_problem(given, searcher="auto", evaluations=8, seed=0)
    assert uniform is not None
    assert uniform[0] in [evaluation.config for evaluation in result.history]


def test_uniform_configurations_that_gradients_rule_out_are_not_asked_for() -> None:
    session = Session(problem(), 30)
    increases = np.zeros(session.feasible.costs.shape)
    increases[:, 0] = 1.0
    session.feasible.limit = session.feasible.largest
    ask_widest_uniforms(session, increases)
    asked = [set(evaluation.config.choices) for evaluation in session.history]
    assert asked
    assert all(choice.bits != 2 for choices in asked for choice in choices)


def test_options_that_a_layer_does_not_have_are_not_quantized() -> None:
    given = problem(SearchSpace(bits=(2, 4), override={"3.up": {"bits": (8,)}}))
    layer = [facts.name for facts in given.layers].index("3.up")
    bits = [option.bits for option in given.feasible.options]
    found = given.expected_increases(8)
    assert ((found[layer] > 0) == [b == 8 for b in bits]).all()
    assert ((found[layer - 1] > 0) == [b != 8 for b in bits]).all()


def test_increases_are_measured_once_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(*given: Any) -> Any:
        calls.append(1)
        return increases_of(*given)

    monkeypatch.setattr(live, "increases_of", counted)
    store = tmp_path / "evaluations.sqlite"
    first = shared().with_store(store)
    found = first.expected_increases(8)
    found.fill(0)  # what is remembered is not handed out
    again = first.expected_increases(8)
    assert again.any()
    assert np.array_equal(shared().with_store(store).expected_increases(8), again)
    assert len(calls) == 1
    wider = first.with_budget(Budget.average_bits(5.0))
    assert np.array_equal(wider.expected_increases(8), again)  # few weights: the same plan
    assert len(calls) == 1
    first.expected_increases(4)
    assert len(calls) == 2


class Interrupts(Callback):
    """Presses Ctrl-C at one step of a stage."""

    def __init__(self, stage: str, step: int) -> None:
        self.stage, self.step, self.told = stage, step, list[tuple[str, int, int]]()

    def on_progress(self, session: Session, stage: str, done: int, total: int) -> None:
        self.told.append((stage, done, total))
        if (stage, done) == (self.stage, self.step):
            raise KeyboardInterrupt


def test_a_search_that_is_interrupted_at_its_gradients_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"searcher": "auto", "evaluations": 6, "seed": 0}
    store = tmp_path / "evaluations.sqlite"
    for stage, step in ((QUANTIZING, 5), (GRADIENTS, 3)):
        pressed = Interrupts(stage, step)
        found = search_problem(shared(), store=store, callback=pressed, **asked)
        assert found.stopped == "interrupted"
        assert pressed.told[0] == (QUANTIZING, 0, 4 * 2 * BLOCKS)
        assert pressed.told[-1][:2] == (stage, step)
    done = Interrupts("nothing", 0)
    whole = search_problem(shared(), store=store, callback=done, **asked)
    assert done.told[-1] == (GRADIENTS, 32, 32)
    monkeypatch.setattr(live, "increases_of", None)  # they are in the store from here on
    again = search_problem(shared(), store=store, **asked)
    assert [e.config for e in again.history] == [e.config for e in whole.history]
    assert again.notes == whole.notes
