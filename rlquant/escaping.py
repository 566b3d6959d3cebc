"""Names from outside as each place takes them: terminal, Markdown, HTML, CSV.

Figures have `reporting/figure_files.py`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from html import escape

_CONTROLS = (
    r"\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
)
"""What moves the cursor, colours, breaks lines, turns text around, or is no whole character."""
_IN_A_LINE, _IN_LINES = re.compile(f"[{_CONTROLS}]"), re.compile(f"(?![\\n\\t])[{_CONTROLS}]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How cells begin that a spreadsheet computes."""


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text in which everything is seen and nothing else happens.

    Args:
        text: such as a name or a message.
        lines: whether it may have several lines, and tabs.
    """
    return (_IN_LINES if lines else _IN_A_LINE).sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """Return a table in Markdown, whatever its cells contain; emphasis in them stays.

    Args:
        headings: of the columns.
        rows: cells in the order of the headings.
        align: a letter for each column, l for left (as it is by default) and r for right; the last
            one is that of all columns after it.
    """
    marks = [
        "---:" if mark == "r" else "---" for mark in align.ljust(len(headings), align[-1:] or "l")
    ]
    cells = [[markdown_cell(cell) for cell in row] for row in (headings, *rows)]
    lines = [cells[0], marks, *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_cell(text: str) -> str:
    """Return a text that stays in its cell of a table and is no HTML."""
    return printable(text).replace("|", r"\|").replace("<", "&lt;")


def html_text(text: object) -> str:
    """Return a text that HTML shows as it is; it neither turns nor hides what is beside it."""
    return escape(printable(str(text), lines=True))


def html_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a small table for a notebook, whatever its cells contain; floats have 5 digits."""

    def line(tag: str, cells: Sequence[object]) -> str:
        return "".join(f"<{tag}>{html_text(_number_words(cell))}</{tag}>" for cell in cells)

    head = line("th", headings)
    body = "\n".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _number_words(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV in which no cell is a formula; None is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def csv_cell(value: object) -> str:
    """Return a cell that a spreadsheet shows; before what looks like a formula stands a quote."""
    text = "" if value is None else printable(str(value), lines=False)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
