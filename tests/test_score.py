"""Scores, objectives and rewards."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.errors import FileFormatError, SettingsError, UnknownNameError
from rlquant.objective import Classification
from rlquant.score import (
    REWARDS,
    WORST_LOG_LOSS,
    WORST_REWARD,
    Score,
    bind_reward,
    log_loss,
    log_loss_reward,
    log_shift,
    resolve_reward,
)


def score(loss: float, accuracy: float = 0.5, **other: Any) -> Score:
    costs = {"size_bytes": 1000, "average_bits": 3.0, "size_ratio": 0.1, "bops": 4096}
    return Score(loss=loss, accuracy=accuracy, **{**costs, **other})


FLOAT = score(0.25, 0.9)


# --- files


@given(
    loss=st.floats(0, allow_nan=False),
    accuracy=st.floats(0, 1),
    latency=st.none() | st.floats(0, 10),
    indent=st.none() | st.integers(0, 4),
)
def test_json_gives_the_score_back(
    loss: float, accuracy: float, latency: float | None, indent: int | None
) -> None:
    original = score(loss, accuracy, latency=latency, samples=200)
    assert Score.from_json(original.to_json(indent)) == original


def test_an_infinite_loss_is_plain_json() -> None:
    document = json.loads(
        score(math.inf).to_json(), parse_constant=lambda text: pytest.fail(f"{text} is not JSON")
    )
    assert document["loss"] is None


def test_an_accuracy_that_is_nan_is_plain_json() -> None:
    text = score(1.0, math.nan).to_json()
    assert json.loads(text)["accuracy"] is None
    assert math.isnan(Score.from_json(text).accuracy)


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{}", '{"loss": 1}', score(1.0).to_json()[:-1] + ', "colour": 3}']
)
def test_a_text_that_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(FileFormatError, match="not a score: "):
        Score.from_json(text)


# --- rewards


@pytest.mark.parametrize("name", REWARDS)
def test_the_float_network_earns_zero(name: str) -> None:
    assert resolve_reward(name)(FLOAT, FLOAT) == 0.0


def test_rewards_by_hand() -> None:
    worse = score(0.5, 0.7)
    assert resolve_reward("log_loss")(worse, FLOAT) == pytest.approx(-math.log(2))
    assert resolve_reward("loss")(worse, FLOAT) == pytest.approx(-0.25)
    assert resolve_reward("accuracy")(worse, FLOAT) == pytest.approx(-0.2)


@given(
    name=st.sampled_from(sorted(REWARDS)),
    loss=st.floats(0, allow_nan=False),
    reference=st.floats(0, 1e300),
)
def test_every_reward_is_finite_and_never_below_the_worst(
    name: str, loss: float, reference: float
) -> None:
    reward = resolve_reward(name)(score(loss, 0.1), score(reference, 1.0))
    assert math.isfinite(reward)
    assert reward >= WORST_REWARD
    if math.isinf(loss):
        assert reward == WORST_REWARD


def test_a_callable_is_a_reward_too() -> None:
    reward = resolve_reward(lambda score, reference: 3)
    assert reward(FLOAT, FLOAT) == 3.0
    assert resolve_reward(lambda score, reference: -1e9)(FLOAT, FLOAT) == WORST_REWARD
    assert resolve_reward(lambda score, reference: 3)(score(math.inf), FLOAT) == WORST_REWARD


def test_an_unknown_reward_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown reward 'logloss'; did you mean 'log_loss'"):
        resolve_reward("logloss")


@pytest.mark.parametrize("reward", [3, None, Classification])
def test_what_is_no_reward_is_refused(reward: Any) -> None:
    with pytest.raises(SettingsError, match=r"reward=.*, give a name out of .* or a function"):
        resolve_reward(reward)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "much"])
def test_a_reward_that_is_no_finite_number_is_refused(value: Any) -> None:
    reward = bind_reward(lambda score, reference: value, FLOAT)
    with pytest.raises(SettingsError, match=r"the reward of loss=0.5, accuracy=0.7 is .*finite"):
        reward(score(0.5, 0.7))
    assert reward(score(math.inf)) == WORST_REWARD


def test_a_bound_reward_is_that_of_its_reference() -> None:
    worse = score(0.5, 0.7)
    for name in REWARDS:
        assert bind_reward(name, FLOAT)(worse) == resolve_reward(name)(worse, FLOAT)
    assert bind_reward(lambda score, reference: -math.inf, FLOAT)(worse) == WORST_REWARD
    assert bind_reward("log_loss", FLOAT)(score(math.inf)) == WORST_REWARD


@pytest.mark.parametrize("reward", ["log_loss", log_loss_reward])
@pytest.mark.parametrize("loss", [-1e-9, -2.5])
def test_the_log_of_a_negative_loss_is_refused(reward: Any, loss: float) -> None:
    with pytest.raises(SettingsError, match=r"must be finite and not below 0; give reward='loss'"):
        bind_reward(reward, score(loss))
    assert bind_reward("loss", score(loss))(score(loss + 1)) == -1.0
    with pytest.raises(SettingsError, match="which is inf and must be finite"):
        bind_reward(reward, score(math.inf))
    with pytest.raises(UnknownNameError, match="unknown reward 'lss'"):
        bind_reward("lss", score(loss))


def test_a_distance_to_the_float_network_is_rewarded_by_the_log_of_one_plus_it() -> None:
    reward = bind_reward("log_loss", score(0.0))
    assert reward(score(0.0)) == 0.0
    assert reward(score(0.5)) == pytest.approx(-math.log(1.5))
    assert log_loss(0.5, log_shift(6e-8)) == pytest.approx(math.log(1.5))
    assert log_shift(0.02) == 0.0


def test_the_log_of_a_loss_is_bounded() -> None:
    assert log_loss(0.5) == math.log(0.5)
    assert log_loss(math.inf) == log_loss(math.nan) == WORST_LOG_LOSS
    assert log_loss(0.0) == log_loss(-3.0) == math.log(1e-12)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "loss 0.25, accuracy 0.5000, 3.000 average bits, 1,000 bytes"),
        ({"accuracy": math.nan}, "loss 0.25, 3.000 average bits, 1,000 bytes"),
        ({"latency": 0.002}, "loss 0.25, accuracy 0.5000, 3.000 average bits, 1,000 bytes, 2 ms"),
        (
            {"accuracy": math.nan, "partial": True, "standard_error": 0.1},
            "loss 0.25, 3.000 average bits, 1,000 bytes, an estimate: ended early",
        ),
    ],
)
def test_a_printed_score_is_one_line_of_what_was_measured(other: dict[str, Any], said: str) -> None:
    assert str(score(0.25, **other)) == said
