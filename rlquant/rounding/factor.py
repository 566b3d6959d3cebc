"""Cholesky factors of layer Hessians, which GPTQ compensates errors by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.rounding.triangles import Triangles

DAMPING = 0.01
"""Added to the diagonal of the Hessian, as a share of its mean: inputs may depend on each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A layer Hessian H as L^T D L, its inputs in the order in which weights are assigned.

    Attributes:
        order: of the inputs, those with the largest second moments first, int64, shape
            `(groups, fan_in)`.
        kept: of L, float32; see `lower`.
        pivots: D: by how much the squared error of a weight counts while those after it can make
            up for it, in the inputs' own order, float32, shape `(groups, fan_in)`.
    """

    order: Tensor
    kept: Triangles
    pivots: Tensor

    @classmethod
    def of(cls, hessian: Tensor, damping: float = DAMPING) -> Factor:
        """Factor a Hessian, damped.

        Where rounding left it with negative eigenvalues, the damping grows until there is a
        factor. Inputs that never vary count alike. Memory is a few times that of the Hessian.

        Args:
            hessian: finite, shape `(groups, fan_in, fan_in)`.
            damping: above 0; see `DAMPING`.
        """
        diagonal = hessian.diagonal(dim1=1, dim2=2).double()
        order = diagonal.argsort(dim=1, descending=True, stable=True)
        backward = order.flip(1)
        rows = hessian.double().gather(1, backward[:, :, None].expand_as(hessian))
        matrix = rows.gather(2, backward[:, None, :].expand_as(hessian))
        mean = diagonal.mean(dim=1, keepdim=True)
        tiny = torch.finfo(torch.float64).tiny / damping
        added = damping * torch.where(mean > tiny, mean, 1.0)
        varying = matrix.diagonal(dim1=1, dim2=2)
        plain = varying.clone()
        while True:
            varying.copy_(plain + added)
            root, failed = torch.linalg.cholesky_ex(matrix)
            if not failed.any():
                break
            added = torch.where(failed[:, None] != 0, 10 * added, added)
        # Turned around, H = U U^T with U upper triangular; its columns over their last are L^T.
        roots = root.diagonal(dim1=1, dim2=2)
        pivots = torch.empty_like(diagonal).scatter_(1, backward, roots.square())
        lower = (root / roots[:, None, :]).flip(1, 2).transpose(1, 2)
        lower.diagonal(dim1=1, dim2=2).zero_()
        return cls(order, Triangles.of(lower.float()), pivots.float())

    @property
    def lower(self) -> Tensor:
        """L, lower triangular with a diagonal of 0 in place of its ones, made at every call.

        By how much of each earlier weight's error a weight makes up for it; float32, shape
        `(groups, fan_in, fan_in)`.
        """
        return self.kept.triangular()

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self.order.nbytes + self.kept.nbytes + self.pivots.nbytes
