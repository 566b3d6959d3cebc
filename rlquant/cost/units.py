"""Whole units of costs, and the number that a budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction


def most_within(limit: float, near: Fraction, value: Callable[[int], float]) -> int:
    """Return the most whole units whose value is within `limit`; `near` is the exact quotient.

    Compared as the floats that scores show, so that a budget equal to a score's value keeps it.
    """
    units = math.floor(near)
    return units + 1 if value(units + 1) <= limit else units
