"""Cholesky factors of layer Hessians, which GPTQ compensates errors by."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

DAMPING = 0.01
"""Added to the diagonal of the Hessian, as a share of its mean: inputs may depend on each other."""
KEPT_BYTES = 2**28
"""Of factors that are kept beside the Hessians of a network's layers."""


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A layer Hessian H as L^T D L, its inputs in the order in which weights are assigned.

    Attributes:
        order: of the inputs, those with the largest second moments first, int64, shape
            `(groups, fan_in)`.
        lower: L, lower triangular with a diagonal of 0 in place of its ones: by how much of each
            earlier weight's error a weight makes up for it; float32, shape
            `(groups, fan_in, fan_in)`.
    """

    order: Tensor
    lower: Tensor

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
        lower = (root / root.diagonal(dim1=1, dim2=2)[:, None, :]).flip(1, 2).transpose(1, 2)
        lower.diagonal(dim1=1, dim2=2).zero_()
        return cls(order, lower.float().contiguous())

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self.order.nbytes + self.lower.nbytes


@runtime_checkable
class Factored(Protocol):
    """Layer Hessians that keep their factors between calls."""

    def factor(self, layer: str) -> Factor:
        """Return the factor of a layer's Hessian."""


class LayerHessians(Mapping[str, Tensor]):
    """The Hessians of a network's layers, and the factors of those that were used last.

    Args:
        matrices: by layer, float32, shape `(groups, fan_in, fan_in)`.
        kept_bytes: of factors; one is kept whatever its size.
    """

    def __init__(self, matrices: Mapping[str, Tensor], kept_bytes: int = KEPT_BYTES) -> None:
        self._matrices = dict(matrices)
        self._factors: OrderedDict[str, Factor] = OrderedDict()
        self._kept_bytes = kept_bytes

    def __getitem__(self, layer: str) -> Tensor:
        return self._matrices[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._matrices)

    def __len__(self) -> int:
        return len(self._matrices)

    def factor(self, layer: str) -> Factor:
        """Return the factor of a layer's Hessian."""
        if layer in self._factors:
            self._factors.move_to_end(layer)
            return self._factors[layer]
        found = self._factors[layer] = Factor.of(self._matrices[layer])
        while len(self._factors) > 1 and sum(f.nbytes for f in self._factors.values()) > (
            self._kept_bytes
        ):
            self._factors.popitem(last=False)
        return found
