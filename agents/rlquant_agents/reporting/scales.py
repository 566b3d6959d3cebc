"""Axes: numbers to places on paper, and the round numbers that are written beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

NARROW = 4.0
"""A logarithmic axis with a smaller ratio of ends than this has equally spaced numbers."""
MOST_TICKS = 7
LARGEST = 1e100
"""What is beyond lies at an end, as infinite numbers do: ratios and sums of ends stay finite."""


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Attributes:
        low, high: the numbers at its ends.
        start, end: where the ends lie on paper.
        log: whether equal ratios, not equal differences, are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return where a number lies; what is beyond an end lies at that end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers within the ends."""
        if not self.log or self.high < NARROW * self.low:
            return _even(self.low, self.high)
        return _by_ratio(self.low, self.high)


def scale_of(values: Iterable[float], start: float, end: float, *, log: bool = False) -> Scale:
    """Return an axis that shows all numbers up to `LARGEST` with some room at both ends.

    Args:
        values: what is shown; a logarithmic axis becomes a plain one where not all are positive,
            or one is below 1 / `LARGEST`.
        start: where the lower end lies.
        end: where the upper end lies.
        log: whether the axis should be logarithmic.
    """
    finite = [value for value in values if abs(value) <= LARGEST] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if log and low >= 1 / LARGEST:
        room = max((high / low) ** 0.05, 1.01)
        return Scale(low / room, high * room, start, end, log=True)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - room, high + room, start, end)


def _even(low: float, high: float) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    every = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [tick for tick in every if low <= tick <= high]  # a rounding may be beyond an end


def _by_ratio(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten; of a long axis only the powers, or some of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        every = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= MOST_TICKS + 1:
            return ticks
    return ticks[:: -(-len(ticks) // MOST_TICKS)]
