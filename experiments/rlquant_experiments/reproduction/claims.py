"""Claims of papers, and findings about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlquant.errors import SettingsError
from rlquant_experiments.reproduction.statistics import Difference, Values

Verdict = Literal["reproduced", "tie", "not reproduced"]
Side = Literal["above", "below", "within"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of a paper.

    Attributes:
        id: e.g. "G1".
        statement: in one sentence.
        paper_figure: the paper's number, where it was read in a source; else "direction".
    """

    id: str
    statement: str
    paper_figure: str = "direction"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measured difference, and where the claim puts it.

    Attributes:
        name: what is subtracted from what, and in which unit.
        difference: the measured one.
        side: the claim puts it "above" or "below" the limit, or "within" the limit of 0.
        limit: in the same unit; above 0 for "within".
        digits: decimals to show.
    """

    name: str
    difference: Difference
    side: Side
    limit: float = 0.0
    digits: int = 2

    def __post_init__(self) -> None:
        if self.side == "within" and not self.limit > 0:
            raise SettingsError(
                f"Comparison {self.name!r}: limit={self.limit!r}, use one above 0 for 'within'"
            )

    @classmethod
    def of(
        cls, name: str, values: Values, side: Side, limit: float = 0.0, *, digits: int = 2
    ) -> Comparison:
        """Compare the mean of one number per seed: a difference within the seed, or a sum of such.

        Args:
            name: see above.
            values: e.g. the errors of one variant minus those of another, seed by seed.
            side: see above.
            limit: see above.
            digits: see above.
        """
        return cls(name, Difference.of(values), side, limit, digits)

    @property
    def verdict(self) -> Verdict:
        """Whether the whole interval lies where the claim puts it, none of it, or some of it.

        No difference at all, an interval of 0 alone, is a tie for "above 0" and "below 0".
        """
        low, high = self.difference.low, self.difference.high
        if self.side == "within":
            inside = -self.limit <= low and high <= self.limit
            outside = low > self.limit or high < -self.limit
        elif self.side == "above":
            inside, outside = low > self.limit, high < self.limit
        else:
            inside, outside = high < self.limit, low > self.limit
        return "reproduced" if inside else "not reproduced" if outside else "tie"

    @property
    def claimed(self) -> str:
        """The claim about the difference in words."""
        if self.side == "within":
            return f"within {self.limit:g} of 0"
        return f"{self.side} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words and numbers; all columns but the first are numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found about a claim.

    Attributes:
        claim: the claim.
        ours: the measured numbers in one line.
        table: what the comparisons rest on: mean, spread and seeds of each variant.
        comparisons: the differences that decide.
        note: what the reader should know; for what is not reproduced, the reason looked for.
    """

    claim: Claim
    ours: str
    table: Table
    comparisons: Sequence[Comparison]
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """One comparison against the claim refutes it; all of them for it reproduce it."""
        verdicts = {comparison.verdict for comparison in self.comparisons}
        if "not reproduced" in verdicts:
            return "not reproduced"
        return "reproduced" if verdicts == {"reproduced"} else "tie"

    @property
    def seeds(self) -> int:
        """Runs behind each comparison, the fewest of them."""
        return min((c.difference.count for c in self.comparisons), default=0)
