"""Arithmetic without a wide accumulator: each product is rounded before it is summed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.quantizers.ste import Conversion
from rlquant.training.fixed_point.arithmetic import purpose_generator
from rlquant.training.fixed_point.number_format import NumberFormat, convert
from rlquant.training.settings import FixedPoint


class PerProductLinear(nn.Linear):
    """A Linear layer whose every product, in both directions, is converted before it is summed."""

    def __init__(self, layer: nn.Linear, name: str, product: FixedPoint, seed: int) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")  # draws nothing
        self.weight, self.bias = layer.weight, layer.bias
        self._format = NumberFormat(product.integer_bits, product.fraction_bits)
        self._rounding = product.rounding
        self._generator = purpose_generator(seed, name, "product")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sums, for inputs of shape `(n, in_features)`."""
        sums = linear_per_product(inputs, self.weight, self._convert)
        return sums if self.bias is None else sums + self.bias

    def _convert(self, products: Tensor) -> Tensor:
        return convert(products, self._format, self._rounding, self._generator)


def per_product(network: nn.Module, product: FixedPoint, seed: int) -> nn.Module:
    """Return a copy of a network of Linear layers that rounds each of their products."""
    copied = copy.deepcopy(network)
    layers = [(n, m) for n, m in copied.named_modules() if isinstance(m, nn.Linear)]
    for name, layer in layers:
        copied.set_submodule(name, PerProductLinear(layer, name, product, seed))
    return copied


class _LinearPerProduct(torch.autograd.Function):
    """Forward: sums of converted products. Backward: both gradients as such sums too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, convert: Conversion) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.convert = convert
        return convert(x[:, None, :] * weight).sum(dim=2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        errors = ctx.convert(grad[:, :, None] * weight).sum(dim=1)
        return errors, ctx.convert(grad[:, :, None] * x[:, None, :]).sum(dim=0), None


def linear_per_product(x: Tensor, weight: Tensor, convert: Conversion) -> Tensor:
    """Return `x @ weight.T`, each product converted before it is summed, in the gradients too.

    What a multiplier without a wide accumulator does; the memory is that of all products.

    Args:
        x: float, shape `(n, inputs)`.
        weight: float, shape `(outputs, inputs)`.
        convert: converts every product, shape `(n, outputs, inputs)`.

    Source: the contrary of Gupta et al. 2015, "Limited precision arithmetic", who convert once.
    """
    return _LinearPerProduct.apply(x, weight, convert)  # type: ignore[no-any-return, no-untyped-call]
