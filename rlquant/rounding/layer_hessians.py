"""The Hessians of a network's layers, with what is derived of them for all choices of a layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor

from rlquant.rounding.factor import DAMPING, Factor

KEPT_BYTES = 2**28
"""Of factors that are kept beside the Hessians of a network's layers."""

Measure = Callable[[], Mapping[str, Tensor]]


class LayerHessians(Mapping[str, Tensor]):
    """The Hessians of a network's layers, measured when the first of them is asked for.

    Args:
        matrices: gives, by layer, float32, shape `(groups, fan_in, fan_in)`.
        diagonals: gives their diagonals, shape `(groups, fan_in)`, where these are cheaper to
            measure alone; by default they are those of the matrices.
        kept_bytes: of factors; one is kept whatever its size.
    """

    def __init__(
        self, matrices: Measure, diagonals: Measure | None = None, *, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._measure, self._measure_diagonals = matrices, diagonals
        self._factors: OrderedDict[str, Factor] = OrderedDict()
        self._kept_bytes = kept_bytes

    @cached_property
    def _matrices(self) -> Mapping[str, Tensor]:
        return self._measure()

    @cached_property
    def _diagonals(self) -> Mapping[str, Tensor]:
        if self._measure_diagonals is not None:
            return self._measure_diagonals()
        return {name: found.diagonal(dim1=1, dim2=2) for name, found in self._matrices.items()}

    def __getitem__(self, layer: str) -> Tensor:
        return self._matrices[layer]

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
        """Return the factor of a layer's Hessian."""
        if layer in self._factors:
            self._factors.move_to_end(layer)
            return self._factors[layer]
        found = self._factors[layer] = Factor.of(self._matrices[layer])
        while len(self._factors) > 1 and self._factor_bytes > self._kept_bytes:
            self._factors.popitem(last=False)
        return found

    @property
    def _factor_bytes(self) -> int:
        return sum(factor.nbytes for factor in self._factors.values())
