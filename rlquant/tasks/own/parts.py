"""Samples in three disjoint parts: half train, a quarter validates, a quarter tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from rlquant.errors import DataError

T = TypeVar("T")

FEWEST = 8
"""Samples that there must be."""


def in_parts(samples: Sequence[T], most: Mapping[str, int], what: str) -> dict[str, list[T]]:
    """Return samples by part, from places that are evenly spread over the part's stretch.

    Args:
        samples: neighbours may be alike, so that every part is a stretch of them.
        most: how many a part may have: train, validation and test.
        what: the samples in words, for the error.

    Raises:
        DataError: there are fewer than `FEWEST`.
    """
    count = len(samples)
    if count < FEWEST:
        raise DataError(f"there are {count} {what}; give at least {FEWEST}")
    ends = {"train": (0, count // 2), "validation": (count // 2, 3 * count // 4)}
    ends["test"] = (3 * count // 4, count)
    return {part: _spread(samples[slice(*ends[part])], most[part]) for part in ends}


def _spread(samples: Sequence[T], most: int) -> list[T]:
    taken = min(most, len(samples))
    return [samples[i * len(samples) // taken] for i in range(taken)]
