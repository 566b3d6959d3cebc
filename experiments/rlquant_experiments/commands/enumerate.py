"""Score every configuration of a space and write a table: an exhaustively enumerated benchmark.

Configurations that agree in their first layers share what is computed for these. Interrupted, the
same command goes on where it was.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn
from tqdm import tqdm

from rlquant import Budget, GroupedProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.folder_lock import held_file
from rlquant.tabular.table import Table
from rlquant.tabular.table_file import write_table
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.cli.terminal import say
from rlquant_experiments.tables.choice_words import with_choices
from rlquant_experiments.tables.description import describe_table
from rlquant_experiments.tables.enumeration import Enumeration

NO_LIMIT = Budget.average_bits(64.0)


@dataclass(frozen=True, kw_only=True)
class EnumerateSettings(TaskSettings):
    """What is enumerated, and where the table goes.

    Attributes:
        layers: groups of layers that share one choice, by name or pattern, as in --layers conv
            "stage1.*" "stage2.*" "stage3.*" classifier; by default each layer has its own.
        choices: the options of each group in words: bit-widths (2 3 4), methods (ternary),
            roundings (stochastic) and points (kmeans), instead of --bits, --method and so on.
        name: of the table; by default the task's, with a hyphen.
        out: file for the table; by default tables/<name>.rlt. What was measured so far stands
            beside it, in <name>.partial, until all is.
    """

    layers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    name: str | None = None
    out: Path | None = None

    def space(self, network: nn.Module | None = None) -> SearchSpace:
        """Return the space, the same for all networks, with the options that `choices` name."""
        return with_choices(super().space(), self.choices)

    @property
    def table_name(self) -> str:
        """The table's name."""
        return self.name or self.file_name

    @property
    def path(self) -> Path:
        """The table's file."""
        return self.out or Path("tables") / f"{self.table_name}.rlt"


def run(settings: EnumerateSettings, command: Sequence[str]) -> int:
    """Check what can be checked before anything is loaded, then enumerate."""
    if settings.quantity != "average_bits":
        raise SettingsError("--quantity plays no part here: a table answers under every budget")
    settings.space()  # mistakes in options show before anything is loaded
    with held_file(settings.path):
        return enumerate_into(settings, command)


def enumerate_into(settings: EnumerateSettings, command: Sequence[str]) -> int:
    """Measure what is missing, write the table and say what is in it."""
    problem = settings.problem(settings.load(), NO_LIMIT)
    names = [facts.name for facts in problem.layers]
    grouped = GroupedProblem(problem, settings.layers or names)
    work = Enumeration(grouped, settings.path.with_suffix(".partial"))
    with tqdm(total=work.count, unit="configuration", mininterval=0.5, smoothing=0.05) as bar:

        def progress(done: int) -> None:
            if not bar.n:
                bar.initial = done
            bar.update(done - bar.n)

        try:
            records = work.run(progress)
        except KeyboardInterrupt:
            say(f"interrupted; the same command goes on from {work.partial}", sys.stderr)
            return INTERRUPTED
    table = Table.of(
        grouped,
        records["loss"],
        records["correct"],
        name=settings.table_name,
        task=settings.task,
        command=shlex.join(command),
    )
    write_table(table, settings.path)
    work.partial.unlink()
    say(describe_table(table))
    say(f"written to {settings.path}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(EnumerateSettings, partial(run, command=command), argv, __doc__)
