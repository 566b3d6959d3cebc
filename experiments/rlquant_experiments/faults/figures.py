"""Counts of a fault campaign: trials and findings of each property."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CHANGING = re.compile(r"/[^\s:'\"]+|-?\d[\d,.e+-]*|'[^']*'|\"[^\"]*\"")
"""What differs between two findings of one kind: paths, numbers, quoted values."""
_RAW = re.compile(r"(raw \w+).*")


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that did not hold.

    Attributes:
        part: the part that found it.
        trial: what was tried.
        seed: repeats it.
        fault: what went wrong.
        folder: what was left of it.
    """

    part: str
    trial: str
    seed: int
    fault: str
    folder: Path

    @property
    def kind(self) -> str:
        """What findings of one kind have in common: the first line, without values."""
        first = _RAW.sub(r"\1", self.fault.splitlines()[0])
        return f"{self.part}: {_CHANGING.sub('#', first)[:200]}"

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python scripts/fuzz.py --only {self.part} --trial {self.seed}"

    def text(self) -> str:
        """Tell it on a few lines."""
        return (
            f"FOUND by {self.part}: {self.trial}\n  {self.fault}\n"
            f"  again: {self.command}\n  kept:  {self.folder}"
        )


@dataclass(slots=True)
class Tally:
    """Trials of one part, the seconds that they took, and its findings by kind."""

    promise: str
    trials: int = 0
    seconds: float = 0.0
    findings: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, seconds: float, finding: Finding | None) -> bool:
        """Count a trial; return whether it found something of a new kind."""
        self.trials += 1
        self.seconds += seconds
        if finding is None:
            return False
        alike = self.findings.setdefault(finding.kind, [])
        alike.append(finding)
        return len(alike) == 1


@dataclass(slots=True)
class Figures:
    """All that a campaign counted, by part.

    Attributes:
        seed: of the campaign.
        seconds: that it took, all processes together side by side.
        tallies: by the part's name.
        interrupted: whether Ctrl-C ended it.
    """

    seed: int
    tallies: dict[str, Tally]
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def trials(self) -> int:
        """How many trials ended."""
        return sum(tally.trials for tally in self.tallies.values())

    @property
    def kinds(self) -> Sequence[Sequence[Finding]]:
        """The findings, those of one kind together."""
        return [alike for tally in self.tallies.values() for alike in tally.findings.values()]

    @property
    def found(self) -> int:
        """How many trials found something."""
        return sum(map(len, self.kinds))

    def text(self) -> str:
        """Tell the figures on a screen."""
        rows = [("part", "trials", "findings", "seconds")]
        rows += [
            (name, f"{t.trials:,}", f"{sum(map(len, t.findings.values())):,}", f"{t.seconds:,.0f}")
            for name, t in self.tallies.items()
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        kinds = [
            f"  {len(alike):>5} x {alike[0].kind}\n          {alike[0].command}"
            for alike in self.kinds
        ]
        ended = "interrupted after" if self.interrupted else "in"
        total = (
            f"{self.trials:,} trials {ended} {self.seconds:,.0f} s, seed {self.seed}: "
            f"{self.found:,} findings of {len(self.kinds)} kinds"
        )
        return "\n".join([*lines, "", total, *kinds])
