"""Straight-through estimators: gradients of quantizers, written by hand.

Each class states both directions; callers use the function below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Conversion = Callable[[Tensor], Tensor]
"""Takes a tensor without gradient to numbers of a format; may return it as it is."""


class _StraightThrough(torch.autograd.Function):
    """Forward: the quantized values. Backward: the gradient, unchanged, to the latent weights."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, values: Tensor) -> Tensor:
        return values.detach()  # another tensor object on the same memory, strides kept

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def straight_through(latent: Tensor, values: Tensor) -> Tensor:
    """Return `values`, with the gradient of a copy of `latent` (no clipping).

    Args:
        latent: float, any shape.
        values: same shape and dtype, computed without gradient.

    Source: Bengio et al. 2013; used so by Polino et al. 2018, "Quantized distillation".
    """
    return _StraightThrough.apply(latent, values)  # type: ignore[no-any-return, no-untyped-call]


class _Ternary(torch.autograd.Function):
    """Forward: +Wp, 0 or -Wn. Backward: see `ternary_values`."""

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, scales: Tensor, stored: Tensor, positive: Tensor, negative: Tensor
    ) -> Tensor:
        ctx.save_for_backward(stored, positive, negative)
        zero = torch.zeros((), dtype=latent.dtype, device=latent.device)
        wide = stored.to(latent.dtype)
        values = torch.empty_like(latent)  # in its layout, which a broadcast may not keep
        return values.copy_(torch.where(positive, wide[0], torch.where(negative, -wide[1], zero)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        stored, positive, negative = ctx.saved_tensors
        one = torch.ones((), dtype=grad.dtype, device=grad.device)
        wide = stored.to(grad.dtype)
        slope = torch.where(positive, wide[0], torch.where(negative, wide[1], one))
        sums = torch.stack([(grad * positive).sum(), -(grad * negative).sum()])
        return grad * slope, sums.to(stored.dtype), None, None, None


def ternary_values(
    latent: Tensor, scales: Tensor, stored: Tensor, positive: Tensor, negative: Tensor
) -> Tensor:
    """Return +Wp, 0 or -Wn, with the gradients of trained ternary quantization.

    With g the gradient of the result: the latent weight gets Wp*g in the positive zone, g in the
    zero zone and Wn*g in the negative one; Wp gets the sum of g over the positive zone, Wn *minus*
    the sum of g over the negative one, the derivative of -Wn. (The paper prints the last without
    the minus sign; its released code differentiates, as this does.) The threshold gets none.

    Args:
        latent: float, any shape.
        scales: shape `(2,)`: Wp and Wn, the parameters that are trained.
        stored: the same two as they are stored, float32 or float16; these are the values.
        positive: bool, shape of `latent`: where +Wp goes.
        negative: bool, shape of `latent`: where -Wn goes.

    Source: Zhu et al. 2016, "Learning both ternary values and ternary assignments".
    """
    arguments = (latent, scales, stored.float(), positive, negative)
    return _Ternary.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]


class _AtPoints(torch.autograd.Function):
    """Forward: offset + scale * points[codes]. Backward: see `values_at_points`."""

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, points: Tensor, values: Tensor, codes: Tensor, scale: Tensor
    ) -> Tensor:
        ctx.save_for_backward(codes, scale)
        ctx.count = points.numel()
        return values.detach()  # another tensor object on the same memory, strides kept

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        codes, scale = ctx.saved_tensors
        weighted = (grad * scale).reshape(-1).float()
        sums = torch.zeros(ctx.count, dtype=torch.float32, device=grad.device)
        sums.index_add_(0, codes.reshape(-1).int(), weighted)
        return grad, sums, None, None, None


def values_at_points(
    latent: Tensor, points: Tensor, values: Tensor, codes: Tensor, scale: Tensor
) -> Tensor:
    """Return `values` = offset + scale * points[codes], with the gradient of the points.

    A point gets the sum, over the weights assigned to it, of the gradient times the scale of the
    weight's group; the assignment is taken as constant. A group of scale 0 moves no point. The
    latent weights get the gradient unchanged (straight-through).

    Args:
        latent: float, any shape.
        points: shape `(count,)`, the parameters that are trained.
        values: shape of `latent`, the dequantized weights.
        codes: shape of `latent`, whole numbers in `[0, count)`.
        scale: broadcasts against `latent`: the scale of each weight's group.

    Source: Polino et al. 2018, "Differentiable quantization".
    """
    arguments = (latent, points, values, codes, scale)
    return _AtPoints.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]


class _WithinRange(torch.autograd.Function):
    """Forward: the values on the grid. Backward: the gradient where the input was inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        ctx.save_for_backward((x >= low) & (x <= high))
        return values.detach()  # another tensor object on the same memory, strides kept

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None, None


def straight_through_within(x: Tensor, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return `values`, with the gradient of `x` where it lies in `[low, high]`, else none.

    Args:
        x: float, any shape: activations before they are quantized.
        values: same shape and dtype, computed without gradient.
        low: lowest value of the grid, scalar.
        high: highest value of the grid, scalar.
    """
    return _WithinRange.apply(x, values, low, high)  # type: ignore[no-any-return, no-untyped-call]


class _ConvertBothWays(torch.autograd.Function):
    """Forward: the converted values. Backward: the converted gradient, to the unconverted ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Conversion, error: Conversion) -> Tensor:
        ctx.error = error
        return value(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.error(grad), None, None


def convert_both_ways(x: Tensor, value: Conversion, error: Conversion) -> Tensor:
    """Return `value(x)`, with `error(gradient)` as the gradient of `x`, saturated or not.

    Args:
        x: float, any shape: the wide sums of a layer.
        value: converts them to what is passed on.
        error: converts the error that comes back.

    Source: Gupta et al. 2015, "Limited precision arithmetic".
    """
    return _ConvertBothWays.apply(x, value, error)  # type: ignore[no-any-return, no-untyped-call]
