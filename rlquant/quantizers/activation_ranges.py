"""The range of a layer's inputs that its activation grid covers, and the ways to choose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.errors import unknown_name
from rlquant.quantizers.activation import activation_grid
from rlquant.quantizers.tensor import require_quantizable

RangeMethod = Literal["mse", "minmax", "percentile"]

PERCENTILES = (0.1, 99.9)
LARGEST_KEPT, DRAWN = 2048, 8192
"""Of the inputs, so many with the largest magnitudes are looked at, and so many of the others."""
COARSE, FINE = 0.9, 0.95
"""Ratios of neighbouring candidates, of both ends of a range together and of one end."""
FINE_STEPS = tuple(k for k in range(-6, 7) if k)
FINE_ROUNDS = 2


class InputRange(Protocol):
    """The range of one layer's inputs, which may depend on the width of the grid."""

    def at(self, bits: int) -> tuple[float, float]:
        """Return (low, high) for a grid of `bits` bits."""

    def joined(self, other: Any) -> Self:
        """Return the range of these inputs and of others together, of the same method."""


@dataclass(frozen=True, slots=True)
class FixedRange:
    """A range that is the same for all widths."""

    low: float
    high: float

    @classmethod
    def of_extremes(cls, x: Tensor) -> FixedRange:
        """Return the range that covers all inputs."""
        low, high = x.aminmax()
        return cls(float(low), float(high))

    @classmethod
    def of_percentiles(cls, x: Tensor) -> FixedRange:
        """Return the range between two percentiles of the inputs that are not 0.

        Zeros are on every grid; counted, they would hide what is there beside them.
        """
        values = x.detach().double().cpu().numpy()
        values = values[values != 0.0]
        if not values.size:
            return cls(0.0, 0.0)
        low, high = np.percentile(values, PERCENTILES)
        return cls(float(low), float(high))

    def at(self, bits: int) -> tuple[float, float]:
        """Return (low, high)."""
        return self.low, self.high

    def joined(self, other: FixedRange) -> FixedRange:
        """Return the range that covers both."""
        return FixedRange(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True, eq=False)
class LeastErrorRange:
    """The range whose grid has the least squared error on the inputs, for each width.

    The error is taken on a bounded choice of the inputs, the largest magnitudes among them. The
    range that covers all inputs is a candidate, so that no other one is taken unless it is better.

    Attributes:
        low, high: extremes of the inputs.
        values: of the inputs looked at, float64, shape `(n,)`.
        weights: how many inputs each of them stands for, shape `(n,)`.
    """

    low: float
    high: float
    values: Tensor
    weights: Tensor
    _found: dict[int, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, x: Tensor) -> LeastErrorRange:
        """Look at the inputs of one call."""
        flat = x.detach().flatten()
        low, high = flat.aminmax()
        return cls(float(low), float(high), *_thinned(flat))

    def joined(self, other: LeastErrorRange) -> LeastErrorRange:
        """Return the range of the inputs of several calls."""
        values = torch.cat([self.values, other.values])
        weights = torch.cat([self.weights, other.weights])
        low, high = min(self.low, other.low), max(self.high, other.high)
        return LeastErrorRange(low, high, *_thinned(values, weights))

    def at(self, bits: int) -> tuple[float, float]:
        """Return (low, high) for a grid of `bits` bits; searched for once."""
        if bits not in self._found:
            self._found[bits] = self._search(bits)
        return self._found[bits]

    def _search(self, bits: int) -> tuple[float, float]:
        """Narrow both ends together first, then one at a time; the widest of equals."""
        best = whole = min(self.low, 0.0), max(self.high, 0.0)
        least = self._error(whole, bits)

        def keep_better(candidate: tuple[float, float]) -> None:
            nonlocal best, least
            if candidate != best and (error := self._error(candidate, bits)) < least:
                best, least = candidate, error

        ratio, smallest = COARSE, self._typical / (max(-whole[0], whole[1]) or 1.0)
        while ratio >= smallest > 0.0:
            keep_better((ratio * whole[0], ratio * whole[1]))
            ratio *= COARSE
        for _ in range(FINE_ROUNDS):
            low, high = best
            for step in FINE_STEPS:
                keep_better((low, min(whole[1], high * FINE**step)))
            high = best[1]
            for step in FINE_STEPS:
                keep_better((max(whole[0], low * FINE**step), high))
        return (self.low, self.high) if best == whole else best

    def _error(self, ends: tuple[float, float], bits: int) -> float:
        scale, zero_point = activation_grid(*ends, bits)
        integers = (self.values / scale).round_().add_(zero_point).clamp_(0, 2**bits - 1)
        errors = integers.sub_(zero_point).mul_(scale).sub_(self.values).square_()
        return float(errors @ self.weights)

    @property
    def _typical(self) -> float:
        """The median magnitude of the inputs that are not 0; narrower ranges are not looked at."""
        magnitudes, order = self.values.abs().sort()
        counts = torch.where(magnitudes > 0, self.weights[order], 0.0).cumsum(0)
        return float(magnitudes[torch.searchsorted(counts, counts[-1] / 2)])


def _thinned(values: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return a bounded choice of values, and how many each of them stands for.

    The largest magnitudes are in it, and others that are drawn, the same in every process. Zeros
    are left out of these: they are on every grid.
    """
    count = len(values)
    if count <= LARGEST_KEPT + DRAWN:
        kept = values.to("cpu", torch.float64, copy=True)
        return kept, torch.ones_like(kept) if weights is None else weights
    largest = values.abs().topk(LARGEST_KEPT, sorted=False).indices
    draws = torch.Generator("cpu").manual_seed(0)
    drawn = torch.randint(count, (8 * DRAWN,), generator=draws, device="cpu").to(values.device)
    drawn = drawn[~torch.isin(drawn, largest)]
    share = (count - LARGEST_KEPT) / max(len(drawn), 1)
    drawn = drawn[values[drawn] != 0]
    share *= len(drawn) / max(min(len(drawn), DRAWN), 1)
    chosen = torch.cat([largest, drawn[:DRAWN]])
    ones = torch.ones(len(chosen), dtype=torch.float64, device="cpu")
    counts = ones if weights is None else weights[chosen]
    counts[LARGEST_KEPT:] *= share
    return values[chosen].to("cpu", torch.float64), counts


METHODS: Mapping[RangeMethod, Callable[[Tensor], InputRange]] = {
    "mse": LeastErrorRange.of,
    "minmax": FixedRange.of_extremes,
    "percentile": FixedRange.of_percentiles,
}
"""How ranges are chosen, by name: for the least squared error, by the extremes, or between the
0.1st and the 99.9th percentile."""


def require_range_method(method: str) -> None:
    """Raise `UnknownNameError` unless `method` is a `RangeMethod`."""
    if method not in METHODS:
        raise unknown_name("activation range", method, METHODS)


@explained
def activation_range(x: Tensor, method: RangeMethod = "mse") -> InputRange:
    """Return the range that a tensor of activations should keep.

    Args:
        x: float, any shape.
        method: a name in `METHODS`.

    Raises:
        QuantizationError: `x` is empty, not finite or not of a float type.
        UnknownNameError: an unknown method.
    """
    require_range_method(method)
    require_quantizable(x, "activations")
    return METHODS[method](x)
