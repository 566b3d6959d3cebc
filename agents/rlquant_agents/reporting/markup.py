"""HTML made of elements, so that every tag is closed and every text from outside is escaped."""

from __future__ import annotations

from html import escape

from rlquant.escaping import printable


class Markup(str):
    """Text that is HTML already; every other string is escaped where it is put into an element."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: elements, or plain text.
        attributes: by name, `_` for `-`; one at the end is left out, as in `class_`.
    """
    return Markup(f"{_opening(tag, attributes)}{join(*children)}</{tag}>")


def block(tag: str, *children: str, **attributes: object) -> Markup:
    """Return an element whose children stand on lines of their own, where spaces mean nothing."""
    lines = "\n".join(join(child) for child in children if child)
    return Markup(f"{_opening(tag, attributes)}\n{lines}\n</{tag}>")


def void(tag: str, **attributes: object) -> Markup:
    """Return an element that has no content and no end, such as `meta`."""
    return Markup(_opening(tag, attributes))


def join(*children: str) -> Markup:
    """Return elements and texts one after the other."""
    return Markup("".join(c if isinstance(c, Markup) else _text(c) for c in children))


def _text(text: str) -> str:
    """Escape what is HTML, and what would turn or hide the text beside it."""
    return escape(printable(text, lines=True))


def _opening(tag: str, attributes: dict[str, object]) -> str:
    words = [tag]
    for name, value in attributes.items():
        words.append(f'{name.rstrip("_").replace("_", "-")}="{_text(str(value))}"')
    return f"<{' '.join(words)}>"
