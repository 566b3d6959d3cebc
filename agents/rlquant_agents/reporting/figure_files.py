"""Figures as files: PNG for a folder, SVG for a page; names in them are never formulas."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from rlquant.escaping import printable
from rlquant_agents.reporting.figure_axes import own_style

DPI = 150
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@own_style()
def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    stream = io.BytesIO()
    with _texts_as_they_are(figure):
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


@own_style()
def svg(figure: Figure, name: str, description: str) -> Markup:
    """Return a figure as an element of HTML: no date, no fonts, no address, text as text.

    Args:
        figure: the same figure gives the same text.
        name: a word that no other figure of the page has.
        description: what can be seen in it, for those who cannot.
    """
    stream = io.BytesIO()
    with _texts_as_they_are(figure), rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata=NO_METADATA)
    root = ElementTree.fromstring(stream.getvalue())
    _as_html(root)
    shown: dict[str, Any] = {"viewBox": root.get("viewBox"), "class": "chart"}
    root.attrib = {**shown, "role": "img", "aria-label": printable(description)}
    return Markup(ElementTree.tostring(root, encoding="unicode", method="html"))


@contextmanager
def _texts_as_they_are(figure: Figure) -> Iterator[None]:
    """Have names printed letter by letter, also those at ticks, which are made when drawn."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn for it
        for axes in figure.axes:
            _print_labels(axes.xaxis)
            _print_labels(axes.yaxis)
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
            text.set_text(printable(text.get_text(), lines=True))
        yield


def _print_labels(axis: Axis) -> None:
    made = axis.get_major_formatter()
    if isinstance(made, FuncFormatter):
        label = made.func
        axis.set_major_formatter(FuncFormatter(lambda x, place: printable(label(x, place))))


def _as_html(element: Element) -> None:
    """Take away namespaces, the style sheet, and ids that nothing refers to."""
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {key.rpartition("}")[2]: value for key, value in element.items()}
    if element.tag == "g":
        element.attrib.pop("id", None)
    for child in list(element):
        _as_html(child)
        if child.tag == "style":  # it would hold for the whole page, whose own says the same
            element.remove(child)
