"""Settings of training: what they refuse, each with its words, and what they normalise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rlquant.errors import SettingsError
from rlquant.training.settings import TRAINED, TUNED, FixedPoint, TrainSettings

RATES = ("learning_rate", "scale_rate", "point_rate", "bias_rate", "weight_decay")


def refused(words: str, **fields: Any) -> None:
    with pytest.raises(SettingsError, match=f"TrainSettings: {words}"):
        TrainSettings(**fields)


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True, None])
@pytest.mark.parametrize("field", ["epochs", "batch_size"])
def test_counts_are_whole_numbers_of_at_least_1(field: str, value: Any) -> None:
    refused(rf"{field}={value!r}, use a whole number of at least 1", **{field: value})


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True])
def test_steps_are_a_whole_number_or_none(value: Any) -> None:
    refused(rf"steps={value!r}, use a whole number of at least 1", steps=value)
    assert TrainSettings(steps=None).steps is None


@pytest.mark.parametrize("field", RATES)
def test_rates_are_finite_and_not_negative(field: str) -> None:
    for value in (math.nan, math.inf, -math.inf):
        refused(rf"{field}={value!r} must be a finite number", **{field: value})
    refused(rf"{field}=-0\.1, use 0 or more", **{field: -0.1})
    assert getattr(TrainSettings(**{field: 0.0}), field) == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_momentum_is_below_1(value: float) -> None:
    refused(rf"momentum={value!r}, use at least 0, below 1", momentum=value)
    assert TrainSettings(momentum=0.0).momentum == 0.0


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_the_temperature_is_above_0(value: float) -> None:
    words = rf"temperature={value!r} must be a finite number greater than 0\.0"
    refused(words, temperature=value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("field", ["distillation_weight", "ternary_threshold", "ternary_sparsity"])
def test_shares_lie_between_0_and_1(field: str, value: float) -> None:
    refused(rf"{field}={value!r}, use a number in 0\.\.1", **{field: value})
    for end in (0.0, 1.0):
        assert getattr(TrainSettings(**{field: end}), field) == end  # type: ignore[arg-type]


def test_only_the_sparsity_may_be_left_out() -> None:
    assert TrainSettings(ternary_sparsity=None).ternary_sparsity is None
    for field in ("distillation_weight", "ternary_threshold"):
        refused(rf"{field}=None, use a number in 0\.\.1", **{field: None})


def test_names_are_known_ones() -> None:
    refused(r"optimizer='rmsprop', use one of \('adam', 'sgd'\)", optimizer="rmsprop")
    refused(r"schedule='linear', use one of \('cosine', 'constant', 'steps'\)", schedule="linear")


@pytest.mark.parametrize(
    "milestones", [(0.0, 0.5), (0.5, 1.0), (0.6, 0.5), (-0.1,), (math.nan,), [2.0]]
)
def test_milestones_ascend_inside_the_run(milestones: Any) -> None:
    words = r"milestones=\(.*\), use ascending shares above 0 and below 1"
    refused(words, milestones=milestones)


def test_milestones_become_a_tuple_so_that_settings_can_be_compared() -> None:
    made = TrainSettings(schedule="steps", milestones=[0.5, 0.75])  # type: ignore[arg-type]
    assert made.milestones == (0.5, 0.75)
    assert made == TrainSettings(schedule="steps", milestones=(0.5, 0.75))
    assert hash(made) == hash(TrainSettings(schedule="steps", milestones=(0.5, 0.75)))


def test_numbers_may_come_from_numpy() -> None:
    made = TrainSettings(epochs=np.int64(3), steps=np.int32(7), learning_rate=np.float32(0.5))
    assert (made.epochs, made.steps, made.learning_rate) == (3, 7, 0.5)


def test_the_short_run_has_steps_and_the_long_one_epochs() -> None:
    assert TUNED.steps is not None
    assert TRAINED.steps is None


# --- fixed point


def refused_format(words: str, *formats: Any, **fields: Any) -> None:
    with pytest.raises(SettingsError, match=f"FixedPoint: {words}"):
        FixedPoint(*formats, **fields)


@pytest.mark.parametrize("value", [0, 33, -1, 2.5, True, None])
def test_there_is_a_sign_and_a_word_of_at_most_32_bits(value: Any) -> None:
    refused_format(rf"integer_bits={value!r}, use a whole number from 1 to 32", value, 0)


def test_integer_and_fraction_bits_make_one_word() -> None:
    refused_format("fraction_bits=25, use a whole number from 0 to 24", 8, 25)
    refused_format("fraction_bits=-1, use a whole number from 0 to 24", 8, -1)
    assert FixedPoint(8, 24).fraction_bits == 24


@pytest.mark.parametrize("rounding", ["learned", "gptq", "down"])
def test_rounding_is_nearest_or_stochastic(rounding: Any) -> None:
    words = rf"rounding='{rounding}', use one of \('nearest', 'stochastic'\)"
    refused_format(words, 8, 8, rounding=rounding)


def test_outputs_have_the_same_word() -> None:
    for value in (0, 17):
        words = rf"output_integer_bits={value}, use a whole number from 1 to 16"
        refused_format(words, 8, 8, output_integer_bits=value)
    assert FixedPoint(2, 14).output_format == (2, 14)
    assert FixedPoint(2, 14, output_integer_bits=6).output_format == (6, 10)


def test_a_wider_word_is_wider() -> None:
    for value in (8, 25, 4):
        words = rf"wide_fraction_bits={value}, use a whole number from 9 to 24"
        refused_format(words, 8, 8, wide_fraction_bits=value)
    wide = FixedPoint(4, 12, wide_fraction_bits=16).widened()
    assert (wide.fraction_bits, wide.wide_fraction_bits) == (16, None)
    assert wide.widened() is wide


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, math.nan])
def test_the_share_of_wide_steps_is_inside_the_run(share: float) -> None:
    words = rf"wide_share={share!r}, use a number above 0 and below 1"
    refused_format(words, 8, 8, wide_share=share)
