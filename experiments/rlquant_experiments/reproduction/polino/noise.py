"""P7: what stochastic rounding of the weights does to a dot product."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.quantizers import quantize_affine
from rlquant.quantizers.affine import to_unit
from rlquant.quantizers.groups import spread, to_rows
from rlquant_experiments.reproduction.polino.training import BUCKET
from rlquant_experiments.reproduction.runs import Measured, Progress

CHUNK = 2**20
"""Weights that are rounded at once."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A set of drawn dot products.

    Attributes:
        lengths: of the vectors, each a multiple of 256 or below.
        draws: of each dot product.
        bits: of the weights.
        seeds: pairs of vectors.
    """

    lengths: tuple[int, ...] = (16, 64, 256, 1024, 4096)
    draws: int = 10_000
    bits: int = 2
    seeds: int = 10


def measure_noise(noise: Noise, length: int, seed: int, progress: Progress) -> Measured:
    """Quantize one random vector v again and again, and look at the noise of v.x.

    Args:
        noise: draws and bits.
        length: of v and of x, whose numbers are normally distributed.
        seed: of v, x and all draws.
        progress: told of the draws.

    Returns:
        All in standard deviations of the noise, which follow from v and x: "bias" and "spread",
        mean and standard deviation of Q(v).x - v.x, "ks", the Kolmogorov-Smirnov distance of its
        distribution to a standard normal one, "nearest_bias", what rounding v to nearest adds to
        v.x, and "kurtosis", the excess kurtosis of the noise by formula.
    """
    from scipy import stats  # imports slowly

    draws = torch.Generator().manual_seed(seed)
    v, x = torch.randn(2, length, generator=draws)
    bucket = min(BUCKET, length)
    deviation, kurtosis = noise_moments(v, x, noise.bits, bucket)
    found = []
    left = noise.draws
    while left:
        count = min(left, CHUNK // length)
        rows = quantize_affine(
            v.expand(count, length),
            noise.bits,
            group_size=bucket,
            rounding="stochastic",
            generator=draws,
        )
        found.append(((rows.dequantize() - v).double() @ x.double()) / deviation)
        left -= count
        progress(count)
    errors = torch.cat(found)
    nearest = quantize_affine(v, noise.bits, group_size=bucket).dequantize() - v
    return {
        "bias": float(errors.mean()),
        "spread": float(errors.std()),
        "ks": float(stats.kstest(errors.numpy(), "norm").statistic),
        "nearest_bias": float(nearest.double() @ x.double()) / deviation,
        "kurtosis": kurtosis,
    }


def noise_moments(v: Tensor, x: Tensor, bits: int, bucket: int) -> tuple[float, float]:
    """Return standard deviation and excess kurtosis of Q(v).x for given v and x.

    The noise is a sum of independent terms of two values each, so that both follow from them; a
    Gaussian has an excess kurtosis of 0.
    """
    grid = quantize_affine(v, bits, group_size=bucket)
    assert grid.scale is not None
    assert grid.offset is not None
    last = 2**bits - 1
    shares = to_unit(to_rows(v, bucket), grid.scale, grid.offset) * last
    up = (shares - shares.floor()).reshape(-1)[: v.numel()].double()
    jump = (spread(grid.scale, v.shape, bucket) / last * x).double()
    drawn = up * (1 - up)
    variance = float((jump.square() * drawn).sum())
    fourth = float((jump**4 * drawn * (1 - 6 * drawn)).sum())
    return variance**0.5, fourth / variance**2
