"""Ternary layers in training: scales that stay above 0, and the zero zone at every step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.errors import QuantizationError
from rlquant.quantizers import ternary_scales
from rlquant.training.ternary import TernaryWeight
from strategies import seeds, weights
from trainable_weights import form_of, moved, weight

OPTIMIZERS = (torch.optim.SGD, torch.optim.Adam)
NAME = "ternary-threshold"


def made(w: Tensor, **options: float | None) -> TernaryWeight:
    return TernaryWeight(form_of(NAME, w=w), w, **options)  # type: ignore[arg-type]


def push(trainable: TernaryWeight, optimizer: torch.optim.Optimizer, gradient: float) -> None:
    trainable.scales.grad = torch.full((2,), gradient)
    optimizer.step()
    trainable.after_step(optimizer)


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("size", [1e-6, 1e-5, 0.1, 1.0, 1e5])
def test_scales_stay_above_0_and_storable_under_a_huge_push(
    make: type[torch.optim.Optimizer], size: float
) -> None:
    w = 10 * size * weight()
    trainable = made(w)
    start = trainable.scales.detach().clone()
    optimizer = make([trainable.scales], lr=1e3)  # type: ignore[call-arg]
    for _ in range(3):
        push(trainable, optimizer, 1e6)
    assert (trainable.scales > 0).all()
    assert (trainable.scales <= start).all()
    q = trainable.project(w)  # which refuses a scale that is 0 as stored
    assert q.values is not None
    assert q.values[0] < 0 < q.values[2]
    assert torch.equal(trainable(w), q.dequantize())


def test_a_scale_that_was_held_can_grow_again() -> None:
    trainable = made(weight())
    optimizer = torch.optim.SGD([trainable.scales], lr=1.0)
    push(trainable, optimizer, 1e6)
    held = trainable.scales.detach().clone()
    push(trainable, optimizer, -0.5)
    torch.testing.assert_close(trainable.scales.detach(), held + 0.5)


def test_the_start_is_the_closed_form_at_the_threshold_in_force() -> None:
    w = weight()
    for threshold in (0.05, 0.4, 0.7):
        scales = made(w, threshold=threshold).scales
        assert scales.tolist() == pytest.approx(ternary_scales(w, threshold=threshold))
    sparse = made(w, sparsity=0.5)
    wanted = ternary_scales(w, threshold=sparse.threshold(w))
    assert sparse.scales.tolist() == pytest.approx(wanted)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, threshold=st.floats(0, 0.9))
def test_the_threshold_is_a_share_of_the_largest_latent_weight(seed: int, threshold: float) -> None:
    trainable, latent = made(weight(), threshold=threshold), moved(weight(), seed)
    zeros = trainable.project(latent).codes == 1
    assert torch.equal(zeros, latent.abs() <= latent.abs().max() * threshold)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, sparsity=st.floats(0, 1))
def test_sparsity_holds_at_every_step(seed: int, sparsity: float) -> None:
    trainable, latent = made(weight(), sparsity=sparsity), moved(weight(), seed)
    assert int((trainable(latent) == 0).sum()) == round(sparsity * latent.numel())
    assert int((trainable.project(latent).codes == 1).sum()) == round(sparsity * latent.numel())


@settings(max_examples=20, deadline=None)
@given(w=weights(), seed=seeds)
def test_any_weight_can_be_trained(w: Tensor, seed: int) -> None:
    trainable = made(w)
    latent = w.detach().clone().requires_grad_()
    trainable(latent).sum().backward()
    optimizer = torch.optim.SGD([latent, trainable.scales], lr=0.1)
    optimizer.step()
    trainable.after_step(optimizer)
    assert torch.equal(trainable(latent), trainable.project(latent).dequantize())


def test_scales_too_large_for_their_type_are_refused_when_stored() -> None:
    trainable = made(weight())
    assert trainable.form.scale_dtype == torch.float16
    with torch.no_grad():
        trainable.scales.fill_(1e6)
    with pytest.raises(QuantizationError, match=r"too large for torch\.float16"):
        trainable.project(weight())
    wide = TernaryWeight(replace(trainable.form, scale_dtype=torch.float32), weight())
    with torch.no_grad():
        wide.scales.fill_(1e6)
    assert float(wide.project(weight()).dequantize().max()) == 1e6
