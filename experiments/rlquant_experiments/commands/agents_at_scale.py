"""Compare searches of pretrained networks: the page of what `real_networks` measured.

Nothing is measured; what is missing is listed on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from rlquant.errors import SettingsError, unknown_name, whole_number
from rlquant.files import reading
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_agents.search.searcher import searchers
from rlquant_experiments.at_scale.page import page_of
from rlquant_experiments.at_scale.problems import problems_of, read_rows
from rlquant_experiments.baselines.registration import register_baselines
from rlquant_experiments.comparison.report_file import in_short, made_by
from rlquant_experiments.kept_rows import published
from rlquant_experiments.real_networks.settings import AMOUNTS

FEWER_SEEDS = {"smollm2-135m": 3}
"""Tasks of which fewer seeds are enough, as a search takes a quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtScaleSettings:
    """A comparison of rows that are kept.

    Attributes:
        rows: folders that scripts/real_networks.py wrote (its --out), or the JSON beside a page, of
            different tasks or searchers; each row in one of them.
        searchers: that every problem should have beside auto; what is missing is listed.
        seeds: that every search should have; 3 at most for SmolLM2.
        title: of the page.
        findings: Markdown file of what people should know before they read the tables.
        report: Markdown file to write; the figure and the rows (JSON) go beside it.
    """

    rows: tuple[Path, ...] = (Path("runs/real-networks"),)
    searchers: tuple[str, ...] = (
        *("knapsack", "knapsack-fisher", "knapsack-output-error", "knapsack-linearity"),
        *("local-swap", "random", "evopress", "amq"),
    )
    seeds: int = 5
    title: str = "Agents at scale"
    findings: Path | None = None
    report: Path = Path("runs/agents-at-scale.md")

    def check(self) -> None:
        """Raise `UnknownNameError` or `SettingsError` for what cannot be compared."""
        register_baselines()
        for name in self.searchers:
            if name not in searchers():
                raise unknown_name("searcher", name, searchers())
        whole_number("--seeds", self.seeds, 1)
        for place in self.rows:
            if not place.exists():
                raise SettingsError(
                    f"--rows {place} is not there; give folders of real_networks.py, or the JSON "
                    f"beside a page"
                )

    def seeds_of(self, task: str) -> int:
        """Return how many seeds the searches of a task should have."""
        return min(self.seeds, FEWER_SEEDS.get(task, self.seeds))


def run(settings: AtScaleSettings, command: Sequence[str]) -> int:
    """Write the page of the rows that there are."""
    settings.check()
    rows = read_rows(settings.rows, tuple(AMOUNTS))
    problems, notes = problems_of(rows)
    seeds = {task: settings.seeds_of(task) for task in AMOUNTS}
    made = made_by(command, torch.get_num_threads())
    if settings.findings is not None:
        with reading(settings.findings):
            made += "\n\n" + settings.findings.read_text(encoding="utf-8").strip()
    report = replace(
        page_of(problems, notes, settings.searchers, seeds, made, settings.title),
        rows=published((row.name, row.document) for row in rows),
    )
    say(in_short(report.write([settings.report])))
    say(f"wrote {settings.report}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(AtScaleSettings, partial(run, command=command), argv, __doc__)
