"""The report of a search for the terminal, at most 80 columns wide where names are short."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rlquant.escaping import printable
from rlquant_agents.reporting.summary import Runs, headings, rows, same_configurations, searched
from rlquant_agents.reporting.words import budget_in_words

SHOWN = {
    "validation loss": ("val.", "loss"),
    "accuracy": ("val.", "acc."),
    "test loss": ("test", "loss"),
    "test accuracy": ("test", "acc."),
    "average bits": ("average", "bits"),
    "bytes": ("", "bytes"),
    "of float file": ("of float", "file"),
}
"""Columns of the summary that fit beside each other, and the two lines above; the page has all."""
WIDTH, MOST = 80, 6
"""Columns of a terminal, and of the table: with two of the test set, one falls away."""


def text(runs: Runs) -> str:
    """Return the report in a screenful: what was searched, what was found, layer by layer.

    Args:
        runs: the run that is reported, then those it is compared with.
    """
    run = next(iter(runs.values()))
    shown = [(i, SHOWN[name]) for i, name in enumerate(headings(run)) if name in SHOWN]
    columns = shown[:MOST]
    found = [("", *(lines[part] for _, lines in columns)) for part in (0, 1)]
    found += [(row.name, *(row.cells[i] for i, _ in columns)) for row in rows(runs)]
    choices = [(choice.layer or "network", choice.in_words) for choice in run.config]
    return "\n".join(
        [
            *wrapped(searched(run)),
            *wrapped(f"budget: {budget_in_words(run)}"),
            *wrapped(f"ended: {run.outcome.stopped}"),
            *(line for note in run.outcome.notes for line in wrapped(f"note: {note}")),
            "",
            *aligned(found, left=1),
            *(f"the same configuration: {names}" for names in same_configurations(runs)),
            "",
            *aligned(choices, left=2),
        ]
    )


def wrapped(sentence: str) -> list[str]:
    """Return a sentence in lines of at most `WIDTH` characters; longer words stay whole."""
    return textwrap.wrap(printable(sentence), WIDTH, break_long_words=False, break_on_hyphens=False)


def aligned(lines: Iterable[tuple[str, ...]], left: int) -> list[str]:
    """Return lines in columns, the first `left` ones to the left and the others to the right."""
    shown = [tuple(map(printable, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in shown
    ]
