"""Races: what is compared, when they end, what is known of who was given up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlquant.errors import SettingsError
from rlquant.evaluation.racing import LEAST_SEEN, Race, Racing, require_racing
from rlquant.objective import Classification, FunctionObjective
from rlquant.samples import Samples
from small_networks import samples_of


def raced(losses: Tensor, incumbent: Tensor, size: int = 25, needed: float = 2.0) -> Race:
    """Race over batches of `size` samples, each with a summed metric of half its samples."""
    race = Race(needed, incumbent.numpy())
    for part in losses.double().split(size):
        if race.ends(np.concatenate([[len(part) / 2], part.numpy()])):
            break
    return race


def zeros(count: int = 100) -> Tensor:
    return torch.zeros(count, dtype=torch.float64)


# --- settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top": 0}, "Racing: top=0, use a whole number of at least 1"),
        ({"top": 1.5}, "Racing: top=1.5, use a whole number"),
        ({"seed": -1}, "Racing: seed=-1, use a whole number of at least 0"),
        ({"seed": True}, "Racing: seed=True"),
        ({"confidence": 0.5}, "Racing: confidence=0.5, use a number above 0.5 and below 1"),
        ({"confidence": 1.0}, "Racing: confidence=1.0, use"),
        ({"confidence": math.nan}, "Racing: confidence=nan, use"),
        ({"confidence": "high"}, "Racing: confidence='high', use"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Racing(**settings)


@pytest.mark.parametrize("racing", [True, "racing", Racing])
def test_what_is_no_racing_is_refused(racing: Any) -> None:
    with pytest.raises(SettingsError, match=r"is no Racing; make one, e\.g\. Racing\(\)"):
        require_racing(racing, Classification(), "calibrated", stochastic=False)


def test_an_objective_must_tell_samples_apart() -> None:
    def squares(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("it is not asked")

    words = r"objective '.*squares' needs a method losses\(outputs, targets\) -> Tensor \(batch,\)"
    with pytest.raises(SettingsError, match=words):
        require_racing(Racing(), FunctionObjective(squares), "calibrated", stochastic=False)
    assert require_racing(None, FunctionObjective(squares), "trained", stochastic=False) is None


@pytest.mark.parametrize("fidelity", ["tuned", "trained"])
def test_where_networks_are_trained_nothing_is_raced(fidelity: str) -> None:
    words = f"beside the training of fidelity '{fidelity}'; use it with fidelity='calibrated', or a"
    with pytest.raises(SettingsError, match=words):
        require_racing(Racing(), Classification(), fidelity, stochastic=False)


def test_the_order_of_samples_is_shuffled_by_the_seed_alone() -> None:
    inputs, targets = samples_of("mlp", 30)
    taken = Samples((inputs,), targets)
    first, again = (Racing(seed=3).shuffled(taken) for _ in range(2))
    assert first.rows() == again.rows()
    assert first.rows() != Racing(seed=4).shuffled(taken).rows()
    assert sorted(first.rows()) == sorted(taken.rows())
    assert first.rows() != taken.rows()


def test_confidence_is_shared_between_all_looks() -> None:
    racing = Racing(confidence=0.95)
    assert racing.quantile(1) == pytest.approx(1.6449, abs=1e-4)
    assert racing.quantile(5) == pytest.approx(2.3263, abs=1e-4)  # 1 % a look
    assert racing.quantile(0) == racing.quantile(1)  # of a single batch there is no look


# --- one race


def test_the_standard_error_is_that_of_a_draw_without_replacement() -> None:
    losses = torch.tensor([1.0, 3.0] * 50)
    race = raced(losses, zeros(), size=50, needed=0.1)
    assert race.seen == 50  # 2 is far above 0.1 standard errors of 1.01 / sqrt(50) * sqrt(1 / 2)
    found = race.outcome()
    spread = math.sqrt(50 / 49)
    assert found.loss == pytest.approx(2.0)
    assert found.standard_error == pytest.approx(spread / math.sqrt(50) * math.sqrt(0.5))
    assert (found.samples, found.partial, found.accuracy) == (50, True, 0.5)


def test_the_standard_error_is_right_on_average_over_draws() -> None:
    """4,000 draws of 40 out of 60: mean squares within 10 % (their own error is 2.2 %)."""
    draw = torch.Generator().manual_seed(0)
    losses = torch.rand(60, generator=draw, dtype=torch.float64)
    errors, stated = [], []
    for _ in range(4000):
        order = torch.randperm(60, generator=draw)
        found = raced(losses[order], zeros(60), size=40, needed=-1e9).outcome()
        assert found.standard_error is not None
        errors.append(found.loss - float(losses.mean()))
        stated.append(found.standard_error)
    assert np.mean(np.square(errors)) == pytest.approx(np.mean(np.square(stated)), rel=0.1)


@pytest.mark.parametrize(
    ("needed", "seen"), [(4.0, 40), (4.1, 60), (6.0, 60), (6.1, 80), (9.9, 80), (10.0, 100)]
)
def test_a_race_ends_at_the_first_look_that_is_clear(needed: float, seen: int) -> None:
    """Mean 1, spread 2 sqrt(n / (n - 1)): 4.03, 6.07 and 9.94 errors above 0 at 40, 60 and 80."""
    assert raced(torch.tensor([3.0, -1.0] * 50), zeros(), size=20, needed=needed).seen == seen


def test_an_estimate_is_the_incumbents_loss_and_the_paired_difference() -> None:
    incumbent = torch.linspace(0, 9, 100, dtype=torch.float64)
    noise = torch.tensor([-0.01, 0.01] * 50)
    race = raced(incumbent + 1.0 + noise, incumbent)
    assert race.seen == 50
    assert race.outcome().loss == pytest.approx(4.5 + 1.0, abs=1e-3)


def test_who_is_no_worse_runs_to_the_end() -> None:
    incumbent = torch.linspace(0, 1, 100, dtype=torch.float64)
    assert raced(incumbent - 0.1, incumbent).seen == 100
    assert raced(incumbent.clone(), incumbent).seen == 100


def test_the_last_batch_ends_no_race() -> None:
    race = Race(2.0, zeros().numpy())
    assert not race.ends(np.ones(101))
    assert race.seen == 100


@pytest.mark.parametrize("size", [1, 7])
def test_a_few_samples_end_no_race(size: int) -> None:
    race = raced(torch.linspace(5, 6, 100), zeros(), size)
    assert LEAST_SEEN <= race.seen < LEAST_SEEN + size


@pytest.mark.parametrize("size", [1, 25])
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_race(loss: float, size: int) -> None:
    race = raced(torch.full((100,), loss), zeros(), size)
    assert race.seen == size
    found = race.outcome()
    assert (found.loss, found.standard_error, found.partial) == (math.inf, math.inf, True)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_incumbent_whose_loss_is_not_finite_is_beaten_by_all(loss: float) -> None:
    incumbent = zeros()
    incumbent[99] = loss
    assert raced(torch.ones(100), incumbent).seen == 100


DIFFERENCES: dict[str, Callable[[torch.Generator], Tensor]] = {
    "normal": lambda draw: torch.randn(400, generator=draw, dtype=torch.float64),
    "uniform": lambda draw: torch.rand(400, generator=draw, dtype=torch.float64),
    "mostly none": lambda draw: (
        torch.randn(400, generator=draw, dtype=torch.float64)
        * (torch.rand(400, generator=draw) < 0.3)
    ),
}


@pytest.mark.parametrize("size", [4, 50])
@pytest.mark.parametrize("kind", DIFFERENCES)
def test_few_of_those_that_would_have_won_are_given_up(kind: str, size: int) -> None:
    """Each better by a hair on all 400 samples: of 200 at most 5 % lose, and 3 standard errors."""
    draw = torch.Generator().manual_seed(0)
    needed = Racing(confidence=0.95).quantile(math.ceil(400 / size) - 1)
    wrongly = 0
    for _ in range(200):
        incumbent = torch.randn(400, generator=draw, dtype=torch.float64)
        difference = DIFFERENCES[kind](draw)
        losses = incumbent + difference - difference.mean() - 1e-9
        wrongly += raced(losses, incumbent, size, needed).seen < 400
    assert wrongly <= 10 + 3 * math.sqrt(9.5)
