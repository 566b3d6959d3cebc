"""Problems, a network under a budget each, made of the rows that `real_networks` keeps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlquant.documents import read_as
from rlquant.errors import DataError
from rlquant.files import reading
from rlquant_experiments.kept_rows import Document, documents
from rlquant_experiments.real_networks.rows import AGENT, Figures
from rlquant_experiments.real_networks.settings import (
    GROUP_SIZES,
    QUANTIZERS,
    REFINED,
    Amounts,
)

UNIFORM, FLOAT = "uniform", "float"
"""Labels: the best uniform configuration that fits, and the float network."""
WIDTH = len(QUANTIZERS) * len(GROUP_SIZES)
"""Uniform configurations of one bit-width; as many fit at least."""
NAME = re.compile(r"(?P<label>.+)-(?P<bits>[\d.]+)-(seed(?P<seed>\d+)|g(?P<group>\w+))")
"""Of a row's file, behind the task's name; see `Row.name`."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was read.

    Attributes:
        name: of the row.
        document: as it is kept.
        task: name of the task.
        label: searcher, "uniform-..." or "float".
        bits: that were asked for.
        seed: of a search.
        amounts: samples and evaluations that it was measured with; 0 evaluations where nothing is
            searched.
        precision: of evaluations.
        figures: what was measured.
    """

    name: str
    document: Document
    task: str
    label: str
    bits: float
    seed: int
    amounts: Amounts
    precision: str
    figures: Figures

    @property
    def is_search(self) -> bool:
        """Whether it is the answer of a search."""
        return self.amounts.evaluations > 0

    @property
    def samples(self) -> tuple[Any, ...]:
        """What rows have to share to be compared: samples of all parts, and the precision."""
        return (*self.amounts[:3], self.precision)


@dataclass(frozen=True, slots=True)
class Problem:
    """A network under a budget, and what was found for it.

    Attributes:
        task: name of the task.
        bits: average bits, scales included.
        float_loss: of the float network on test data.
        runs: by searcher, and `UNIFORM`, the runs of all seeds.
        uniforms: uniform configurations that fit and were measured.
        evaluations: of its searches, where they are not as many as those of most.
    """

    task: str
    bits: float
    float_loss: float
    runs: Mapping[str, Sequence[Found]]
    uniforms: int
    evaluations: int | None = None

    @property
    def words(self) -> str:
        """Its bits as they are written."""
        return f"{self.bits:g}"

    @property
    def name(self) -> str:
        """What it is called."""
        searches = "" if self.evaluations is None else f", {self.evaluations} evaluations"
        return f"{self.task}, {self.words} bits{searches}"


def read_rows(places: Sequence[Path], tasks: Sequence[str]) -> list[Found]:
    """Return all rows of folders and of files beside pages, in the order of their names.

    Raises:
        DataError: a place without rows of these tasks, or a search that is in two of them.
        FileFormatError: a file that holds no row.
    """
    found: dict[tuple[str, int], Found] = {}
    for place in places:
        own = {(row.name, row.amounts.evaluations): row for row in _rows_in(place, tasks)}
        if not own:
            raise DataError(
                f"--rows {place} has no rows of {', '.join(tasks)}; give folders that "
                f"scripts/real_networks.py wrote (--out), or the JSON beside a page"
            )
        for name, evaluations in own.keys() & found.keys():
            if evaluations:  # others are the same wherever they were measured
                raise DataError(f"--rows: row {name} is in two places; give one of them")
        found = own | found
    return [found[name] for name in sorted(found)]


def _rows_in(place: Path, tasks: Sequence[str]) -> Iterator[Found]:
    with reading(place):
        for name, document in documents(place):
            task = next((t for t in tasks if name.startswith(f"{t}-")), None)
            match = NAME.fullmatch(name.removeprefix(f"{task}-"))
            if task is not None and match is not None:
                yield _found(name, task, match, document)


def _found(name: str, task: str, match: re.Match[str], document: Document) -> Found:
    settings = read_as(dict[str, Any], document.get("settings"))

    def amount(part: str) -> int:
        return read_as(int, settings.get(part, 0))

    return Found(
        name,
        document,
        task,
        match["label"],
        float(match["bits"]),
        int(match["seed"] or 0),
        Amounts(amount("calibration"), amount("validation"), amount("test"), amount("evaluations")),
        str(settings.get("precision", "own")),
        read_as(Figures, document.get("figures")),
    )


def problems_of(rows: Sequence[Found]) -> tuple[list[Problem], list[str]]:
    """Return the problems, and in words what is left out of them.

    Rows of one task are compared where they were measured on the same samples: those that most of
    its searches were.
    """
    problems, notes = [], []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        searched = Counter(row.samples for row in own if row.is_search)
        if not searched:
            notes.append(f"{task}: no searches")
            continue
        samples, _ = searched.most_common(1)[0]
        alike = [row for row in own if row.samples == samples]
        if len(alike) < len(own):
            notes.append(f"{task}: {len(own) - len(alike)} rows of other samples are left out")
        same = [row for row in alike if not row.label.endswith(REFINED)]
        if len(same) < len(alike):
            notes.append(f"{task}: {len(alike) - len(same)} rows with {REFINED} are left out")
        base = [row.figures.loss for row in same if row.label == FLOAT]
        if not base:
            notes.append(f"{task}: left out, as its float network was not measured")
            continue
        usual, _ = Counter(r.amounts.evaluations for r in same if r.is_search).most_common(1)[0]
        asked = {(r.amounts.evaluations, r.bits) for r in same if r.is_search}
        for evaluations, bits in sorted(asked):
            found = _problem(same, task, bits, base[0], evaluations)
            problems.append(found if evaluations != usual else replace(found, evaluations=None))
    return problems, notes


def _problem(
    rows: Sequence[Found], task: str, bits: float, float_loss: float, evaluations: int
) -> Problem:
    runs: dict[str, list[Found]] = {}
    for row in rows:
        if row.bits == bits and row.amounts.evaluations == evaluations:
            runs.setdefault(row.label, []).append(row)
    uniform = [r for r in rows if r.label.startswith(UNIFORM) and r.figures.average_bits <= bits]
    if uniform:  # chosen by what a search sees, never by test data
        runs[UNIFORM] = [min(uniform, key=lambda row: row.figures.validation_loss)]
    return Problem(task, bits, float_loss, runs, len(uniform), evaluations)


def missing(
    problems: Sequence[Problem], searchers: Sequence[str], seeds: Mapping[str, int]
) -> list[str]:
    """Return in words which searches have no row, where they have the usual evaluations.

    Args:
        problems: that there are.
        searchers: that each should have, beside the agent.
        seeds: of each task.
    """
    lacking: dict[str, list[str]] = {}
    for problem in problems:
        if problem.evaluations is not None:
            continue
        for searcher in dict.fromkeys((AGENT, *searchers)):
            have = {row.seed for row in problem.runs.get(searcher, ())}
            left = [str(n) for n in range(seeds[problem.task]) if n not in have]
            words = f"seeds {', '.join(left)} at" if have else "no seed at"
            if left:
                lacking.setdefault(f"{problem.task}, {searcher}: {words}", []).append(problem.words)
        if problem.uniforms < WIDTH:
            start = f"{problem.task}, {UNIFORM}: {problem.uniforms} measured that fit"
            lacking.setdefault(start, []).append(problem.words)
    return [f"{start} {', '.join(bits)} bits" for start, bits in lacking.items()]
