"""The factor of the learning rates over a run."""

from __future__ import annotations

import math

import pytest

from rlquant.errors import SettingsError
from rlquant.training.settings import TrainSettings


def rates(steps: int, **fields: object) -> list[float]:
    settings = TrainSettings(**fields)  # type: ignore[arg-type]
    return [settings.rate_at(step, steps) for step in range(steps)]


def test_cosine_falls_from_1_to_almost_0() -> None:
    wanted = [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]
    assert rates(4, schedule="cosine") == pytest.approx(wanted)
    many = rates(1000, schedule="cosine")
    assert many == sorted(many, reverse=True)
    assert 0 < many[-1] < 1e-5


def test_constant_stays() -> None:
    assert rates(5, schedule="constant", milestones=(0.5,)) == [1.0] * 5


def test_steps_fall_to_a_tenth_at_each_milestone() -> None:
    wanted = [1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]
    assert rates(10, schedule="steps", milestones=(0.5, 0.75)) == pytest.approx(wanted)
    assert rates(3, schedule="steps") == [1.0] * 3
    twice = rates(4, schedule="steps", milestones=(0.5, 0.5))
    assert twice == pytest.approx([1, 1, 0.01, 0.01])


def test_a_run_of_one_step_has_the_whole_rate() -> None:
    for schedule in ("cosine", "constant", "steps"):
        assert rates(1, schedule=schedule, milestones=(0.5,)) == [1.0]


def test_a_warm_up_rises_to_the_schedule() -> None:
    assert rates(10, schedule="constant", warmup=0.3) == pytest.approx([0.25, 0.5, 0.75, *[1] * 7])
    plain, warm = rates(10, schedule="cosine"), rates(10, schedule="cosine", warmup=0.3)
    assert warm[3:] == plain[3:]
    assert warm[0] == pytest.approx(plain[0] / 4)
    with pytest.raises(SettingsError, match=r"warmup=1\.0, use at least 0, below 1"):
        TrainSettings(warmup=1.0)


def test_transformers_get_smaller_rates() -> None:
    suited = TrainSettings(learning_rate=0.02, bias_rate=0.01).for_transformer()
    assert (suited.batch_size, suited.dropout) == (16, False)
    assert TrainSettings(batch_size=4).for_transformer().batch_size == 4
    assert (suited.learning_rate, suited.bias_rate) == pytest.approx((2e-3, 1e-4))
    assert suited.warmup > 0
