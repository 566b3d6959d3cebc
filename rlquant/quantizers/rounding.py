"""Rounding to whole numbers: the rule by which a value goes to one of its two neighbours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rlquant.config import Rounding
from rlquant.errors import QuantizationError

PURE_ROUNDINGS: tuple[Rounding, ...] = ("nearest", "stochastic")
"""What a pure quantizer offers; the other roundings need the layer's inputs."""


def round_nearest(x: Tensor) -> Tensor:
    """Round each element to the nearest whole number, a tie to the lower one.

    Same shape and dtype as `x`.
    Source: Gupta et al. 2015, "Rounding modes" (an exact half goes down).
    """
    # ceil(x - 0.5) would lose bits in the subtraction just above -0.5; this difference is exact.
    rounded = torch.round(x)
    return rounded - (rounded - x == 0.5).to(x.dtype)


def round_stochastic(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """Round each element to one of its two neighbouring whole numbers, at random.

    The upper one is taken with probability equal to the remainder, so the expected output is
    `x`; whole numbers never move. Same shape and dtype as `x`.

    Args:
        x: float, any shape.
        generator: draws one number per element on its own device (the CPU's gives the same
            result for a tensor on any device).

    Source: Gupta et al. 2015, "Rounding modes".
    """
    lower = torch.floor(x)
    draw = torch.rand(
        x.shape,
        generator=generator,
        dtype=torch.promote_types(x.dtype, torch.float32),
        device=generator.device,
    )
    return lower + (draw.to(x.device) < x - lower).to(x.dtype)


def rounder(rounding: Rounding, generator: torch.Generator | None) -> Callable[[Tensor], Tensor]:
    """Return the rounding function of this name.

    Raises:
        QuantizationError: a rounding that pure quantizers lack, or "stochastic" without a
            generator.
    """
    if rounding == "nearest":
        return round_nearest
    if rounding != "stochastic":
        raise QuantizationError(
            f"rounding={rounding!r} is not available in a pure quantizer; use one of "
            f"{PURE_ROUNDINGS}"
        )
    if generator is None:
        raise QuantizationError(
            "rounding='stochastic' needs randomness; pass generator=torch.Generator()"
        )
    return partial(round_stochastic, generator=generator)


def layer_generator(seed: int, layer: str) -> torch.Generator:
    """Return the generator of a layer's random draws: the same in every process."""
    digest = hashlib.blake2b(f"{seed}:{layer}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))
