"""Rows of the report: a network quantized in one way, and the file that keeps its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rlquant.config import GroupSize
from rlquant_experiments.kept_rows import Document, beside, document, find, keep
from rlquant_experiments.real_networks.settings import (
    GROUP_SIZES,
    QUANTIZERS,
    Quantizer,
    RealNetworkSettings,
)

AGENT = "auto"
"""The searcher that all others are compared with."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured: the float network, a uniform configuration or the answer of a search.

    Attributes:
        task: name of the task.
        bits: of all layers, or the average that a search may use; 32 for the float network.
        quantizer: of a uniform configuration.
        group_size: of a uniform configuration.
        searcher: name, "" where nothing is searched.
        seed: of the search.
    """

    task: str
    bits: float
    quantizer: Quantizer | None = None
    group_size: GroupSize = "channel"
    searcher: str = ""
    seed: int = 0

    @property
    def label(self) -> str:
        """What the row is called in the report, without its bits."""
        if self.searcher:
            return self.searcher
        return "float" if self.quantizer is None else f"uniform {self.quantizer.label}"

    @property
    def name(self) -> str:
        """The row's file, without folder and extension."""
        kind = self.label.replace(" ", "-").lower()
        where = f"-seed{self.seed}" if self.searcher else f"-g{self.group_size}"
        return f"{self.task}-{kind}-{self.bits:g}{where}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a row.

    Attributes:
        size_bytes: of the packed file.
        average_bits: of the searched weights, scales included.
        validation_loss: on the samples that searches see.
        loss: on test data, by the objective of searches.
        accuracy: its metric.
        metrics: its further metrics, and those of the task.
        minutes: of the search, or of quantizing.
        peak_bytes: largest memory of the process; 0 where many rows shared it.
        evaluations: distinct configurations that the search measured.
        foreseen, within: evaluations that the surrogate predicted, and those of them that lay
            within its 90 % intervals.
    """

    size_bytes: int
    average_bits: float
    validation_loss: float
    loss: float
    accuracy: float
    metrics: dict[str, float]
    minutes: float
    peak_bytes: int = 0
    evaluations: int = 0
    foreseen: int = 0
    within: int = 0


def uniform_rows(settings: RealNetworkSettings, task: str) -> Iterator[Row]:
    """Yield the float network and every uniform configuration of a task."""
    yield Row(task, 32)
    for bits in settings.bits:
        for quantizer in QUANTIZERS:
            for group_size in GROUP_SIZES:
                yield Row(task, bits, quantizer, group_size)


def searched_rows(settings: RealNetworkSettings, task: str) -> Iterator[Row]:
    """Yield every search of a task, the first seed of all before the second."""
    for seed in range(settings.seeds):
        for budget in settings.budgets:
            for searcher in settings.searchers:
                yield Row(task, budget, searcher=searcher, seed=seed)


def read_row(folder: Path, row: Row, settings: RealNetworkSettings) -> Figures | None:
    """Return the figures of a row that was measured under the same settings, if it was."""
    places = (folder, *beside(settings.report))
    return find(Figures, row.name, _settings(row, settings), places)


def keep_row(folder: Path, row: Row, settings: RealNetworkSettings, figures: Figures) -> None:
    """Keep the figures of a row."""
    keep(folder, row.name, document_of(row, settings, figures))


def document_of(row: Row, settings: RealNetworkSettings, figures: Figures) -> Document:
    """Return what is kept of a row; losses that are not finite become the largest float."""
    values = {
        name: min(value, 1e308) if isinstance(value, float) and not math.isnan(value) else value
        for name, value in asdict(figures).items()
    }
    return document(_settings(row, settings), values)


def _settings(row: Row, settings: RealNetworkSettings) -> dict[str, Any]:
    """Return the settings that a row's figures depend on."""
    found: dict[str, Any] = settings.amounts(row.task)._asdict()
    if found["precision"] == "own":
        del found["precision"]  # as of rows that were kept before there was a choice
    if not row.searcher:
        del found["evaluations"]
    return found


def kept_rows(settings: RealNetworkSettings) -> Iterator[tuple[Row, Figures]]:
    """Yield the rows that are kept of all that the settings ask for, with their figures."""
    for task in settings.tasks:
        for row in (*uniform_rows(settings, task), *searched_rows(settings, task)):
            figures = read_row(settings.out, row, settings)
            if figures is not None:
                yield row, figures


Rows = Mapping[Row, Figures]
"""What was measured of each row."""


def grouped(rows: Rows) -> dict[Row, list[Figures]]:
    """Return the figures of all seeds of a search together, under the row of its first seed."""
    found: dict[Row, list[Figures]] = {}
    for row, figures in rows.items():
        first = Row(row.task, row.bits, row.quantizer, row.group_size, row.searcher)
        found.setdefault(first, []).append(figures)
    return found


def mean_of(found: Sequence[Figures]) -> Figures:
    """Return the mean figures of several seeds; of memory the largest."""
    names = found[0].metrics
    return Figures(
        round(fmean(f.size_bytes for f in found)),
        fmean(f.average_bits for f in found),
        fmean(f.validation_loss for f in found),
        fmean(f.loss for f in found),
        fmean(f.accuracy for f in found),
        {name: fmean(f.metrics.get(name, float("nan")) for f in found) for name in names},
        fmean(f.minutes for f in found),
        max(f.peak_bytes for f in found),
        round(fmean(f.evaluations for f in found)),
        sum(f.foreseen for f in found),
        sum(f.within for f in found),
    )
