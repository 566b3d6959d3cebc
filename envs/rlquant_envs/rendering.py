"""Environments of numbers alone, in which there is nothing to see."""

from __future__ import annotations

from rlquant.errors import RenderModeError


def require_no_rendering(render_mode: str | None) -> None:
    """Raise `RenderModeError` for any mode but None."""
    if render_mode is not None:
        raise RenderModeError(f"render_mode={render_mode!r}: there is nothing to render, use None")
