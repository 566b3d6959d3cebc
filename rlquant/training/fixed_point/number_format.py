"""The number format <IL, FL>, and the conversion to it as a training loop needs it: fast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.config import Rounding
from rlquant.quantizers.rounding import PURE_ROUNDINGS


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Multiples of 2^-FL in [-2^(IL-1), 2^(IL-1) - 2^-FL].

    Attributes:
        integer_bits: IL, the sign included.
        fraction_bits: FL.
    """

    integer_bits: int
    fraction_bits: int

    @property
    def step_size(self) -> float:
        """Distance between neighbouring numbers."""
        return 2.0**-self.fraction_bits

    @property
    def lowest(self) -> float:
        """The lowest number."""
        return -(2.0 ** (self.integer_bits - 1))

    @property
    def highest(self) -> float:
        """The highest number: one step short of minus the lowest."""
        return -self.lowest - self.step_size


def convert(
    x: Tensor,
    number_format: NumberFormat,
    rounding: Rounding,
    generator: torch.Generator | None = None,
    saturated: Tensor | None = None,
) -> Tensor:
    """Convert a float64 tensor: `quantize_fixed_point`, bit for bit, without its checks.

    A NaN stays one, where `quantize_fixed_point` raises, and an infinity saturates.

    Args:
        x: float64, any shape, without gradient; never written to.
        number_format: where to.
        rounding: one of `PURE_ROUNDINGS`.
        generator: needed by "stochastic", on any device.
        saturated: scalar to which the number of elements outside the range is added.
    """
    assert rounding in PURE_ROUNDINGS
    # In place wherever the tensor is this function's own: its time goes into memory traffic.
    steps = x * 2.0**number_format.fraction_bits
    if rounding == "nearest":
        rounded = torch.round(steps)
        rounded.sub_((rounded - steps == 0.5).to(rounded.dtype))  # a tie goes down
    else:
        assert generator is not None
        rounded = torch.floor(steps)
        draw = torch.rand(
            x.shape, generator=generator, dtype=torch.float64, device=generator.device
        )
        rounded.add_(draw.to(x.device) < steps.sub_(rounded))
    half = 2 ** (number_format.integer_bits + number_format.fraction_bits - 1)
    if saturated is None:
        return rounded.clamp_(-half, half - 1).mul_(number_format.step_size)
    inside = rounded.clamp(-half, half - 1)
    saturated += torch.count_nonzero(inside != rounded)
    return inside.mul_(number_format.step_size)
