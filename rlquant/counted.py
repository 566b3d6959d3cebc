"""Numbers of things as messages say them: "1 layer", "2 layers"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless the number is 1.

    Thousands are separated: "12,000 evaluations".
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
