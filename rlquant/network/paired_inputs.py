"""What a layer reads in a quantized network, and what it misses of the float one.

The missing part can be made up for by other weights, in the least squares of the layer's outputs.
How far is decided on samples that the weights were not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlquant.network.input_sums import input_rows, parts_of
from rlquant.rounding.factor import DAMPING
from rlquant.samples import counted


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of some rows, float32, shape `(groups, fan_in, fan_in)`.

    Attributes:
        second: mean of x x^T, where x is what the layer reads in the quantized network.
        missing: mean of (y - x) x^T, where y is what it reads in the float network.
        count: of the rows.
    """

    second: Tensor
    missing: Tensor
    count: int

    @classmethod
    def together(cls, first: Moments, other: Moments) -> Moments:
        """Return the moments of the rows of both."""
        count = first.count + other.count
        parts = [(each, each.count / max(1, count)) for each in (first, other) if each.count]
        second, missing = (
            torch.stack([getattr(each, name) * share for each, share in parts]).sum(dim=0)
            for name in ("second", "missing")
        )
        return cls(second, missing, count)

    def change(self, rows: Tensor) -> Tensor:
        """Return what to add to weights so that their outputs on x come nearest to those on y.

        Outputs W (y - x) are missing: least squares ask for W M (S + d)^-1, with the moments M of
        what is missing, S and a damping d.

        Args:
            rows: weights W, float64, shape `(groups, channels, fan_in)`.
        """
        damped = self.second.double()
        diagonal = damped.diagonal(dim1=1, dim2=2)
        mean = diagonal.mean(dim=1, keepdim=True)
        diagonal += DAMPING * torch.where(mean > 0, mean, 1.0)
        found: Tensor = torch.linalg.solve(damped, self._wanted(rows).transpose(1, 2))
        return found.transpose(1, 2)

    def gain(self, rows: Tensor, change: Tensor) -> tuple[float, float]:
        """Return a and b: a share s of a change adds b s^2 - 2 a s to the squared error.

        It is the mean over rows, summed over output channels.
        """
        a = float((self._wanted(rows) * change).sum())
        b = float(((change @ self.second.double()) * change).sum())
        return a, b

    def _wanted(self, rows: Tensor) -> Tensor:
        return rows @ self.missing.double()


@dataclass(frozen=True, slots=True, eq=False)
class PairedInputs:
    """Moments of two inputs of a layer on the same samples, up to a power of two.

    Attributes:
        halves: of the first half of the samples and of the second one.
        whole: of all.
    """

    halves: tuple[Moments, Moments]
    whole: Moments

    @classmethod
    def of(
        cls, module: nn.Module, given: Tensor, wanted: Tensor, mask: Tensor | None, *, centred: bool
    ) -> PairedInputs:
        """Return the moments of what a layer reads.

        Args:
            module: a linear layer or a convolution.
            given: what it reads in the quantized network, samples first.
            wanted: the same in the float network.
            mask: which positions count, see `counted`.
            centred: whether moments are about the means, as a constant shift of the outputs is
                taken back elsewhere.
        """
        if isinstance(module, nn.Linear):
            given, wanted = counted(given, mask), counted(wanted, mask)
        largest = float(max(given.abs().max(), wanted.abs().max()))
        unit = 2.0 ** -math.frexp(largest)[1] if 0 < largest < math.inf else 1.0
        means = _means(_Pairs(module, given, wanted, unit)) if centred else (0.0, 0.0)
        middle = -(-len(given) // 2)
        first = _moments(_Pairs(module, given[:middle], wanted[:middle], unit), means)
        other = _moments(_Pairs(module, given[middle:], wanted[middle:], unit), means)
        return cls((first, other), Moments.together(first, other))

    def target(self, weight: Tensor) -> Tensor:
        """Return the weight to quantize: on x it gives nearly what the given one gives on y.

        The change is fitted to all samples, and as much of it is made as would have been best on
        the half of the samples that another fit had not seen.

        Args:
            weight: float, output channels first.
        """
        groups, fan_in = self.whole.second.shape[:2]
        rows = weight.detach().double().reshape(groups, -1, fan_in)
        share = self.share(rows)
        if not share:
            return weight
        moved = rows + share * self.whole.change(rows)
        return moved.reshape(weight.shape).to(weight.dtype)

    def share(self, rows: Tensor) -> float:
        """Return how much of a change fitted to one half helps on the other, 0..1.

        Args:
            rows: weights, float64, shape `(groups, channels, fan_in)`.
        """
        if not all(half.count for half in self.halves):
            return 0.0
        pairs = (self.halves, self.halves[::-1])
        gains = [unseen.gain(rows, fitted.change(rows)) for fitted, unseen in pairs]
        a, b = (sum(parts) for parts in zip(*gains, strict=True))
        return min(1.0, max(0.0, a / b)) if b > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Rows of both inputs, part by part."""

    module: nn.Module
    given: Tensor
    wanted: Tensor
    unit: float

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not len(self.given):
            return
        both = (parts_of(self.module, inputs) for inputs in (self.given, self.wanted))
        for parts in zip(*both, strict=True):
            x, y = (input_rows(self.module, part).float().mul(self.unit) for part in parts)
            yield x, y


def _means(pairs: _Pairs) -> tuple[Tensor, Tensor]:
    """Return the means of both rows, float32, shape `(groups, 1, fan_in)`."""
    sums: list[tuple[Tensor, Tensor]] = []
    count = 0
    for x, y in pairs:
        count += x.shape[1]
        sums.append((_sum(x), _sum(y)))
    x, y = (torch.stack(own).sum(dim=0) / count for own in zip(*sums, strict=True))
    return x.float(), y.float()


def _sum(rows: Tensor) -> Tensor:
    return rows.sum(dim=1, keepdim=True, dtype=torch.float64)


def _moments(pairs: _Pairs, means: tuple[Tensor | float, Tensor | float]) -> Moments:
    second, missing, count = torch.zeros(()), torch.zeros(()), 0
    for x, y in pairs:
        x, y = x - means[0], y - means[1]
        second = second.to(x.device) + x.transpose(1, 2) @ x
        missing = missing.to(x.device) + (y - x).transpose(1, 2) @ x
        count += x.shape[1]
    return Moments(second / max(1, count), missing / max(1, count), count)
