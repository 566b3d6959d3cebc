"""The bits of each layer in a picture, with all that was decided written beside."""

from __future__ import annotations

from dataclasses import dataclass

from rlquant import LayerChoice
from rlquant_agents.reporting.drawing import WIDTH, chart, framed, path, text
from rlquant_agents.reporting.markup import Markup, block, element
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.reporting.words import choice_in_words

ROW, BAR, HEAD = 22, 14, 26
"""Heights of a row, of the bar in it, and of the numbers above."""
LETTER = 7.2
"""Width that a letter takes at most, on average."""
LONGEST = 40
"""Letters of a name beyond which it is shortened."""
SHORT, LONG = 120.0, 340.0
"""Between these the longest bar takes what the words leave."""


def layer_chart(run: RunFiles) -> Markup:
    """Draw a bar for each layer in execution order, first on top."""
    choices = list(run.config)
    widest = max([1, *(c.arithmetic_bits for c in (*run.facts.options, *choices) if not _kept(c))])
    names = LETTER * max(len(_shortened(_name(c.layer))) for c in choices) + 16
    words = LETTER * max(len(choice_in_words(c)) for c in choices) + 8
    place = _Bars(names, min(LONG, max(SHORT, WIDTH - names - words)) / widest, widest)
    height = HEAD + ROW * len(choices) + 6
    grid = [_grid(bits, place, height) for bits in _marks(widest)]
    rows = [_row(choice, place, HEAD + ROW * i) for i, choice in enumerate(choices)]
    told = "; ".join(f"{_name(c.layer)}: {choice_in_words(c)}" for c in choices)
    drawn = chart("layers", "Bits of each layer", told, height, *grid, *rows)
    return framed(drawn, "Bits of each layer")


@dataclass(frozen=True, slots=True)
class _Bars:
    """Where bars begin, how long a bit is, and how many bits the longest bar has."""

    start: float
    bit: float
    widest: int


def _kept(choice: LayerChoice) -> bool:
    return choice.method == "float"


def _marks(widest: int) -> list[int]:
    """Return bit-widths at which a line is drawn."""
    step = 1 if widest <= 4 else 2 if widest <= 8 else 4
    return list(range(0, widest + 1, step))


def _grid(bits: int, bars: _Bars, height: float) -> Markup:
    at = bars.start + bars.bit * bits
    line = path([(at, HEAD - 6), (at, height - 6)], "grid")
    return block("g", line, text(at, HEAD - 11, str(bits), anchor="middle", class_="faint"))


def _row(choice: LayerChoice, bars: _Bars, top: float) -> Markup:
    """Return name, bar and words of a layer; a layer kept in float has a grey bar to the end."""
    kept = _kept(choice)
    width = bars.bit * (bars.widest if kept else choice.arithmetic_bits)
    bar = element(
        "rect",
        class_="solid-grey" if kept else "solid0",
        x=f"{bars.start:.1f}",
        y=f"{top + (ROW - BAR) / 2:g}",
        width=f"{width:.1f}",
        height=BAR,
    )
    base = top + ROW / 2 + 4.5
    name = text(bars.start - 8, base, _shortened(_name(choice.layer)), anchor="end")
    return block("g", name, bar, text(bars.start + width + 8, base, choice_in_words(choice)))


def _name(layer: str) -> str:
    return layer or "network"


def _shortened(name: str) -> str:
    """Return a name with its middle left out where it is too long; the table has all of it."""
    if len(name) <= LONGEST:
        return name
    half = (LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
