"""A problem that races: what cannot win ends early, and never counts as a whole evaluation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from problems import bits, problem
from rlquant.data import Samples
from rlquant.errors import SettingsError
from rlquant.evaluation.racing import Race, Racing
from rlquant.score import Classification, Score
from rlquant_agents import search_problem
from small_networks import samples_of, trained


class Fixed:
    """An objective whose outputs are the losses themselves."""

    name = "fixed"

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs


def batches(losses: Tensor, size: int) -> list[Samples]:
    return Samples((losses,), torch.zeros(len(losses))).batches(size)


def raced(losses: Tensor, rival: Tensor, size: int = 25, needed: float = 2.0) -> Race:
    race = Race(needed, rival)
    parts = batches(losses, size)
    for _ in race.watch((p.inputs[0] for p in parts), parts, Fixed()):
        pass
    return race


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top": 0}, "Racing: top=0"),
        ({"seed": -1}, "Racing: seed=-1"),
        ({"confidence": 0.5}, "confidence=0.5, use a number above 0.5 and below 1"),
        ({"confidence": 1.0}, "confidence=1.0"),
        ({"confidence": "high"}, "confidence='high'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Racing(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"racing": True}, "racing=True is no Racing"),
        ({"racing": Racing(), "fidelity": "tuned"}, "saves validation batches"),
        ({"racing": Racing(), "objective": lambda o, t: (o.sum(), o.sum())}, "needs a method"),
    ],
)
def test_what_cannot_be_raced_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        problem(**settings)


def test_the_order_of_samples_is_shuffled_by_the_seed_alone() -> None:
    inputs, labels = samples_of("mlp", 30)
    taken = Samples((inputs,), labels)
    first, again = (Racing(seed=3).shuffled(taken) for _ in range(2))
    assert torch.equal(first.inputs[0], again.inputs[0])
    assert not torch.equal(first.inputs[0], Racing(seed=4).shuffled(taken).inputs[0])
    assert sorted(first.rows()) == sorted(taken.rows())
    assert first.rows() != taken.rows()


def test_the_standard_error_is_that_of_a_draw_without_replacement() -> None:
    rival = torch.zeros(100, dtype=torch.float64)
    losses = torch.tensor([1.0, 3.0] * 50)
    race = raced(losses, rival, size=50, needed=0.1)
    assert race.seen == 50  # 2 is far above 0.1 standard errors of 1.01 / sqrt(50) * sqrt(1 / 2)
    found = race.estimate(0.5)
    spread = math.sqrt(50 / 49)
    assert found.loss == pytest.approx(2.0)
    assert found.standard_error == pytest.approx(spread / math.sqrt(50) * math.sqrt(0.5))
    assert (found.samples, found.partial, found.accuracy) == (50, True, 0.5)


def test_an_estimate_is_the_rivals_loss_and_the_paired_difference() -> None:
    rival = torch.linspace(0, 9, 100, dtype=torch.float64)
    noise = torch.tensor([-0.01, 0.01] * 50)
    race = raced(rival + 1.0 + noise, rival)
    assert race.seen == 25
    assert race.estimate(0.0).loss == pytest.approx(4.5 + 1.0, abs=1e-3)


def test_who_is_no_worse_runs_to_the_end() -> None:
    rival = torch.linspace(0, 1, 100, dtype=torch.float64)
    assert raced(rival - 0.1, rival).seen == 100
    assert raced(rival.clone(), rival).seen == 100


def test_a_loss_that_is_not_finite_ends_the_race() -> None:
    rival = torch.zeros(100, dtype=torch.float64)
    race = raced(torch.full((100,), math.nan), rival)
    assert race.seen == 25
    found = race.estimate(0.1)
    assert (found.loss, found.standard_error) == (math.inf, math.inf)


def test_few_of_those_that_would_have_won_are_given_up() -> None:
    """1,000 pairs, each better than its rival by a hair on all 400 samples: at most 5 % lose."""
    draw = torch.Generator().manual_seed(0)
    racing = Racing(confidence=0.95)
    wrongly = 0
    for _ in range(1000):
        rival = torch.randn(400, generator=draw, dtype=torch.float64)
        difference = torch.randn(400, generator=draw, dtype=torch.float64)
        losses = rival + difference - difference.mean() - 1e-9
        wrongly += raced(losses, rival, 50, racing.quantile(7)).seen < 400
    assert wrongly <= 50 + 3 * math.sqrt(50)


def test_a_hopeless_configuration_ends_early_and_is_not_remembered(tmp_path: Path) -> None:
    store = tmp_path / "evaluations.sqlite"
    data = samples_of("mlp", 300, seed=2)
    settings = {"racing": Racing(), "batch_size": 20, "store": store}
    made = problem("mlp", trained("mlp"), validation_data=data, **settings)
    rival = bits(8, 8, 8)
    whole = made.evaluate(rival)
    partial = made.evaluate(bits(1, 1, 1), rival=rival)
    assert (whole.partial, whole.standard_error, whole.samples) == (False, None, 300)
    assert partial.partial
    assert partial.samples < 300
    assert partial.standard_error is not None
    assert partial.standard_error > 0
    assert partial.loss > whole.loss
    assert made.store is not None
    assert made.store.count() == 1
    assert made.evaluate(bits(1, 1, 1)).samples == 300


def test_who_is_raced_to_the_end_has_the_score_of_a_whole_evaluation() -> None:
    data = samples_of("mlp", 300, seed=2)
    first, second = (problem(validation_data=data, racing=Racing(), batch_size=20) for _ in "ab")
    score = first.evaluate(bits(8, 8, 8), rival=bits(1, 1, 1))
    assert score == second.evaluate(bits(8, 8, 8))
    assert not score.partial


def test_races_have_a_fingerprint_of_their_own() -> None:
    assert problem(racing=Racing()).fingerprint != problem().fingerprint


def test_without_racing_a_rival_changes_nothing() -> None:
    made = problem()
    assert made.evaluate(bits(1, 1, 1), rival=bits(8, 8, 8)) == problem().evaluate(bits(1, 1, 1))


@pytest.mark.parametrize("top", [1, 2])
def test_a_search_never_returns_what_it_gave_up(top: int) -> None:
    made = problem(
        validation_data=samples_of("mlp", 300, seed=2), racing=Racing(top=top), batch_size=20
    )
    result = search_problem(made, searcher="random", evaluations=30, seed=0)
    partial = [e for e in result.history if e.score.partial]
    assert partial
    assert not any(e.final for e in partial)
    assert not result.score.partial
    assert not any(score.partial for _, score in result.pareto)
    whole = [e.score.loss for e in result.history if not e.score.partial]
    assert result.score.loss == min(whole)


@pytest.mark.parametrize("loss", [1.5, math.inf])
def test_a_partial_score_survives_json(loss: float) -> None:
    score = Score(
        loss=loss,
        accuracy=0.5,
        size_bytes=1,
        average_bits=1.0,
        size_ratio=0.1,
        bops=1,
        partial=True,
        standard_error=loss / 10,
    )
    assert Score.from_json(score.to_json()) == score


def test_the_losses_of_samples_add_up_to_the_batchs() -> None:
    outputs, targets = torch.randn(10, 3), torch.randint(0, 3, (10,))
    judge = Classification()
    total = float(judge(outputs, targets)[0])
    assert float(judge.losses(outputs, targets).sum()) == pytest.approx(total, rel=1e-6)
