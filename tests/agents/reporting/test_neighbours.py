"""One option up or down: what it costs exactly, and the loss only where it was measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reported_runs import live_problem, run_of
from rlquant import Budget, LayerChoice, Problem, QuantizationConfig, SearchSpace
from rlquant.testing.toy_problem import MIXED, SIZES, ToyProblem
from rlquant_agents.reporting.neighbours import Neighbour, neighbours
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.reporting.words import neighbour_in_words

pytestmark = pytest.mark.usefixtures("blank_figures")


def beside(run: RunFiles) -> list[Neighbour]:
    return [each for pair in neighbours(run) for each in pair if each is not None]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ToyProblem(4),
        lambda: ToyProblem(2, 9.0, MIXED),
        live_problem,
        lambda: live_problem(budget=Budget.bops(2**30)),
        lambda: live_problem(budget=Budget.size_bytes(900)),
    ],
    ids=["toy", "toy-mixed", "live", "live-bops", "live-bytes"],
)
def test_costs_and_losses_are_those_of_the_problem(
    tmp_path: Path, make: Callable[[], Problem]
) -> None:
    problem = make()
    run = run_of(tmp_path, problem)
    asked = {e.key: e.loss for e in run.evaluations}
    here = problem.feasible.indices(run.config)
    for each in beside(run):
        config = replace(
            run.config,
            choices=tuple(each.choice if c.layer == each.choice.layer else c for c in run.config),
        )
        there = problem.feasible.indices(config)
        assert each.units == problem.feasible.spent(there) - problem.feasible.spent(here)
        assert each.over == max(0, problem.feasible.spent(there) - problem.feasible.limit)
        assert (each.over == 0) == problem.feasible.fits(there)
        if each.size is not None:
            score = problem.evaluate(config)
            assert each.size == score.size_bytes - run.outcome.score.size_bytes
        assert each.loss == asked.get(config.key)


def test_up_is_more_expensive_and_down_is_cheaper_and_bits_come_first(tmp_path: Path) -> None:
    run = run_of(tmp_path, live_problem())
    for choice, (down, up) in zip(run.config, neighbours(run), strict=True):
        if down is not None:
            assert (down.units, down.size) < (0, 0)
        if up is not None:
            assert (up.units, up.size) > (0, 0)
        if choice.method == "post_training" and choice.bits < 8:
            assert up is not None
            assert replace(up.choice, bits=choice.bits) == choice
            assert up.choice.bits == {2: 4, 4: 8}[choice.bits]


def test_bits_come_first_and_then_what_is_nearest(tmp_path: Path) -> None:
    space = SearchSpace(bits=(2, 8), points=("clipped", "affine"), activation_bits=(None, 8))
    run = run_of(tmp_path, ToyProblem(1, 9.0, space), searcher="random", evaluations=2)

    def around(choice: LayerChoice) -> tuple[LayerChoice | None, ...]:
        at = replace(run, config=QuantizationConfig((choice,)))
        return tuple(None if each is None else each.choice for each in neighbours(at)[0])

    plain = LayerChoice("layer0", 8, points="clipped", activation_bits=8)
    more_expensive = replace(plain, activation_bits=None)  # float inputs cost the toy a quarter bit
    assert around(plain) == (replace(plain, bits=2), more_expensive)
    assert around(more_expensive) == (replace(more_expensive, bits=2), None)
    assert around(replace(more_expensive, bits=2)) == (replace(plain, bits=2), more_expensive)


def test_the_ends_have_no_neighbour(tmp_path: Path) -> None:
    cheap = ToyProblem(2, 2.25)  # 2 bits and float inputs: nothing else fits
    run = run_of(tmp_path, cheap, searcher="random", evaluations=1)
    (down, up), _ = neighbours(run)
    assert down is None
    assert up is not None
    assert (up.units, up.over, up.loss) == (SIZES[0], SIZES[0], None)


def test_what_was_not_measured_has_no_loss(tmp_path: Path) -> None:
    run = run_of(tmp_path, ToyProblem(4), searcher="random", evaluations=1)
    assert [each.loss for each in beside(run)] == [None] * len(beside(run))
    assert {neighbour_in_words(run, each)[-1] for each in beside(run)} == {"loss not measured"}


def test_screened_and_partial_losses_do_not_count(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    screened = tuple(replace(e, final=e.key == run.config.key) for e in run.evaluations)
    assert any(each.loss is not None for each in beside(run))
    assert all(each.loss is None for each in beside(replace(run, evaluations=screened)))


def test_words_say_exactly_what_it_is(tmp_path: Path) -> None:
    run = run_of(tmp_path, live_problem())
    each = Neighbour(run.config.choices[0], 1152, 144, 1000, None)
    choice, cost, value, fit, loss = neighbour_in_words(run, each)
    assert choice == each.choice.in_words
    assert (cost, fit) == ("+1,152 bits, +144 bytes", "over the budget by 1,000 bits")
    assert re.fullmatch(r"\+[\d.]+ bits per weight", value)
    assert loss == "loss not measured"
    assert "fits the budget" in neighbour_in_words(run, replace(each, over=0))
    measured = replace(each, loss=run.outcome.score.loss + 0.25)
    assert neighbour_in_words(run, measured)[-1] == "loss +0.2500, measured"
    broken = replace(each, loss=float("inf"))
    assert neighbour_in_words(run, broken)[-1] == "loss not finite, measured"


def test_bytes_are_said_once_where_they_are_the_budget(tmp_path: Path) -> None:
    run = run_of(tmp_path, live_problem(budget=Budget.size_bytes(900)))
    each = Neighbour(run.config.choices[0], 144, 144, 0, None)
    assert neighbour_in_words(run, each)[1:-1] == ["+144 bytes", "fits the budget"]
