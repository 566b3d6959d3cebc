"""What an environment shows of an episode: the decisions so far, as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet
from rlquant.errors import RenderModeError

RENDER_MODES = ("ansi", "rgb_array", "human")
"""Text, a picture, and text that is written to standard output at every step."""

Picture = npt.NDArray[np.uint8]
HEIGHT, MOST_WIDTH, BAR, GAP, MARGIN = 128, 640, 24, 8, 8
"""Pixels: of the picture, and of a layer's bar, of the gap between two, where there is room."""
WHITE, GREY, BLUE, RED = (255, 255, 255), (224, 224, 224), (31, 119, 180), (214, 39, 40)


def require_render_mode(render_mode: Any) -> str | None:
    """Return a mode, or None for no rendering; `RenderModeError` for anything else."""
    if render_mode is None or (isinstance(render_mode, str) and render_mode in RENDER_MODES):
        return render_mode
    raise RenderModeError(f"render_mode={render_mode!r}, use one of {RENDER_MODES} or None")


def require_no_rendering(render_mode: str | None) -> None:
    """Raise `RenderModeError` for any mode but None."""
    if render_mode is not None:
        raise RenderModeError(f"render_mode={render_mode!r}: there is nothing to render, use None")


def as_text(feasible: FeasibleSet, options: Sequence[int], spent: int) -> str:
    """Return a table of the layers decided so far, and what is left of the budget.

    Args:
        feasible: the layers, their options and the budget.
        options: that were executed, in the order of the layers.
        spent: units of these layers, fixed part included.
    """
    width = max(map(len, feasible.names), default=0)
    lines = [f"{'layer':{width}}  choice"]
    lines += [
        f"{name:{width}}  {feasible.options[option].in_words}"
        for name, option in zip(feasible.names, options, strict=False)
    ]
    value = feasible.cost.value
    lines.append(
        f"{len(options)} of {len(feasible)} layers decided; "
        f"{value(spent):g} of {value(feasible.limit):g} spent"
    )
    return "\n".join(lines) + "\n"


def as_picture(feasible: FeasibleSet, options: Sequence[int], spent: int) -> Picture:
    """Return a bar of bits for each layer and, in red, one of what is spent, `(height, width, 3)`.

    A full bar is the widest option, or the budget; the size is the same at every step. Arguments
    are those of `as_text`.
    """
    bars = len(feasible) + 1
    step = max(1, min(BAR + GAP, (MOST_WIDTH - 2 * MARGIN) // bars))
    bar = max(1, step - min(GAP, step // 4))
    picture = np.full((HEIGHT, 2 * MARGIN + bars * step, 3), WHITE, dtype=np.uint8)
    widest = max(option.arithmetic_bits for option in feasible.options)
    shares = [feasible.options[option].arithmetic_bits / widest for option in options]
    shares += [0.0] * (len(feasible) - len(shares)) + [spent / max(1, feasible.limit)]
    full = HEIGHT - 2 * MARGIN
    for number, share in enumerate(shares):
        left = MARGIN + number * step
        picture[MARGIN : HEIGHT - MARGIN, left : left + bar] = GREY
        top = HEIGHT - MARGIN - round(full * min(share, 1.0))
        picture[top : HEIGHT - MARGIN, left : left + bar] = RED if number == bars - 1 else BLUE
    return picture
