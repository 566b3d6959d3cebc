"""Measure what evaluations on few tokens say of whole ones, on a pretrained network.

Losses are kept after every configuration; the same command goes on from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from rlquant import Budget, QuantizationProblem
from rlquant.errors import unknown_name, whole_number
from rlquant.escaping import markdown_table
from rlquant.files import make_folder
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.comparison.report_file import Report, made_by
from rlquant_experiments.real_networks.measuring import Lab
from rlquant_experiments.real_networks.settings import RealNetworkSettings
from rlquant_experiments.real_networks.stages import (
    DRAWN,
    KEPT,
    KINDS,
    KeptLosses,
    Stage,
    sample_losses,
    stages,
)

WORDS = {
    "children": "children of the best uniform configuration",
    "random": "random configurations",
}
INTRODUCTION = f"""# Token racing

Losses of configurations on their first validation samples against those on all of them. `rank
correlation` is Spearman's. `raced` is what a race finds: {DRAWN} candidates are looked at on the
first samples, the best {KEPT} are evaluated whole, and the best of these has so much log loss above
the best of all; `not raced` is the best of as many configurations as are evaluated whole for the
same tokens (means over random draws). Calibration, which every look runs too, is not counted.
"""


@dataclass(frozen=True, kw_only=True)
class TokenStagesSettings:
    """A measurement of stages.

    Attributes:
        task: pretrained task whose samples have one loss each.
        budget: average bits.
        kinds: "children" of the best uniform configuration by one to three level switches, as
            EvoPress has them, or "random" ones.
        configurations: of each kind.
        seed: of the configurations.
        threads: of PyTorch.
        out: folder that keeps losses.
        report: Markdown file to write.
    """

    task: str = "minilm-l6"
    budget: float = 3.0
    kinds: tuple[str, ...] = tuple(KINDS)
    configurations: int = 30
    seed: int = 0
    threads: int = 1
    out: Path = Path("runs/token-stages")
    report: Path = Path("runs/token-racing.md")

    def check(self) -> None:
        """Raise `UnknownNameError` or `SettingsError` for what cannot be measured."""
        RealNetworkSettings(tasks=(self.task,)).check()
        for kind in self.kinds:
            if kind not in KINDS:
                raise unknown_name("kind", kind, KINDS)
        whole_number("--configurations", self.configurations, DRAWN)

    @cached_property
    def problem(self) -> QuantizationProblem:
        """The problem, made once."""
        real = RealNetworkSettings(tasks=(self.task,), out=self.out, threads=self.threads)
        return Lab(self.task, real).problem_within(Budget.average_bits(self.budget))


def run(settings: TokenStagesSettings, command: Sequence[str]) -> int:
    """Measure what is not kept, and write the page."""
    settings.check()
    make_folder(settings.out)
    parts = [INTRODUCTION, made_by(command, settings.threads)]
    for kind in settings.kinds:
        tokens, losses = _losses(settings, kind)
        heading = f"## {settings.task} at {settings.budget:g} bits, {len(losses)} {WORDS[kind]}"
        parts += [heading, table(stages(np.array(losses), np.array(tokens)))]
    Report("\n\n".join(part.strip() for part in parts) + "\n", {}).write([settings.report])
    say(f"wrote {settings.report}")
    return 0


def _losses(settings: TokenStagesSettings, kind: str) -> tuple[list[int], list[list[float]]]:
    """Return the tokens of samples, and their losses, measured as far as they are not kept."""
    asked = {"budget": settings.budget, "seed": settings.seed}
    path = settings.out / f"{settings.task}-{kind}.json"
    kept, count = KeptLosses(path, asked), settings.configurations
    tokens, found = kept.read()
    if len(found) >= count:
        return tokens, found[:count]
    problem = settings.problem
    tokens = problem.validation.tokens.tolist()
    for row in KINDS[kind](problem, count, settings.seed)[len(found) :]:
        found.append(sample_losses(problem, problem.feasible.config(row)))
        kept.write(tokens, found)
        say(f"{kind}: {len(found)} of {count}")
    return tokens, found


def table(found: Sequence[Stage]) -> str:
    """Return the stages as a table."""
    headings = ["tokens", "share", "rank correlation", "raced", "not raced"]
    cells = [
        [
            str(s.tokens),
            f"{s.share:.3f}",
            f"{s.correlation:.3f}",
            f"{s.raced:.4f}",
            f"{s.plain:.4f}",
        ]
        for s in found
    ]
    return markdown_table(headings, cells, "rrrrr")


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(TokenStagesSettings, partial(run, command=command), argv, __doc__)
