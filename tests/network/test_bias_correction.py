"""Bias correction: means that outliers do not decide, and the check on held-out samples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rlquant.network.bias_correction import OutputMeans, shifted

LAYER = nn.Linear(1, 1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def measured(module: nn.Module, outputs: Tensor, mask: Tensor | None = None) -> OutputMeans:
    means = OutputMeans.of(module, outputs, mask)
    assert means is not None
    return means


def test_weights_and_means_by_hand() -> None:
    # Two samples of two tokens; |y| is 3, 1, 2, 2, which is 2 on average.
    means = measured(LAYER, torch.tensor([[[3.0], [-1.0]], [[2.0], [-2.0]]]))
    assert torch.allclose(means.weights, torch.tensor([[9 / 34, 25 / 34], [1 / 2, 1 / 2]]))
    assert torch.allclose(means.halves, torch.tensor([[2 / 34], [0.0]]))


def test_masked_tokens_do_not_count() -> None:
    outputs = torch.tensor([[[3.0], [-1.0], [99.0]], [[2.0], [-2.0], [-99.0]]])
    mask = torch.tensor([[True, True, False]] * 2)
    module, flat = nn.Linear(1, 1), outputs.reshape(6, 1)
    means = measured(module, outputs, mask)
    assert torch.allclose(means.halves, measured(module, outputs[:, :2]).halves)
    assert torch.equal(means.weights[:, 2], torch.zeros(2))
    assert torch.equal(measured(module, flat, mask).weights[[2, 5]], torch.zeros(2, 1))
    split = torch.cat([outputs, -outputs], dim=2)[..., None]  # as heads are
    assert torch.equal(measured(module, split, mask).weights[:, 4:], torch.zeros(2, 2))
    pooled = measured(module, outputs[:, 0], mask)
    assert pooled.weights.all()
    nothing = OutputMeans.of(module, outputs, torch.tensor([[True] * 3, [False] * 3]))
    assert nothing is None


def test_outputs_that_are_all_zero_have_equal_weights() -> None:
    means = measured(LAYER, torch.zeros(4, 2, 1))
    assert torch.equal(means.weights, torch.full((4, 2), 1 / 4))


def test_an_outlier_token_does_not_decide() -> None:
    # The first token of every sample is 50 times the others, and so is its error.
    outputs = normal(32, 10, 8)
    outputs[:, 0] *= 50
    errors = torch.full_like(outputs, 0.1)
    errors[:, 0] = -5
    shift = measured(nn.Linear(1, 8), outputs).shift(nn.Linear(1, 8), outputs + errors)
    assert ((shift > -0.1) & (shift < -0.08)).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), common=st.floats(0, 2), rows=st.integers(2, 7))
def test_a_shift_is_kept_where_it_helps_the_other_half(seed: int, common: float, rows: int) -> None:
    module = nn.Linear(1, 3)
    outputs, noise = normal(rows, 2, 3, seed=seed), normal(rows, 2, 3, seed=seed + 1)
    errors = noise + common * normal(3, seed=seed + 2)
    means = measured(module, outputs)

    def weighted_error(half: Tensor, shift: Tensor, weights: Tensor) -> Tensor:
        return (weights[..., None] * (half + shift).square()).sum()

    even, odd = ((errors[k::2], means.weights[k::2]) for k in (0, 1))
    change = torch.zeros(())
    for (taken, own), (held, weights) in ((even, odd), (odd, even)):
        shift = -(own[..., None] * taken).sum(dim=(0, 1))
        change += weighted_error(held, shift, weights)
        change -= weighted_error(held, torch.zeros(3), weights)
    found = means.shift(module, outputs + errors)
    if abs(change) > 1e-4:
        assert bool(found.any()) == bool(change < 0)


@pytest.mark.parametrize(
    ("module", "shape", "channels"),
    [
        (nn.Linear(4, 3), (5, 4), 3),
        (nn.Linear(4, 3), (5, 2, 4), 3),
        (nn.Linear(4, 3), (5, 2, 2, 4), 3),
        (nn.Conv1d(4, 3, 1), (5, 4, 6), 3),
        (nn.Conv2d(4, 6, 1, groups=2), (5, 4, 6, 7), 6),
        (nn.Conv3d(4, 3, 1), (5, 4, 2, 2, 2), 3),
        (nn.ConvTranspose2d(4, 6, 2, groups=2), (5, 4, 3, 3), 6),
    ],
    ids=str,
)
def test_shifts_are_those_of_the_bias(
    module: nn.Linear | nn.Conv2d, shape: tuple[int, ...], channels: int
) -> None:
    assert module.bias is not None
    with torch.no_grad():
        outputs = module(normal(*shape))
        means = measured(module, outputs)
        assert torch.equal(means.shift(module, outputs), torch.zeros(channels))
        module.bias += torch.arange(1.0, channels + 1)
        moved = module(normal(*shape))
        shift = means.shift(module, moved)
    assert torch.allclose(shift, -torch.arange(1.0, channels + 1), atol=1e-4)
    assert torch.allclose(shifted(module, moved, shift), outputs, atol=1e-4)


@pytest.mark.parametrize(
    ("module", "shape"), [(nn.Linear(4, 3), (4,)), (nn.Conv2d(4, 3, 1), (4, 6, 7))], ids=str
)
def test_one_sample_is_no_two_halves(module: nn.Module, shape: tuple[int, ...]) -> None:
    assert OutputMeans.of(module, module(normal(*shape))) is None
