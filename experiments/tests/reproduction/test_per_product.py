"""Products that are rounded before they are summed, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlquant.quantizers import quantize_fixed_point
from rlquant_experiments.reproduction.gupta.per_product import linear_per_product
from strategies import seeded


def quarters(x: Tensor) -> Tensor:
    return quantize_fixed_point(x, 2, 2)


@pytest.mark.parametrize("shapes", [((5, 3), (2, 3)), ((1, 1), (4, 1))])
def test_sums_of_products_without_rounding_are_a_linear_layer(
    shapes: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    x, weight = (
        torch.randn(shape, generator=seeded(i), dtype=torch.float64, requires_grad=True)
        for i, shape in enumerate(shapes)
    )
    torch.testing.assert_close(linear_per_product(x, weight, lambda p: p), x @ weight.T)
    assert torch.autograd.gradcheck(lambda a, b: linear_per_product(a, b, lambda p: p), (x, weight))


def test_each_product_is_converted_in_both_directions() -> None:
    x = torch.full((1, 4), 0.5, requires_grad=True)
    weight = torch.full((2, 4), 0.6, requires_grad=True)
    y = linear_per_product(x, weight, quarters)
    assert y.tolist() == [[1.0, 1.0]]  # 4 x 0.25; converted once, 1.2 is 1.25
    y.backward(torch.tensor([[0.6, 0.6]]))
    assert x.grad is not None
    assert weight.grad is not None
    assert x.grad.tolist() == [[0.5] * 4]  # 2 x convert(0.36)
    assert weight.grad.tolist() == [[0.25] * 4] * 2  # convert(0.3)
