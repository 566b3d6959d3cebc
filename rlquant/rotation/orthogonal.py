"""Random orthogonal matrices, float64 on the CPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_orthogonal(width: int, seed: int) -> Tensor:
    """Return a matrix of shape `(width, width)` that is uniform among the orthogonal ones.

    The QR decomposition of a normal matrix, with the signs of R's diagonal (Mezzadri, 2007).
    """
    normal = torch.randn(width, width, generator=_generator(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    rotation: Tensor = q * r.diagonal().sign()
    return rotation


def random_hadamard(width: int, seed: int) -> Tensor:
    """Return a Hadamard matrix with random signs, orthogonal, of shape `(width, width)`.

    A width that is no power of two is split into one and an odd factor, whose part is uniform among
    the orthogonal matrices (in place of the tables of QuaRot; Ashkboos et al., 2024).
    """
    power = width & -width
    matrix = random_orthogonal(width // power, seed)
    for _ in range(power.bit_length() - 1):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    draws = torch.randint(2, (width,), generator=_generator(seed), dtype=torch.float64)
    return (2 * draws - 1)[:, None] * matrix / math.sqrt(power)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)
