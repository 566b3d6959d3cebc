"""The report of a search for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant.escaping import printable
from rlquant_agents.reporting.summary import Runs, headings, rows, searched
from rlquant_agents.reporting.words import budget_in_words, choice_in_words

SHOWN = 6
"""Columns of the summary that fit beside each other; the page has all."""


def text(runs: Runs) -> str:
    """Return the report in a screenful: what was searched, what was found, layer by layer.

    Args:
        runs: the run that is reported, then those it is compared with.
    """
    run = next(iter(runs.values()))
    found = [("", *headings(run)[:SHOWN])]
    found += [(row.name, *row.cells[:SHOWN]) for row in rows(runs)]
    choices = [(choice.layer or "network", choice_in_words(choice)) for choice in run.config]
    return "\n".join(
        [
            searched(run),
            f"budget: {budget_in_words(run)}",
            f"ended: {run.outcome.stopped}",
            *(f"note: {printable(note)}" for note in run.outcome.notes),
            "",
            *_aligned(found, left=1),
            "",
            *_aligned(choices, left=2),
        ]
    )


def _aligned(lines: Sequence[tuple[str, ...]], left: int) -> list[str]:
    """Return lines in columns, the first `left` ones to the left and the others to the right."""
    lines = [tuple(map(printable, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
