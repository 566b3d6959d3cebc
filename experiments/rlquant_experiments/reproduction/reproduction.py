"""The interface of a paper's reproduction, and the call that makes a report of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from rlquant.errors import SettingsError, whole_number
from rlquant_experiments.reproduction.claims import Finding
from rlquant_experiments.reproduction.panels import Panel
from rlquant_experiments.reproduction.runs import Job, Results

Preset = Literal["quick", "paper", "tiny"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done, as a person asks for it.

    Attributes:
        preset: "quick" takes minutes on one core, "paper" uses the paper's networks, data and
            epochs, "tiny" takes seconds and shows only that everything runs.
        seeds: runs of each variant, with the seeds 0, 1, ...; the preset's own number for None.
        device: where networks are trained.
    """

    preset: Preset = "quick"
    seeds: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.seeds is not None:
            whole_number("seeds", self.seeds, 1)
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"device {self.device!r} cannot be used: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A paper's experiments at one scale.

    Attributes:
        paper: short name, as in file names.
        title: of the report.
        introduction: what was run, and how it departs from the paper; Markdown.
        caption: what the figure shows, in a few words.
        settings: what the reader needs to assess the numbers, by name.
        jobs: the runs, the most telling first.
        conclude: findings, one per claim, out of all runs.
        draw: panels of the figure.
    """

    paper: str
    title: str
    introduction: str
    caption: str
    settings: Mapping[str, str]
    jobs: Sequence[Job]
    conclude: Callable[[Results], Sequence[Finding]]
    draw: Callable[[Results], Sequence[Panel]]


def paths(paper: str, out: Path) -> tuple[Path, Path, Path]:
    """Return where report, figure and table of runs go."""
    report = out / f"{paper}.md"
    return report, report.with_suffix(".png"), report.with_suffix(".csv")
