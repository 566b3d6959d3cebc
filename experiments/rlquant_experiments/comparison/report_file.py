"""A report as files: Markdown, the figures beside it, and the runs as CSV or JSON."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from rlquant.files import make_folder, write_file

STEM = "<stem>"
"""Stands in a report for the name of its file, with which those of its figures begin."""


@dataclass(frozen=True)
class Report:
    """A report that can be written to several places.

    Attributes:
        text: Markdown, with `STEM` in the names of figures.
        figures: PNG by the end of their file names, such as "-3.0".
        csv: the runs, where there is a table of them.
        rows: JSON of the rows that the page is made of, where it is made of such.
    """

    text: str
    figures: Mapping[str, bytes]
    csv: str | None = None
    rows: str | None = None

    def write(self, targets: Sequence[Path]) -> str:
        """Write everything to each target and beside it; return the last target's text."""
        text = self.text
        for target in targets:
            make_folder(target.parent)
            for end, picture in self.figures.items():
                write_file(target.with_name(f"{target.stem}{end}.png"), picture)
            text = self.text.replace(STEM, target.stem)
            write_file(target, text)
            if self.csv is not None:
                write_file(target.with_suffix(".csv"), self.csv)
            if self.rows is not None:
                write_file(target.with_suffix(".json"), self.rows)
        return text


def in_short(text: str, most: int = 40) -> str:
    """Return the headings of a report with the first table below each, for the terminal.

    Args:
        text: Markdown.
        most: lines.
    """
    kept: list[str] = []
    for paragraph in text.split("\n\n"):
        is_heading = paragraph.startswith("#")
        if is_heading or (paragraph.startswith("|") and kept and kept[-1].startswith("#")):
            kept.append(paragraph)
    lines = "\n\n".join(kept).splitlines()
    return "\n".join(lines if len(lines) <= most else [*lines[:most], "..."])


def image(words: str, end: str) -> str:
    """Return the Markdown of a figure, given the end of its file name."""
    return f"![{words}]({STEM}{end}.png)"


def made_by(command: Sequence[str], threads: int) -> str:
    """Return when, how and on what machine a comparison was made."""
    return (
        f"Made on {date.today().isoformat()} by\n\n    {shlex.join(command)}\n\n"
        f"with {os.cpu_count()} cores ({threads} used by torch), Python "
        f"{platform.python_version()}, torch {torch.__version__}."
    )
