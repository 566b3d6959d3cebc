"""Fault campaign: corrupt files, kills, odd arguments and ambient modes, for some minutes.

Every trial is decided by a seed, and each finding is shown with the command that repeats it.
Ctrl-C ends a campaign early and leaves the figures so far.
"""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from rlquant.errors import SettingsError, unknown_name
from rlquant.files import write_file
from rlquant_agents.cli.command_line import INTERRUPTED, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.faults.figures import Figures, Finding
from rlquant_experiments.faults.parts import PARTS
from rlquant_experiments.faults.report import markdown
from rlquant_experiments.faults.runner import Limits, run_campaign

FOUND = 1


@dataclass(frozen=True, kw_only=True)
class FuzzSettings:
    """A fault campaign.

    Attributes:
        minutes: that it takes.
        seed: of the campaign; the trials that it comes to are the same every time.
        workers: processes.
        only: names of the parts to try; by default all.
        trials: at most so many of each part.
        trial: the seed of one trial to repeat, of the part that --only names.
        out: folder for what findings leave behind.
        report: Markdown file to write the figures to.
        progress: show a progress bar.
    """

    minutes: float = 10.0
    seed: int = 0
    workers: int = 2
    only: tuple[str, ...] = ()
    trials: int | None = None
    trial: int | None = None
    out: Path = Path("runs/fuzz")
    report: Path | None = None
    progress: bool = True

    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts to try; an error names what is wrong with the settings."""
        for name in self.only:
            if name not in PARTS:
                raise unknown_name("part", name, PARTS)
        if self.trial is not None and len(self.only) != 1:
            raise SettingsError("--trial repeats a trial of one part: name it with --only")
        if not self.minutes > 0 or self.workers < 1 or (self.trials or 1) < 1 or self.seed < 0:
            raise SettingsError(
                "use --minutes above 0, --workers and --trials from 1, --seed from 0"
            )
        return self.only or tuple(PARTS)

    def limits(self) -> Limits:
        """Return when the campaign ends."""
        once = self.trial is not None
        return Limits(
            seconds=60 * self.minutes,
            trials=1 if once else self.trials,
            workers=1 if once else self.workers,
            seed=self.seed,
        )


class Screen:
    """Shows how far a campaign is, and every finding of a new kind."""

    def __init__(self, seconds: float, shown: bool) -> None:
        tqdm.set_lock(threading.RLock())  # one for processes would outlive an interrupted campaign
        self._bar = tqdm(
            total=seconds,
            disable=not shown,
            bar_format="{desc} |{bar}| {elapsed}<{remaining}{postfix}",
            desc="fuzz",
        )

    def __call__(self, figures: Figures, finding: Finding | None) -> None:
        """Show the figures after a trial."""
        if finding is not None:
            tqdm.write(finding.text())
        rate = figures.trials / max(figures.seconds, 1e-9)
        told = f"{figures.trials:,} trials, {rate:.1f} a second, {figures.found:,} findings"
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(min(figures.seconds, self._bar.total or 0) - self._bar.n)

    def close(self) -> None:
        """Close the bar."""
        self._bar.close()


def run(settings: FuzzSettings, command: Sequence[str]) -> int:
    """Run the campaign; the exit code says whether something was found."""
    parts, limits = settings.parts(), settings.limits()
    screen = Screen(limits.seconds, settings.progress)
    try:
        figures = run_campaign(parts, limits, settings.out, screen, first=settings.trial)
    finally:
        screen.close()
    say(figures.text())
    if settings.report is not None:
        write_file(settings.report, markdown(figures, shlex.join(command)))
    if figures.found:
        return FOUND
    return INTERRUPTED if figures.interrupted else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    given = sys.argv[1:] if argv is None else argv
    command = ["python", "scripts/fuzz.py", *given]
    return run_command(FuzzSettings, partial(run, command=command), argv, __doc__)
