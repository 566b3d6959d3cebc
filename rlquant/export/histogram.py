"""How many tensors or layers of an export there are of each type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def histogram(types: Iterable[str]) -> dict[str, int]:
    """Return how many there are of each type, most first."""
    return dict(Counter(types).most_common())
