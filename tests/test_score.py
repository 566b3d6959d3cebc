"""Scores, objectives and rewards."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlquant.errors import DataError, FileFormatError, UnknownNameError
from rlquant.score import REWARDS, WORST_REWARD, Classification, Score, resolve_reward


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


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{}", '{"loss": 1}', score(1.0).to_json()[:-1] + ', "colour": 3}']
)
def test_a_text_that_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(FileFormatError, match="not a score: "):
        Score.from_json(text)


# --- classification


def test_classification_sums_cross_entropy_and_correct_answers() -> None:
    outputs = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0], [math.log(3.0), 0.0]])
    loss, correct = Classification()(outputs, torch.tensor([1, 1, 1]))
    expected = math.log(4 / 3) + math.log(2) + math.log(4)  # probabilities 3/4, 1/2 and 1/4
    assert float(loss) == pytest.approx(expected)
    assert int(correct) == 1  # a tie goes to the first class


def test_outputs_and_targets_of_wrong_shape_are_refused() -> None:
    check = Classification().check
    for outputs, targets in [
        (torch.zeros(4, 3, 2), torch.zeros(4).long()),
        (torch.zeros(4, 3), torch.zeros(4, 3).long()),
        (torch.zeros(4, 3), torch.zeros(5).long()),
    ]:
        with pytest.raises(DataError, match=r"needs outputs \(batch, classes\) and targets"):
            check(outputs, targets)


def test_labels_that_are_no_integers_are_refused() -> None:
    with pytest.raises(DataError, match=r"targets are torch.float32, classification needs integer"):
        Classification().check(torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 2]])
def test_labels_that_no_output_stands_for_are_refused(labels: list[int]) -> None:
    low, high = min(labels), max(labels)
    words = rf"labels reach from {low} to {high}, the network has 3 outputs \(labels 0..2\)"
    with pytest.raises(DataError, match=words):
        Classification().check(torch.zeros(3, 3), torch.tensor(labels))


def test_right_labels_pass() -> None:
    Classification().check(torch.zeros(3, 3), torch.tensor([0, 2, 1]))


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
