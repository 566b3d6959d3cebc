"""Re-run the claims of a paper with this library: a report with tables, verdicts and a figure.

Papers: gupta (Gupta et al. 2015, training in fixed point), ttq (Zhu et al. 2016, trained ternary
quantization), polino (Polino et al. 2018, distillation and quantization), assignment (the future
work of the last: reinforcement learning for which point a weight goes to). Every finished run is
kept at once; started again with the same settings, it goes on and computes nothing twice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro

from rlquant.errors import SettingsError
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.reproduction.papers import reproduce
from rlquant_experiments.reproduction.reproduction import Preset, Scale


@dataclass(frozen=True)
class ReproduceSettings:
    """A reproduction.

    Attributes:
        paper: which paper.
        preset: quick takes minutes on one core and is what docs/results shows; paper uses the
            paper's networks, data and epochs (hours or days); tiny takes seconds and shows only
            that everything runs.
        seeds: runs of each variant; the preset's own number by default.
        out: folder for the report, its figure and the table of runs.
        work: folder that keeps every finished run.
        device: where networks are trained, e.g. cpu or cuda.
        threads: threads of torch.
        progress: show a progress bar.
    """

    paper: Annotated[str, tyro.conf.Positional]
    preset: Preset = "quick"
    seeds: int | None = None
    out: Path = Path("docs/results")
    work: Path = Path("runs/reproduce")
    device: str = "cpu"
    threads: int = 1
    progress: bool = True


def run(settings: ReproduceSettings, command: Sequence[str]) -> int:
    """Reproduce, and show the verdicts."""
    if settings.threads < 1:
        raise SettingsError(f"--threads {settings.threads}: use at least 1")
    torch.set_num_threads(settings.threads)
    try:
        findings = reproduce(
            settings.paper,
            Scale(settings.preset, settings.seeds, settings.device),
            out=settings.out,
            work=settings.work,
            command=command,
            progress=settings.progress,
        )
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on from {settings.work}", sys.stderr)
        return INTERRUPTED
    for finding in findings:
        say(f"{finding.claim.id}  {finding.verdict:14}  {finding.ours}")
    say(f"report: {settings.out / settings.paper}.md")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(ReproduceSettings, partial(run, command=command), argv, __doc__)
