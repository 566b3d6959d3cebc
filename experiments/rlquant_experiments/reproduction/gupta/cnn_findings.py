"""G4 and G5: the convolutional networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.gupta.presets import Part
from rlquant_experiments.reproduction.gupta.variants import (
    CNN_FRACTIONS,
    CNN_NEAREST_FRACTIONS,
    FLOAT,
    WIDE_SHARES,
    WIDENED_FRACTION,
    at_rate,
    named,
    percent,
    widened,
)
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Summary, Values
from rlquant_experiments.reproduction.tables import listed, variants_table

G4 = Claim("G4", "A CNN suffers the more the fewer fraction bits; nearest is worst.")
G5 = Claim("G5", "A wider word for the last epochs repairs most of the loss.")

MANY = max(CNN_FRACTIONS)
SHARE, LONGER = WIDE_SHARES


def cnn_findings(parts: Mapping[str, Part], results: Results) -> Sequence[Finding]:
    """Return the findings on G4 and G5."""
    runs = [CnnRuns(experiment, part, results) for experiment, part in parts.items()]
    return [fewer_bits(runs, results), wide_end(runs, results)]


class CnnRuns:
    """The runs of one network."""

    def __init__(self, experiment: str, part: Part, results: Results) -> None:
        self.experiment, self.part, self.results = experiment, part, results

    def row(self, name: str, rate: float | None = None) -> tuple[str, str]:
        """Return experiment and variant, by default at the rate at which all arithmetics ran."""
        return self.experiment, at_rate(name, rate or self.part.middle_rate)

    def values(self, name: str, figure: str = "test_error", rate: float | None = None) -> Values:
        """Return one number per seed."""
        return self.results.values(*self.row(name, rate), figure)

    def fewer_bits(self) -> list[Comparison]:
        """Return what G4 compares."""
        errors = {f: self.values(named("SR", f)) for f in CNN_FRACTIONS}
        fewer = [f for f in reversed(CNN_FRACTIONS) if f != MANY]
        loss = [
            self._compare(f"{named('SR', f)} - {named('SR', MANY)}", errors[f] - errors[MANY])
            for f in fewer
        ]
        gaps = [
            self._compare(f"nearest - SR at FL={f}", self.values(named("nearest", f)) - errors[f])
            for f in reversed(CNN_NEAREST_FRACTIONS)
        ]
        return loss + gaps

    def wide_end(self) -> list[Comparison]:
        """Return what G5 compares."""
        exact, narrow, wide = (self.values(name) for name in _ends(SHARE))
        return [
            self._compare("SR - float: the gap", narrow - exact),
            self._compare(
                "middle of SR and float - SR with a wide end", (narrow + exact) / 2 - wide
            ),
        ]

    def repaired(self, share: float) -> str:
        """Return how much of the gap a wide end closes, in words."""
        exact, narrow, wide = (float(self.values(name).mean()) for name in _ends(share))
        if narrow <= exact:
            return f"{self.experiment}: no gap"
        part = 100 * (narrow - wide) / (narrow - exact)
        return (
            f"{self.experiment}: float {exact:.2f} %, SR {narrow:.2f} %, SR with the last "
            f"{percent(share)} wide {wide:.2f} %: {part:.0f} % of the gap repaired"
        )

    def _compare(self, name: str, values: Values) -> Comparison:
        return Comparison.of(f"{self.experiment}: {name} (points)", values, "above")

    def note(self) -> str:
        """Say how the rate was chosen, and what nearest does to the momentum."""
        controls = ", ".join(
            f"{Summary.of(self.values(FLOAT, 'validation_error', rate)).words()} % at rate {rate:g}"
            for rate in self.part.rates
        )
        worst = named("nearest", min(CNN_NEAREST_FRACTIONS))
        bias = self.values(worst, "update_bias").mean()
        return (
            f"Validation error of the float control of {self.experiment!r}: {controls}; everything "
            f"else ran at rate {self.part.middle_rate:g}. With momentum, rounding to nearest has a "
            f"second effect beside lost updates: the buffer is rounded too, 0.9 of a buffer of up "
            f"to 4 steps rounds back to the buffer itself, and what moves does not come to rest "
            f"(bias in the direction wanted {bias:+.3f} steps, {worst})."
        )


def fewer_bits(runs: Sequence[CnnRuns], results: Results) -> Finding:
    """Return the finding on G4."""
    ladder = [FLOAT, *(named("SR", f) for f in reversed(CNN_FRACTIONS))]
    nearest = [named("nearest", f) for f in reversed(CNN_NEAREST_FRACTIONS)]
    return Finding(
        claim=G4,
        ours="; ".join(listed({name: r.values(name) for name in ladder + nearest}) for r in runs),
        table=variants_table(
            results, [r.row(name) for r in runs for name in ladder + nearest], heading="arithmetic"
        ),
        comparisons=[comparison for r in runs for comparison in r.fewer_bits()],
        note=" ".join(r.note() for r in runs),
    )


def wide_end(runs: Sequence[CnnRuns], results: Results) -> Finding:
    """Return the finding on G5."""
    names = [FLOAT, named("SR", WIDENED_FRACTION), *(widened(share) for share in WIDE_SHARES)]
    return Finding(
        claim=G5,
        ours="; ".join(r.repaired(SHARE) for r in runs),
        table=variants_table(
            results, [r.row(name) for r in runs for name in names], heading="arithmetic"
        ),
        comparisons=[comparison for r in runs for comparison in r.wide_end()],
        note=f"The word is widened to 20 bits for the last {percent(SHARE)} of the steps; its "
        f"control, SR, has the same steps without it. The paper widens <4,12>; "
        f"FL={WIDENED_FRACTION} is taken here, and the first comparison says how large its gap is. "
        f"What more wide steps do: {'; '.join(r.repaired(LONGER) for r in runs)}.",
    )


def _ends(share: float) -> tuple[str, str, str]:
    return FLOAT, named("SR", WIDENED_FRACTION), widened(share)
