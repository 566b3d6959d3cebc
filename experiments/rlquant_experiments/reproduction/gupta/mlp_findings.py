"""G1 to G3: the fully connected network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding, Table
from rlquant_experiments.reproduction.gupta.presets import Part
from rlquant_experiments.reproduction.gupta.variants import (
    FLOAT,
    MLP_FRACTIONS,
    at_rate,
    mlp_variants,
    named,
    narrow_outputs,
)
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Summary, Values
from rlquant_experiments.reproduction.tables import listed, variants_table

G1 = Claim("G1", "With stochastic rounding, 16-bit fixed point trains about as well as float.")
G2 = Claim("G2", "Rounding to nearest fails where stochastic rounding works.")
G3 = Claim("G3", "The reason: nearest loses small updates, stochastic rounding is unbiased.")

FEW, MIDDLE, MANY = MLP_FRACTIONS
WITHIN_POINTS = 0.5
TIMES_FLOAT = 1.5
TIMES_STOCHASTIC = 3
LOST = 0.9
UNBIASED = 0.001
"""A bias that matters less than a thousandth of a step an update."""


def mlp_findings(part: Part, results: Results) -> Sequence[Finding]:
    """Return the findings on G1 to G3."""
    runs = MlpRuns(part, results)
    return [like_float(runs), nearest_fails(runs), lost_updates(runs)]


class MlpRuns:
    """The runs of the fully connected network, and the rate at which they are compared."""

    def __init__(self, part: Part, results: Results) -> None:
        self.part, self.results = part, results
        self.rate = min(part.rates, key=self._validation_error)
        """The rate at which the float control has the lowest validation error."""

    def _validation_error(self, rate: float) -> float:
        return float(self.values(FLOAT, "validation_error", rate).mean())

    def values(self, name: str, figure: str = "test_error", rate: float | None = None) -> Values:
        """Return one number per seed, by default the test error at the compared rate."""
        return self.results.values("mlp", at_rate(name, rate or self.rate), figure)

    def mean(self, name: str, figure: str = "test_error", rate: float | None = None) -> float:
        """Return the mean over seeds."""
        return float(self.values(name, figure, rate).mean())


def like_float(runs: MlpRuns) -> Finding:
    """Return the finding on G1."""
    errors = {FLOAT: runs.values(FLOAT)}
    errors |= {named("SR", f): runs.values(named("SR", f)) for f in reversed(MLP_FRACTIONS)}
    exact = errors[FLOAT]
    comparisons = [
        Comparison.of(f"{name} - float (points)", errors[name] - exact, "below", WITHIN_POINTS)
        for name in (named("SR", MANY), named("SR", MIDDLE))
    ]
    few = named("SR", FEW)
    bounded = errors[few] - TIMES_FLOAT * exact
    comparisons.append(Comparison.of(f"{few} - {TIMES_FLOAT} x float (points)", bounded, "below"))
    middle = runs.part.middle_rate
    narrow = at_rate(narrow_outputs(MANY), middle)
    saturated = 100 * runs.results.values("mlp", narrow, "saturated_outputs").mean()
    error = Summary.of(runs.results.values("mlp", narrow, "test_error"))
    rows = [("mlp", at_rate(name, runs.rate)) for name in errors]
    return Finding(
        claim=G1,
        ours=listed(errors),
        table=variants_table(runs.results, [*rows, ("mlp", narrow)], heading="arithmetic"),
        comparisons=comparisons,
        note=f"Compared at rate {runs.rate:g}, where the float control has its lowest validation "
        f"error. Last row, at rate {middle:g}: where outputs and errors are in <2,14> as the "
        f"weights are, {saturated:.0f} % of the outputs saturate and the test error is "
        f"{error.words()} %.",
    )


def nearest_fails(runs: MlpRuns) -> Finding:
    """Return the finding on G2."""
    stochastic = {f: runs.values(named("SR", f)) for f in MLP_FRACTIONS}
    nearest = {f: runs.values(named("nearest", f)) for f in MLP_FRACTIONS}
    gaps = {f: nearest[f] - stochastic[f] for f in MLP_FRACTIONS}
    slow = min(runs.part.rates)
    often = runs.values(named("nearest", FEW), rate=slow) - TIMES_STOCHASTIC * runs.values(
        named("SR", FEW), rate=slow
    )
    comparisons = [
        Comparison.of(f"nearest - SR at FL={FEW} (points)", gaps[FEW], "above"),
        Comparison.of(
            f"nearest - {TIMES_STOCHASTIC} x SR at FL={FEW} and rate {slow:g} (points)",
            often,
            "above",
        ),
        *(
            Comparison.of(
                f"gap at FL={less} - gap at FL={more} (points)", gaps[less] - gaps[more], "above"
            )
            for less, more in ((FEW, MIDDLE), (MIDDLE, MANY))
        ),
    ]
    words = ". ".join(_at_rate(runs, rate) for rate in runs.part.rates)
    return Finding(
        claim=G2,
        ours="nearest minus SR: "
        + ", ".join(f"{gaps[f].mean():+.2f} points at FL={f}" for f in MLP_FRACTIONS),
        table=_rates_table(runs),
        comparisons=comparisons,
        note=f"Compared at rate {runs.rate:g}, where the float control has its lowest validation "
        f"error, and once at rate {slow:g}: the smaller the rate, the more updates are below half "
        f"a step, which is when the claim expects nearest to fail. {words}.",
    )


def _at_rate(runs: MlpRuns, rate: float) -> str:
    nearest, stochastic = (runs.mean(named(r, FEW), rate=rate) for r in ("nearest", "SR"))
    start = runs.mean(named("nearest", FEW), "start_error", rate)
    stuck = ", as many as before training" if nearest > start - WITHIN_POINTS else ""
    return (
        f"At rate {rate:g} and FL={FEW}, nearest makes {nearest / stochastic:.1f} times the errors "
        f"of SR{stuck}"
    )


def _rates_table(runs: MlpRuns) -> Table:
    rows = [
        (
            name,
            *(Summary.of(runs.values(name, rate=rate)).words() for rate in runs.part.rates),
            str(len(runs.values(name))),
        )
        for name in mlp_variants()
    ]
    headings = [f"test error (%) at rate {rate:g}" for rate in runs.part.rates]
    return Table(("arithmetic", *headings, "seeds"), rows)


def lost_updates(runs: MlpRuns) -> Finding:
    """Return the finding on G3."""
    nearest, stochastic = named("nearest", FEW), named("SR", FEW)
    lost = runs.values(nearest, "lost_updates")
    biases = {name: runs.values(name, "update_bias") for name in (nearest, stochastic)}
    of_seeds = runs.values(stochastic, "update_bias_error")
    error = math.sqrt(float(np.sum(of_seeds**2))) / len(of_seeds)
    bias = float(biases[stochastic].mean())
    columns = {
        "lost updates (share)": ("lost_updates", 4),
        "bias (steps)": ("update_bias", 5),
        "standard error of one run's bias": ("update_bias_error", 5),
    }
    rows = [
        ("mlp", at_rate(named(r, f), runs.rate)) for f in MLP_FRACTIONS for r in ("SR", "nearest")
    ]
    return Finding(
        claim=G3,
        ours=f"FL={FEW}: nearest loses {100 * lost.mean():.1f} % of the updates and is biased by "
        f"{biases[nearest].mean():+.4f} steps, SR by {bias:+.6f}",
        table=variants_table(runs.results, rows, columns, heading="arithmetic"),
        comparisons=[
            Comparison.of(f"{nearest}: share lost", lost, "above", LOST, digits=4),
            Comparison.of(f"{nearest}: bias (steps)", biases[nearest], "below", digits=5),
            Comparison.of(
                f"{stochastic}: bias (steps)", biases[stochastic], "within", UNBIASED, digits=5
            ),
        ],
        note=f"Over all updates that are not 0 before they are rounded; the bias is applied minus "
        f"wanted in the direction wanted, in steps of 2^-FL, and below 0 where weights move less "
        f"than they should. SR loses many updates too, and the others make up for them: its bias "
        f"at FL={FEW} lies {abs(bias) / error:.1f} standard errors from 0.",
    )
