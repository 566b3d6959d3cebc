"""Scores, objectives and rewards."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlquant.errors import DataError, FileFormatError, SettingsError, UnknownNameError
from rlquant.objective import Classification, FunctionObjective, as_objective
from rlquant.score import (
    REWARDS,
    WORST_LOG_LOSS,
    WORST_REWARD,
    Score,
    bind_reward,
    log_loss,
    log_loss_reward,
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


# --- classification


def test_classification_sums_cross_entropy_and_correct_answers() -> None:
    outputs = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0], [math.log(3.0), 0.0]])
    loss, correct = Classification()(outputs, torch.tensor([1, 1, 1]))
    expected = math.log(4 / 3) + math.log(2) + math.log(4)  # probabilities 3/4, 1/2 and 1/4
    assert float(loss) == pytest.approx(expected)
    assert int(correct) == 1  # a tie goes to the first class


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_outputs_in_half_precision_are_judged_as_exactly_as_any(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(250, 3, generator=draw).to(dtype)
    targets = torch.randint(0, 3, (250,), generator=draw)
    judge = Classification()
    assert torch.equal(judge(outputs, targets)[0], judge(outputs.float(), targets)[0])
    assert torch.equal(judge.losses(outputs, targets), judge.losses(outputs.float(), targets))


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
    with pytest.raises(DataError, match=r"needs floating-point outputs, the network gives torch"):
        Classification().check(torch.zeros(2, 3).long(), torch.zeros(2).long())
    with pytest.raises(DataError, match=r"targets are torch.float32, classification needs integer"):
        Classification().check(torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool])
def test_labels_of_any_whole_type_are_judged(dtype: torch.dtype) -> None:
    outputs, labels = torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1])
    judge = Classification()
    judge.check(outputs, labels.to(dtype))
    expected = judge(outputs, labels)
    assert judge(outputs, labels.to(dtype)) == expected


@pytest.mark.parametrize("outputs", [(torch.zeros(4, 3),), {"logits": torch.zeros(4, 3)}, None])
def test_outputs_that_are_no_tensor_are_refused(outputs: Any) -> None:
    words = f"the network gives a {type(outputs).__name__}; give an objective of your own"
    with pytest.raises(DataError, match=words):
        Classification().check(outputs, torch.zeros(4).long())


@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 2]])
def test_labels_that_no_output_stands_for_are_refused(labels: list[int]) -> None:
    low, high = min(labels), max(labels)
    words = rf"labels reach from {low} to {high}, the network has 3 outputs \(labels 0..2\)"
    with pytest.raises(DataError, match=words):
        Classification().check(torch.zeros(3, 3), torch.tensor(labels))


def test_right_labels_pass() -> None:
    Classification().check(torch.zeros(3, 3), torch.tensor([0, 2, 1]))


# --- objectives of users


def squares(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (outputs - targets).square().sum(), torch.zeros(())


def test_a_function_is_an_objective() -> None:
    made = as_objective(squares)
    assert made.name == "squares"
    loss, metric = made(torch.ones(3), torch.zeros(3))
    assert (float(loss), float(metric)) == (3.0, 0.0)
    made.check("anything", torch.zeros(3))


def test_a_callable_keeps_its_name_and_check() -> None:
    class Half:
        name = "half"

        def __call__(self, outputs: Any, targets: Any) -> Any:
            return squares(outputs, targets)

    class Checked(Half):
        name: Any = property(lambda self: "checked")

        def check(self, outputs: Any, targets: Any) -> None:
            raise DataError("checked")

    assert as_objective(Half()).name == "half"
    whole = Checked()
    assert as_objective(whole) is whole
    unnamed = FunctionObjective(whole)
    assert unnamed.name == "checked"
    with pytest.raises(DataError, match="checked"):
        unnamed.check(0, torch.zeros(1))


def test_no_objective_is_classification() -> None:
    assert as_objective(None) == Classification()
    assert as_objective(Classification("mine")) == Classification("mine")


@pytest.mark.parametrize("objective", [3, "classification", Classification])
def test_what_cannot_judge_is_refused(objective: Any) -> None:
    with pytest.raises(SettingsError, match=r"objective=.*, give a function \(outputs, targets\) "):
        as_objective(objective)


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
@pytest.mark.parametrize("loss", [0.0, -2.5])
def test_the_log_of_a_loss_that_is_not_above_zero_is_refused(reward: Any, loss: float) -> None:
    with pytest.raises(SettingsError, match=r"must be finite and above 0; give reward='loss'"):
        bind_reward(reward, score(loss))
    assert bind_reward("loss", score(loss))(score(loss + 1)) == -1.0
    with pytest.raises(SettingsError, match="which is inf and must be finite"):
        bind_reward(reward, score(math.inf))
    with pytest.raises(UnknownNameError, match="unknown reward 'lss'"):
        bind_reward("lss", score(loss))


def test_the_log_of_a_loss_is_bounded() -> None:
    assert log_loss(0.5) == math.log(0.5)
    assert log_loss(math.inf) == log_loss(math.nan) == WORST_LOG_LOSS
    assert log_loss(0.0) == log_loss(-3.0) == math.log(1e-12)
