"""What all charts of the page share: an SVG with words for those who cannot see it, axes, marks.

Colours are classes of the page's style, so that a chart follows the page into the dark and onto
paper; points are one path, so that thousands of evaluations stay a small page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from rlquant_agents.reporting.markup import Markup, block, element, join
from rlquant_agents.reporting.scales import Scale

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 704, 14, 346
COLORS = 8
"""How many colours the style has; later lines are dashed."""
DASHED = "7 4"
MANY = 400
"""More dots than these are drawn smaller."""

Point = tuple[float, float]


def chart(name: str, title: str, told: str, height: float, *parts: str) -> Markup:
    """Return an SVG as wide as the page's text.

    Args:
        name: a word that no other chart has.
        title: what it shows.
        told: what can be seen in it, in a sentence or two.
        height: at a width of `WIDTH`.
        parts: elements of SVG.
    """
    head = (
        element("title", title, id=f"{name}-title"),
        element("desc", told, id=f"{name}-told"),
    )
    return block(
        "svg",
        *head,
        *parts,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-told",
    )


class Mark(NamedTuple):
    """Something drawn in a chart, and its entry in the chart's key."""

    drawn: Markup
    key: Markup


def framed(drawn: Markup, title: str, marks: Iterable[Mark] = ()) -> Markup:
    """Return a chart that scrolls where the page is narrow, with its key below."""
    scrolled = block("div", drawn, class_="wide", role="region", aria_label=title, tabindex="0")
    keys = [mark.key for mark in marks]
    listed = block("figcaption", block("ul", *keys, class_="keys")) if keys else ""
    return block("figure", scrolled, listed)


def key(words: str, *sample: Markup) -> Markup:
    """Return an entry of a chart's key: a mark drawn within 36 x 16, and what it means."""
    drawn = element("svg", *sample, viewBox="0 0 36 16", aria_hidden="true")
    return element("li", drawn, words)


def line_mark(drawn: Markup, words: str, style: str, dashes: str = "") -> Mark:
    """Return a line with its entry in the key."""
    return Mark(drawn, key(words, path([(2, 8), (34, 8)], style, dashes)))


def dots_mark(points: Iterable[Point], words: str, style: str) -> Mark:
    """Return dots with their entry in the key."""
    return Mark(dots(points, style), key(words, dots([(18, 8)], style)))


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> Markup:
    """Return grid, numbers and labels of two axes."""
    parts = []
    for tick in x.ticks():
        at = x.place(tick)
        parts.append(path([(at, TOP), (at, BOTTOM)], "grid"))
        parts.append(text(at, BOTTOM + 18, number(tick), anchor="middle"))
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(path([(LEFT, at), (RIGHT, at)], "grid"))
        parts.append(text(LEFT - 8, at + 4, number(tick), anchor="end"))
    parts.append(text((LEFT + RIGHT) / 2, HEIGHT - 10, x_label, anchor="middle"))
    middle = (TOP + BOTTOM) / 2
    turned = f"rotate(-90 14 {middle:g})"
    parts.append(text(14, middle, y_label, anchor="middle", transform=turned))
    return join(*(Markup(f"{part}\n") for part in parts))


def number(value: float) -> str:
    """Return a tick's number."""
    return f"{value:,.10g}"


def text(x: float, y: float, words: str, *, anchor: str = "start", **attributes: str) -> Markup:
    """Return words at a place."""
    return element("text", words, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor, **attributes)


def path(points: Sequence[Point], style: str, dashes: str = "") -> Markup:
    """Return a line through points."""
    dashed = {"stroke_dasharray": dashes} if dashes else {}
    return element("path", class_=style, d="M" + "L".join(map(_at, points)), **dashed)


def steps(points: Sequence[Point], style: str, dashes: str = "") -> Markup:
    """Return a line that keeps its height up to the next point."""
    corners = list(points[:1])
    for before, after in pairwise(points):
        corners += [(after[0], before[1]), after]
    return path(corners, style, dashes)


def dots(points: Iterable[Point], style: str) -> Markup:
    """Return round dots, those at one place once."""
    places = dict.fromkeys(map(_at, points))
    size = "fine dots" if len(places) > MANY else "dots"
    return element("path", class_=f"{size} {style}", d="".join(f"M{at}h0" for at in places))


def square(at: Point, style: str, half: float = 5.0) -> Markup:
    """Return a filled square."""
    x, y = at
    side = f"{2 * half:g}"
    corner = {"x": f"{x - half:.1f}", "y": f"{y - half:.1f}"}
    return element("rect", class_=style, width=side, height=side, **corner)


def star(at: Point, style: str, radius: float = 10.0) -> Markup:
    """Return a filled star of five points."""
    corners = []
    for i in range(10):
        angle, length = math.pi * (i / 5 - 0.5), radius * (0.4 if i % 2 else 1.0)
        corners.append((at[0] + length * math.cos(angle), at[1] + length * math.sin(angle)))
    return element("path", class_=style, d="M" + "L".join(map(_at, corners)) + "Z")


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
