"""Describe complete tables: the space, the exact front, the optimum under each budget."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rlquant import load_table, table_names
from rlquant.files import make_folder, write_file
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.tables.description import describe_table


@dataclass(frozen=True, kw_only=True)
class DescribeSettings:
    """Which tables to describe.

    Attributes:
        tables: names, or paths of .rlt files; by default those that come with rlquant.
        report: Markdown file to write; a figure goes beside it.
    """

    tables: tuple[str, ...] = ()
    report: Path = Path("runs/tables.md")


def run(settings: DescribeSettings, command: Sequence[str]) -> int:
    """Write the report and say where."""
    tables = [load_table(name) for name in settings.tables or table_names()]
    make_folder(settings.report.parent)
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.tables import description_figures

    picture = settings.report.with_suffix(".png")
    write_file(picture, png(description_figures.tables_figure(tables)))
    parts = [
        "# Complete tables",
        f"Every configuration of each space, quantized, calibrated (or trained, where it says "
        f"tuned) and measured on real data. Described by\n\n    {shlex.join(command)}",
        f"![exact fronts of loss and average bits]({picture.name})",
        *(describe_table(table) for table in tables),
    ]
    write_file(settings.report, "\n\n".join(parts) + "\n")
    say(f"written to {settings.report} and {picture}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(DescribeSettings, partial(run, command=command), argv, __doc__)
