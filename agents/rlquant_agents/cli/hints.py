"""Commands that the tool proposes, as they work when they are pasted into the same shell."""

from __future__ import annotations

from rlquant.pasting import near, program, python

__all__ = ["near", "python", "rlquant"]


def rlquant() -> str:
    """Return what starts the tool: `rlquant`, or the module where that is not on the path."""
    return program("rlquant") or f"{python()} -m rlquant"
