"""Who holds the grid of a group, and narrower ranges where an outlier would cost its points."""

from __future__ import annotations

import pytest
import torch

from rlquant.config import GroupSize, LayerChoice, Points
from rlquant.quantizers.formats import form_of
from rlquant.quantizers.weight_format import WeightForm
from rlquant.rounding.output_error import channel_errors
from rlquant.training.mixed_network import trainable_weight
from rlquant.training.settings import TrainSettings
from rlquant.training.trainable_weight import TrainableWeight
from rlquant.training.warm_start import adapt_layer, best_range

W = torch.tensor([[-1.0, 0.25, 0.5, 0.5], [0.0, 0.5, -0.5, 1.5]])


def form(points: Points, group_size: GroupSize = "channel", bits: int = 2) -> WeightForm:
    choice = LayerChoice("layer", bits, method="distilled", points=points, group_size=group_size)
    return form_of(W, choice)


def trained(points: Points, group_size: GroupSize = "channel") -> TrainableWeight:
    made = trainable_weight(form(points, group_size), W, TrainSettings())
    assert made is not None
    return made


def test_each_group_has_one_least_and_one_greatest_weight() -> None:
    found = trained("affine").holds_grid(W)
    assert found is not None
    assert found.tolist() == [[True, False, True, False], [False, False, True, True]]
    found = trained("quantile", "tensor").holds_grid(W)
    assert found is not None
    assert found.nonzero().tolist() == [[0, 0], [1, 3]]


@pytest.mark.parametrize("points", ["clipped", "fixed_point"])
def test_where_scales_are_fixed_no_weight_decides_them(points: Points) -> None:
    layer = trained(points)
    assert layer.holds_grid(W) is None
    assert best_range(W, layer, torch.eye(4)[None]) is W


def test_the_range_shrinks_towards_zero() -> None:
    assert trained("affine").narrowed(W, 0.5).tolist() == [
        [-0.5, 0.25, 0.25, 0.25],
        [0.0, 0.5, -0.25, 0.75],
    ]
    # Symmetric points have the larger end on both sides.
    assert trained("symmetric").narrowed(W, 0.5).tolist() == [
        [-0.5, 0.25, 0.5, 0.5],
        [0.0, 0.5, -0.5, 0.75],
    ]
    assert torch.equal(trained("affine", "tensor").narrowed(W, 1.0), W)


@pytest.mark.parametrize("points", ["symmetric", "affine", "learned"])
def test_each_channel_takes_the_share_of_least_error(points: Points) -> None:
    layer, moments = trained(points), torch.diag(torch.tensor([1.0, 4.0, 4.0, 0.01]))[None]
    found = best_range(W, layer, moments)
    errors = []
    for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        clamped = layer.narrowed(W, share)
        errors.append(channel_errors(layer.project(clamped).dequantize() - W, moments))
    least = torch.stack(errors).amin(dim=0)
    assert torch.equal(channel_errors(layer.project(found).dequantize() - W, moments), least)
    assert found[1, 3] < W[1, 3], "the outlier, whose input is nearly always 0, gives way"


def test_groups_that_are_no_channels_share_one_range() -> None:
    layer = trained("symmetric", "tensor")
    found = best_range(W, layer, torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.01]))[None])
    assert any(torch.equal(found, layer.narrowed(W, s)) for s in (0.3, 0.4, 0.5))


def test_an_adapted_layer_has_the_narrower_grid() -> None:
    layer, moments = trained("symmetric"), torch.diag(torch.tensor([1.0, 4.0, 4.0, 0.01]))[None]
    start = adapt_layer(W, layer, moments)
    before, after = layer.project(W), layer.project(start.latent)
    assert before.scale is not None
    assert after.scale is not None
    assert after.scale[1] < before.scale[1]
    errors = [channel_errors(q.dequantize() - W, moments).sum() for q in (before, after)]
    assert errors[1] < 0.5 * errors[0]
