"""Gradients of fixed-point arithmetic: each is what the function claims."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.quantizers import quantize_fixed_point
from rlquant.quantizers.ste import convert_both_ways


def quarters(x: Tensor) -> Tensor:
    return quantize_fixed_point(x, 2, 2)


def halves(x: Tensor) -> Tensor:
    return quantize_fixed_point(x, 2, 1)


def test_values_and_errors_are_each_converted_once() -> None:
    x = torch.tensor([0.3, -2.5, 1.9], requires_grad=True)
    y = convert_both_ways(x, quarters, halves)
    assert y.tolist() == [0.25, -2.0, 1.75]
    y.backward(torch.tensor([0.3, 0.6, -9.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0.5, -2.0]  # where the value saturates too
