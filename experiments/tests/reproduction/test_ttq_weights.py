"""One learned scale and computed scales, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.quantizers.formats import form_of
from rlquant.quantizers.weight_format import WeightForm
from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.ttq.weights import (
    OneScale,
    TwoScales,
    binary,
    closed_form,
    common_scale,
    li_threshold,
    one_scale,
    ternary_weight_network,
    two_scales,
)

W = torch.tensor([[1.0, -0.5, 0.25, -0.125]])
GRADIENT = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
HALF = TrainSettings(ternary_threshold=0.2)
"""A zero zone that -0.125 alone lies in."""


def form(w: Tensor = W) -> WeightForm:
    return form_of(w, LayerChoice("conv", 2, method="ternary").canonical("trained"))


def latent() -> Tensor:
    return W.clone().requires_grad_()


def test_learned_scales_begin_at_1() -> None:
    for make, count in ((two_scales, 2), (one_scale, 1)):
        trainable = make(form(), W, HALF)
        assert trainable.scales.tolist() == [1.0] * count
        assert [learned.unit for learned in trainable.learned()] == [1.0]
        assert torch.equal(trainable(W), torch.tensor([[1.0, -1.0, 1.0, 0.0]]))


@pytest.mark.parametrize(("make", "sums"), [(two_scales, [5.0, -2.0]), (one_scale, [3.0])])
def test_gradients_of_learned_scales(make: type[TwoScales], sums: list[float]) -> None:
    trainable, w = make(form(), W, HALF), latent()
    with torch.no_grad():
        trainable.scales.mul_(0.5)
    trainable(w).backward(GRADIENT)
    # Positive zone: 1 + 4; negative zone: 2, and the derivative of -W is minus it.
    assert trainable.scales.grad is not None
    assert trainable.scales.grad.tolist() == sums
    # Outside the zero zone the gradient of a latent weight is scaled, inside it is not.
    assert w.grad is not None
    assert w.grad.tolist() == [[0.5, 1.0, 2.0, 8.0]]


def test_a_tied_scale_is_stored_as_it_is_used() -> None:
    trainable = one_scale(form(), W, HALF)
    with torch.no_grad():
        trainable.scales.fill_(0.3)  # no float16
    stored = trainable.project(W)
    assert torch.equal(stored.dequantize(), trainable(W))
    assert stored.values is not None
    assert float(stored.values[2]) == -float(stored.values[0]) != 0.3


def test_a_tied_scale_stays_above_0() -> None:
    trainable = one_scale(form(), W, HALF)
    with torch.no_grad():
        trainable.scales.fill_(-2.0)
    trainable.after_step(torch.optim.SGD([trainable.scales], lr=1.0))
    assert trainable.scales.item() == pytest.approx(1e-3)


def test_sparsity_decides_the_zeros_of_learned_scales() -> None:
    settings = TrainSettings(ternary_sparsity=0.5)
    for make in (two_scales, one_scale):
        assert (make(form(), W, settings)(W) == 0).tolist() == [[False, False, True, True]]


def test_the_threshold_of_li_is_relative_to_the_mean() -> None:
    assert li_threshold(W) == pytest.approx(0.7 * 1.875 / 4)
    assert li_threshold(2 * W) == pytest.approx(li_threshold(W))
    assert li_threshold(torch.zeros(3)) == 0.0
    assert li_threshold(torch.ones(3)) == pytest.approx(0.7)


def test_the_common_scale_is_the_mean_of_what_is_left() -> None:
    assert common_scale(W, 0.0) == pytest.approx(1.875 / 4)
    assert common_scale(W, 0.4) == pytest.approx(0.75)
    assert common_scale(W, 1.0) == 1.0


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (ternary_weight_network, [0.75, -0.75, 0.0, 0.0]),  # delta 0.328
        (closed_form, [0.583, -0.583, 0.583, 0.0]),  # delta 0.2
        (binary, [0.46875, -0.46875, 0.46875, -0.46875]),
    ],
)
def test_computed_scales_follow_the_latent_weights(make: type, values: list[float]) -> None:
    trainable, w = make(form(), W, HALF), latent()
    used = trainable(w)
    assert used.tolist()[0] == pytest.approx(values, abs=5e-4)
    used.backward(GRADIENT)
    assert torch.equal(w.grad, GRADIENT)  # straight through
    assert torch.equal(trainable.project(W).dequantize(), used.detach())
    assert trainable(2 * w).tolist()[0] == pytest.approx([2 * v for v in values], abs=1e-3)
    assert not list(trainable.parameters())


def test_wp_equal_to_wn_makes_no_difference_to_the_forward_pass() -> None:
    two, one = two_scales(form(), W, HALF), one_scale(form(), W, HALF)
    assert isinstance(one, OneScale)
    assert torch.equal(two(W), one(W))
