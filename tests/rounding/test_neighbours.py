"""The two points a weight lies between: by hand, and in every kind of grid."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assigned_layers import layer
from rlquant.quantizers import (
    QuantizedTensor,
    quantize_affine,
    quantize_integer,
    quantize_to_points,
)
from rlquant.rounding.neighbours import Neighbours, quadratic
from rlquant.rounding.output_error import channel_errors

POINTS = torch.tensor([0.0, 0.1, 0.4, 1.0])


def quantized(kind: str, weight: Tensor) -> QuantizedTensor:
    if kind == "points":
        return quantize_to_points(weight, POINTS, group_size="channel")
    if kind == "affine":
        return quantize_affine(weight, 2, group_size=5)
    return quantize_integer(weight, 2, clip=kind == "clipped", group_size="tensor")


def test_down_and_up_by_hand() -> None:
    weight = torch.tensor([[-2.0, 0.25, 0.75, 0.5, 1.0, -0.1]])  # the scale is 1: -2, -1, 0, 1
    between = Neighbours.of(weight, quantize_integer(weight, 2), torch.eye(6)[None])
    assert between.lower.tolist() == [[[0, 2, 2, 2, 2, 1]]]
    assert between.gap.tolist() == [[[1.0] * 6]]
    assert between.position[0, 0].tolist() == pytest.approx([0.0, 0.25, 0.75, 0.5, 1.0, 0.9])
    assert between.nearest.tolist() == [[[False, False, True, False, True, True]]]
    up = torch.tensor([[[True, False, False, True, True, False]]])
    found = between.assigned(up)
    assert found.dequantize().tolist() == [[-1.0, 0.0, 0.0, 1.0, 1.0, -1.0]]
    assert torch.equal(between.going_up(found), up)
    assert torch.allclose(between.error(up)[0], found.dequantize() - weight)


@pytest.mark.parametrize("kind", ["integer", "clipped", "affine", "points"])
def test_the_nearest_neighbour_is_the_quantizers_choice(kind: str) -> None:
    weight, moments = layer(1)
    given = quantized(kind, weight)
    between = Neighbours.of(weight, given, moments)
    assert torch.equal(between.assigned(between.nearest).codes, given.codes)
    for up in (between.nearest, ~between.nearest):
        exact = channel_errors(between.assigned(up).dequantize() - weight, moments)
        assert torch.allclose(quadratic(between.error(up), moments).reshape(-1), exact, rtol=1e-4)


def test_a_constant_group_has_nowhere_to_go() -> None:
    weight, moments = layer(2)
    weight[1] = 0.0
    given = quantize_affine(weight, 2, group_size="channel")
    between = Neighbours.of(weight, given, moments)
    assert not between.gap[0, 1].any()
    assert not between.assigned(torch.ones_like(between.nearest)).dequantize()[1].any()
