"""Activations: unsigned integers with an integer zero point, one scale per tensor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rlquant.arguments import explained
from rlquant.errors import QuantizationError
from rlquant.quantizers.ste import straight_through_within

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


@explained
def activation_grid(low: float, high: float, bits: int) -> tuple[float, int]:
    """Return `(scale, zero_point)` of the unsigned grid that covers `[low, high]` and 0.

    Value = scale * (integer - zero_point), integer in 0..2^bits-1. 0 is always on the grid, as
    padding and ReLU need it. The scale is a float32 number above 0; a range without width in
    float32 has scale 1 and zero point 0.

    Args:
        low: lower end of the range; widened to 0 if above.
        high: upper end of the range; widened to 0 if below.
        bits: 2..16.

    Raises:
        QuantizationError: a range that is not finite or upside down, or wrong bits.
    """
    _require_activation_bits(bits)
    if not -LARGEST <= low <= high <= LARGEST:
        raise QuantizationError(
            f"activation range low={low!r}, high={high!r}: use finite float32 numbers, low <= high"
        )
    low, high = min(low, 0.0), max(high, 0.0)
    last = 2**bits - 1
    if np.float32(high - low) == 0.0:
        return 1.0, 0
    scale = max(float(np.float32((high - low) / last)), SMALLEST)
    return scale, min(max(round(-low / scale), 0), last)


class ActivationQuantizer(nn.Module):
    """Fake-quantize a tensor to the unsigned integers of `bits` bits, as ONNX does.

    integer = saturate(round(x / scale) + zero_point), a tie to the even one;
    result = scale * (integer - zero_point). Shape and dtype are kept.

    Attributes:
        bits: 2..16.
        scale: buffer, float32 scalar, above 0.
        zero_point: buffer, int32 scalar, in 0..2^bits-1.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, bits: int, scale: float = 1.0, zero_point: int = 0) -> None:
        """Take the grid, as `activation_grid` returns it; the buffers are on the CPU.

        Raises:
            QuantizationError: bits, scale or zero point outside their range.
        """
        super().__init__()
        _require_activation_bits(bits)
        stored = torch.tensor(scale, dtype=torch.float32, device="cpu")
        if not (torch.isfinite(stored) and stored > 0 and 0 <= zero_point < 2**bits):
            raise QuantizationError(
                f"scale={scale!r}, zero_point={zero_point!r}: use a finite scale above 0 and a "
                f"zero point in 0..{2**bits - 1}"
            )
        self.bits = bits
        self.register_buffer("scale", stored)
        integer = torch.tensor(zero_point, dtype=torch.int32, device="cpu")
        self.register_buffer("zero_point", integer)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` on the grid; in training, gradients pass where `x` is inside its range."""
        values = self._on_grid(x.detach())
        if not (torch.is_grad_enabled() and x.requires_grad):
            return values
        last = 2**self.bits - 1
        low, high = -self.zero_point * self.scale, (last - self.zero_point) * self.scale
        return straight_through_within(x, values, low, high)

    def _on_grid(self, x: Tensor) -> Tensor:
        last = 2**self.bits - 1
        # In place after the division: evaluation spends its time in memory traffic.
        integers = (x.float() / self.scale).round_().add_(self.zero_point).clamp_(0, last)
        return integers.sub_(self.zero_point).mul_(self.scale).to(x.dtype)

    def extra_repr(self) -> str:
        """Describe the grid."""
        return f"bits={self.bits}, scale={float(self.scale):.4g}, zero_point={int(self.zero_point)}"


def _require_activation_bits(bits: object) -> None:
    if not isinstance(bits, int) or isinstance(bits, bool) or not 2 <= bits <= 16:
        raise QuantizationError(f"activation bits={bits!r}, use a whole number in 2..16")
