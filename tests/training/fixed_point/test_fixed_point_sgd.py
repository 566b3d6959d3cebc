"""The vectors of the paper's update rule."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rlquant.training.fixed_point.arithmetic import Arithmetic
from rlquant.training.fixed_point.fixed_point_sgd import FixedPointSGD
from rlquant.training.settings import FixedPoint, TrainSettings

WEIGHTS = 4000


def make(arithmetic: FixedPoint | None, momentum: float = 0.0, decay: float = 0.0) -> FixedPointSGD:
    layer = nn.Linear(1, WEIGHTS).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    settings = TrainSettings(optimizer="sgd", momentum=momentum, weight_decay=decay)
    return FixedPointSGD(layer, Arithmetic(arithmetic, 0, counting=False), settings)


def push(sgd: FixedPointSGD, by: float, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Want every parameter to grow by `by`; returns weight and bias."""
    gradients = [torch.full_like(p, -by * batch) for p in sgd.parameters.values()]
    sgd.step(gradients, 1.0, batch)
    weight, bias = (p.detach() for p in sgd.parameters.values())
    return weight, bias


def test_nearest_loses_updates_below_half_a_step_for_ever() -> None:
    sgd = make(FixedPoint(8, 8, "nearest"))
    for _ in range(1000):
        weight, bias = push(sgd, 0.001)
    assert not weight.any()
    assert not bias.any()


def test_stochastic_rounding_moves_by_the_update_on_average() -> None:
    sgd = make(FixedPoint(8, 8))
    moved, _ = push(sgd, 0.001)
    # p = 0.256; standard error 0.007 at 4000 draws
    assert abs(float((moved == 2**-8).double().mean()) - 0.256) < 0.03
    for _ in range(999):
        weight, bias = push(sgd, 0.001)
    # standard error of the mean of 4000 sums of 1000 draws: 0.0009
    assert float(weight.mean()) == pytest.approx(1.0, abs=0.004)
    assert float(bias.mean()) == pytest.approx(1.0, abs=0.004)
    assert not torch.equal(weight[:, 0], bias)  # each tensor has its own draws


@pytest.mark.parametrize("arithmetic", [None, FixedPoint(8, 8, "nearest")])
def test_the_mean_is_taken_before_the_conversion(arithmetic: FixedPoint | None) -> None:
    weight, _ = push(make(arithmetic), 0.5, batch=100)
    assert float(weight[0, 0]) == pytest.approx(0.5, rel=1e-12)


def test_weights_saturate() -> None:
    sgd = make(FixedPoint(2, 4, "nearest"))
    for _ in range(5):
        weight, bias = push(sgd, 0.75)
    assert set(weight.flatten().tolist()) == set(bias.tolist()) == {1.9375}
    for _ in range(9):
        weight, _ = push(sgd, -0.75)
    assert set(weight.flatten().tolist()) == {-2.0}


def test_the_momentum_buffer_is_the_last_update_on_the_grid() -> None:
    sgd = make(FixedPoint(8, 2, "nearest"), momentum=0.9)
    weight, _ = push(sgd, 1.0)
    assert float(weight[0, 0]) == 1.0
    weight, _ = push(sgd, 0.0)
    assert float(sgd.updates["weight"][0, 0]) == 1.0  # 0.9 to the nearest quarter
    assert float(weight[0, 0]) == 2.0
    exact = make(None, momentum=0.9)
    push(exact, 1.0)
    weight, _ = push(exact, 0.0)
    assert float(weight[0, 0]) == pytest.approx(1.9)


def test_without_momentum_nothing_is_kept_beside_the_weights() -> None:
    sgd = make(FixedPoint(8, 8))
    push(sgd, 0.1)
    assert sgd.updates == {}


def test_weights_decay_and_biases_do_not() -> None:
    sgd = make(None, decay=0.1)
    push(sgd, 1.0)
    weight, bias = push(sgd, 0.0)
    assert float(weight[0, 0]) == pytest.approx(0.9)
    assert float(bias[0]) == 1.0


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_first_weights_are_converted(rounding: str) -> None:
    layer = nn.Linear(50, 50).double()
    wanted = layer.weight.detach().clone()
    settings = TrainSettings(optimizer="sgd")
    FixedPointSGD(layer, Arithmetic(FixedPoint(4, 6, rounding), 0, counting=False), settings)
    steps = layer.weight.detach() * 2**6
    assert torch.equal(steps, steps.round())
    assert float((layer.weight.detach() - wanted).abs().max()) < 2**-6
