"""The summary that `rlquant search` leaves in a run folder: its baselines, and test metrics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

from rlquant import Score
from rlquant.documents import Count, parse_json, read_as
from rlquant_agents.reporting.run_text import damaged, read_text

SUMMARY, BASELINES = "summary.json", "baselines"


class SummaryRow(TypedDict):
    """A network that the command measured on the test set at the end; the file holds more.

    Attributes:
        name: "float", a searcher's, or that of a network trained after the search.
        score: on the validation data.
        test_loss: None where it is not finite.
        test_accuracy: share of the test set.
        evaluations: of the searcher; None of other networks.
    """

    name: str
    score: Score
    test_loss: float | None
    test_accuracy: float
    evaluations: Count | None


def read_summary(folder: Path) -> tuple[SummaryRow, ...]:
    """Return the rows of a folder's summary, none where a call and no command searched there.

    Raises:
        FileFormatError: it is damaged.
        StorageError: it cannot be read.
    """
    path = folder / SUMMARY
    if not os.path.exists(path):
        return ()
    text = read_text(path)
    with damaged(path):
        return tuple(read_as(list[SummaryRow], parse_json(text)))
