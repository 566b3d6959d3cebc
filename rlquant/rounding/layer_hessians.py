"""The Hessians of a network's layers, with what is derived of them for all choices of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor

from rlquant.rounding.factor import DAMPING, Factor
from rlquant.rounding.triangles import Triangles

KEPT_BYTES = 2**26
"""Of factors that are kept beside the Hessians of a network's layers."""


class LayerHessians(Mapping[str, Tensor]):
    """The Hessians of a network's layers, measured when the first of them is asked for.

    Layers that have the very same one share what is derived of it.

    Args:
        matrices: gives, by layer, those of float32 matrices of shape `(groups, fan_in, fan_in)`.
        diagonals: gives their diagonals, shape `(groups, fan_in)`, where these are cheaper to
            measure alone; by default they are those of the matrices.
        kept_bytes: of factors, beside the last one.
    """

    def __init__(
        self,
        matrices: Callable[[], Mapping[str, Triangles]],
        diagonals: Callable[[], Mapping[str, Tensor]] | None = None,
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._measure, self._measure_diagonals = matrices, diagonals
        self._factors: dict[Triangles, Factor] = {}
        self._last: tuple[Triangles, Factor] | None = None
        self._kept_bytes = kept_bytes

    @classmethod
    def of(cls, matrices: Mapping[str, Tensor]) -> LayerHessians:
        """Return Hessians that are known, by layer, shape `(groups, fan_in, fan_in)`."""
        return cls(lambda: {name: Triangles.of(found) for name, found in matrices.items()})

    def with_diagonals(self, diagonals: Mapping[str, Tensor]) -> LayerHessians:
        """Return the same with other diagonals, by which weights on their own are quantized."""
        return LayerHessians(lambda: self._matrices, lambda: diagonals, kept_bytes=self._kept_bytes)

    @cached_property
    def _matrices(self) -> Mapping[str, Triangles]:
        return self._measure()

    @cached_property
    def _diagonals(self) -> Mapping[str, Tensor]:
        if self._measure_diagonals is not None:
            return self._measure_diagonals()
        return {name: self[name].diagonal(dim1=1, dim2=2) for name in self}

    def __getitem__(self, layer: str) -> Tensor:
        """Return the Hessian of a layer, made of what is kept at every call."""
        return self._matrices[layer].symmetric()

    def __contains__(self, layer: object) -> bool:
        return layer in self._matrices

    def __iter__(self) -> Iterator[str]:
        return iter(self._matrices)

    def __len__(self) -> int:
        return len(self._matrices)

    def importance(self, layer: str) -> Tensor | None:
        """Return what errors of weights count by input, each on its own; None where not known.

        Damped as the factor is: an input that the samples leave at 0 may vary elsewhere.

        Returns:
            Shape `(groups, fan_in)`, 0 or more.
        """
        diagonal = self._diagonals.get(layer)
        if diagonal is None:
            return None
        mean = diagonal.mean(dim=1, keepdim=True)
        return diagonal.clamp_min(0) + torch.where(mean > 0, DAMPING * mean, 1.0)

    def factor(self, layer: str) -> Factor:
        """Return the factor of a layer's Hessian.

        The last one is kept, and others as long as there is room. None of those goes for another:
        evaluations ask for the layers in turn, so that the least recently used one comes next.
        """
        matrix = self._matrices[layer]
        if matrix in self._factors:
            return self._factors[matrix]
        if self._last is None or self._last[0] is not matrix:
            found = Factor.of(matrix.symmetric())
            if self._factor_bytes + found.nbytes <= self._kept_bytes:
                self._factors[matrix] = found
                return found
            self._last = matrix, found
        return self._last[1]

    @property
    def _factor_bytes(self) -> int:
        return sum(factor.nbytes for factor in self._factors.values())
