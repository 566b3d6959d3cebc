"""Terminal output: names from outside are printed as they are, not as markup or emoji."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from rlquant.escaping import printable


def say(text: str, stream: TextIO | None = None) -> None:
    """Write lines, whatever is in them and whatever characters the terminal has.

    Args:
        text: one line or several, without the last end.
        stream: standard output by default.
    """
    target = stream or sys.stdout
    encoding = target.encoding or "utf-8"
    shown = printable(text, lines=True).encode(encoding, "backslashreplace").decode(encoding)
    target.write(f"{shown}\n")


def rich_table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: str = "",
    *,
    bold_last: bool = False,
) -> Table:
    """Return a table for `show`.

    Args:
        title: above it.
        headings: of the columns.
        rows: cells in the order of the headings.
        align: a letter for each column, l for left (as it is by default) and r for right.
        bold_last: whether the last row stands out.
    """
    cells = [list(map(printable, row)) for row in rows]
    table = Table(title=printable(title))
    for heading, mark in zip(headings, align.ljust(len(headings), "l"), strict=True):
        table.add_column(printable(heading), justify="right" if mark == "r" else "left")
    for place, row in enumerate(cells, 1):
        table.add_row(*row, style="bold" if bold_last and place == len(cells) else None)
    return table


def show(table: Table, width: int) -> None:
    """Write a table; `width` is in characters, for where there is no terminal."""
    console = Console(
        width=None if sys.stdout.isatty() else width, markup=False, emoji=False, highlight=False
    )
    console.print(table)


class PrintableFormatter(logging.Formatter):
    """Writes messages as `say` does."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message."""
        return printable(super().format(record), lines=True)
