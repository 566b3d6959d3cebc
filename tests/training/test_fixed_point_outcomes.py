"""A fixed-point run told to a watcher, ended early, diverged or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.quantizers import quantize_fixed_point
from rlquant.samples import Samples
from rlquant.training.fixed_point.fixed_point import train_fixed_point
from rlquant.training.settings import FixedPoint, TrainSettings
from rlquant.training.watching import WATCH_EVERY
from small_networks import FEATURES, ConvNet, Mlp, fresh, samples

SGD = TrainSettings(
    epochs=6, batch_size=16, optimizer="sgd", learning_rate=0.1, schedule="constant"
)
PLAIN = replace(SGD, momentum=0.0)
WORD16 = FixedPoint(8, 8)
INPUTS, LABELS = samples(160)
TRAIN = Samples((INPUTS,), LABELS)


class Log:
    """A watcher that remembers, and stops a run where it is asked to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.steps: list[int] = []
        self.figures: list[Mapping[str, float]] = []
        self._stop_at = stop_at

    def __call__(self, step: int, figures: Mapping[str, float]) -> bool:
        self.steps.append(step)
        self.figures.append(figures)
        return step == self._stop_at


# --- what is told


def test_the_watcher_hears_the_figures() -> None:
    log = Log()
    settings = replace(SGD, arithmetic=WORD16, schedule="cosine", steps=25)
    _, outcome = train_fixed_point(fresh(Mlp), TRAIN, settings, seed=0, watch=log)
    assert outcome.steps == 25
    assert log.steps == [WATCH_EVERY, 2 * WATCH_EVERY, 25]
    assert set(log.figures[0]) == {
        "loss",
        "cross_entropy",
        "learning_rate",
        "steps_left",
        "lost_updates",
        "update_bias",
        "update_bias_error",
        "saturated_outputs",
        "saturated_errors",
        "saturated_weights",
    }
    assert [figures["steps_left"] for figures in log.figures] == [15, 5, 0]
    assert 0.1 > log.figures[0]["learning_rate"] > log.figures[2]["learning_rate"] > 0


def test_a_float_run_has_nothing_to_count() -> None:
    log = Log()
    train_fixed_point(fresh(Mlp), TRAIN, SGD, seed=0, watch=log)
    assert set(log.figures[0]) == {"loss", "cross_entropy", "learning_rate", "steps_left"}


def test_lost_updates_and_their_bias_are_counted() -> None:
    slow = replace(PLAIN, learning_rate=0.002)
    logs = {"nearest": Log(), "stochastic": Log()}
    for rounding, log in logs.items():
        arithmetic = FixedPoint(8, 8, rounding)
        train_fixed_point(
            fresh(Mlp), TRAIN, replace(slow, arithmetic=arithmetic), seed=0, watch=log
        )
    for nearest, chance in zip(logs["nearest"].figures, logs["stochastic"].figures, strict=True):
        assert nearest["lost_updates"] > 0.9
        assert nearest["update_bias"] < -5 * nearest["update_bias_error"] < 0
        assert abs(chance["update_bias"]) < 4 * chance["update_bias_error"]
        assert chance["lost_updates"] > 0.5  # most are lost here too, but the rest make up for it


def test_saturation_is_counted() -> None:
    log = Log()
    narrow = replace(SGD, arithmetic=FixedPoint(1, 15), learning_rate=1.0)
    train_fixed_point(fresh(Mlp), TRAIN, narrow, seed=0, watch=log)
    last = log.figures[-1]
    assert last["saturated_outputs"] > 0.1
    assert 0 < last["saturated_weights"] < 1
    assert all(0 <= last[f"saturated_{name}"] <= 1 for name in ("outputs", "errors", "weights"))


def test_a_watcher_ends_a_run() -> None:
    log = Log(stop_at=20)
    settings = replace(SGD, arithmetic=WORD16)
    trained, outcome = train_fixed_point(fresh(Mlp), TRAIN, settings, seed=0, watch=log)
    assert (outcome.steps, outcome.stopped, outcome.diverged) == (20, True, False)
    assert len(log.steps) == 2
    assert not trained.training


# --- what goes wrong


def test_a_float_run_that_diverges_ends_with_its_last_good_state() -> None:
    wild = replace(SGD, learning_rate=1e200)
    trained, outcome = train_fixed_point(fresh(Mlp), TRAIN, wild, seed=0)
    assert outcome.diverged
    assert all(torch.isfinite(tensor).all() for tensor in trained.state_dict().values())


def test_a_loss_that_is_nan_ends_a_run() -> None:
    log = Log()
    exploding = nn.Sequential(Exploding(FEATURES, 3))
    trained, outcome = train_fixed_point(exploding, TRAIN, SGD, seed=0, watch=log)
    assert (outcome.diverged, outcome.stopped) == (True, False)
    assert log.steps == [10]
    assert outcome.steps == 20
    assert all(torch.isfinite(tensor).all() for tensor in trained.state_dict().values())
    assert all(loss == loss for loss in outcome.losses)


class Exploding(nn.Linear):
    """A Linear layer whose outputs become NaN at the 15th call."""

    calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(inputs) * (float("nan") if self.calls == 15 else 1.0)


def test_nan_is_not_hidden_by_the_format() -> None:
    settings = replace(SGD, arithmetic=WORD16)
    trained, outcome = train_fixed_point(
        nn.Sequential(Exploding(FEATURES, 3)), TRAIN, settings, seed=0
    )
    assert outcome.diverged
    weight = trained[0].weight.detach()
    assert torch.equal(quantize_fixed_point(weight, 8, 8), weight)


def test_a_run_that_diverges_at_once_returns_its_start() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 3))
    bad = Samples((TRAIN.inputs[0] * float("nan"),), TRAIN.targets)
    trained, outcome = train_fixed_point(network, bad, SGD, seed=0)
    assert (outcome.diverged, outcome.losses, outcome.steps) == (True, (), 10)
    assert torch.equal(trained[0].weight.float(), network[0].weight)


def test_batchnorm_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"'shortcut_norm': .* statistics of a BatchNorm2d; use"):
        train_fixed_point(fresh(ConvNet), TRAIN, SGD, seed=0)


def test_other_tensors_are_refused() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 3), nn.PReLU())
    with pytest.raises(NetworkError, match=r"'1': .* tensors of a PReLU; use"):
        train_fixed_point(network, TRAIN, SGD, seed=0)


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(NetworkError, match="ReLU has no Linear, convolution or embedding"):
        train_fixed_point(nn.ReLU(), TRAIN, SGD, seed=0)


def test_adam_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"optimizer='adam', .* use optimizer='sgd'"):
        train_fixed_point(fresh(Mlp), TRAIN, replace(SGD, optimizer="adam"), seed=0)


def test_no_samples_are_refused() -> None:
    with pytest.raises(DataError, match="train is empty"):
        train_fixed_point(fresh(Mlp), TRAIN.first(0), SGD, seed=0)


def test_labels_must_fit_the_outputs() -> None:
    wrong = Samples(TRAIN.inputs, TRAIN.targets + 5)
    with pytest.raises(DataError, match=r"labels reach from 5 .* the network has 3 outputs"):
        train_fixed_point(fresh(Mlp), wrong, SGD, seed=0)
