"""P7 and P10: the noise of stochastic rounding, and time against depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding, Table
from rlquant_experiments.reproduction.polino.jobs import noise_variant
from rlquant_experiments.reproduction.polino.presets import PolinoPreset
from rlquant_experiments.reproduction.polino.variants import DEPTH, FLOAT, NOISE
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Summary, Values
from rlquant_experiments.reproduction.tables import variants_table

P7 = Claim(
    "P7",
    "Stochastic rounding of weights adds noise of mean 0 to a dot product, the more Gaussian the "
    "longer the vectors; rounding to nearest does not.",
)
P10 = Claim("P10", "The time of a student falls linearly with its depth.")

STANDARD_ERRORS = 3
NEAR_PERCENT = 25
GAUSSIAN_DISTANCE = 0.87
"""Mean KS distance of N draws of the distribution itself, times the root of N."""


def noise_finding(preset: PolinoPreset, results: Results) -> Finding:
    """Return the finding on P7."""
    noise = preset.noise

    def values(length: int, figure: str) -> Values:
        return results.values(NOISE, noise_variant(length), figure)

    limit, floor = (c / noise.draws**0.5 for c in (STANDARD_ERRORS, GAUSSIAN_DISTANCE))
    short, long = noise.lengths[0], noise.lengths[-1]
    distances = {n: float(values(n, "ks").mean()) for n in noise.lengths}
    nearest = np.mean([np.abs(values(n, "nearest_bias")) for n in noise.lengths], axis=0)
    columns = {
        "mean (deviations)": ("bias", 4),
        "spread (deviations)": ("spread", 3),
        "KS distance": ("ks", 4),
        "excess kurtosis by formula": ("kurtosis", 4),
        "nearest (deviations)": ("nearest_bias", 2),
    }
    rows = [(NOISE, noise_variant(n)) for n in noise.lengths]
    return Finding(
        claim=P7,
        ours="KS distance " + ", ".join(f"{d:.4f} at n = {n}" for n, d in distances.items()),
        table=variants_table(results, rows, columns, heading="length"),
        comparisons=[
            *(
                Comparison.of(
                    f"SR, n = {n}: mean (deviations)",
                    values(n, "bias"),
                    "within",
                    round(limit, 4),
                    digits=4,
                )
                for n in noise.lengths
            ),
            Comparison.of(
                f"KS distance at n = {short} - at n = {long}",
                values(short, "ks") - values(long, "ks"),
                "above",
                digits=4,
            ),
            Comparison.of(
                "nearest: size of its error, mean over n (deviations)",
                nearest,
                "above",
                round(limit, 4),
            ),
        ],
        note=f"Random v and x, {noise.draws:,} draws of Q(v).x at {noise.bits} bits for each of "
        f"{noise.seeds} pairs, in standard deviations of the noise, which follow from v and x. "
        f"The limit is {STANDARD_ERRORS} standard errors of one pair's mean. With so many draws "
        f"truly Gaussian noise has a KS distance of about {floor:.4f}, and distances near that "
        f"tell no lengths apart; the excess kurtosis, which needs no draws, does.",
    )


def depth_finding(preset: PolinoPreset, results: Results) -> Finding:
    """Return the finding on P10."""
    depth = preset.depth
    deepest, shallower = depth.layers[0], depth.layers[1:]

    def values(figure: str) -> Values:
        return results.values(DEPTH, FLOAT, figure)

    faster = {n: values(f"times as fast with {n} layers") for n in shallower}
    fewer = {n: values(f"times fewer operations with {n} layers") for n in shallower}
    return Finding(
        claim=P10,
        ours="; ".join(
            f"{n} of {deepest} layers: {Summary.of(faster[n]).words()} times as fast with "
            f"{fewer[n].mean():.2f} times fewer operations"
            for n in shallower
        ),
        table=_times(depth.layers, results),
        comparisons=[
            Comparison.of(
                f"{n} of {deepest} layers: speed-up beyond that of operations (%)",
                100 * (faster[n] / fewer[n] - 1),
                "within",
                NEAR_PERCENT,
                digits=1,
            )
            for n in shallower
        ],
        note=f"Float networks of {depth.channels} channels on {depth.pixels}x{depth.pixels} "
        f"inputs, {depth.batch_size} a pass; {depth.rounds} rounds in which the networks take "
        f"turns, the median of the ratios within a round, {depth.seeds} repetitions. Nothing is "
        f"said of quantized kernels: quantized networks run in float here.",
    )


def _times(layers: Sequence[int], results: Results) -> Table:
    rows = []
    for count in layers:
        times = results.values(DEPTH, FLOAT, f"milliseconds of {count} layers")
        rows.append((str(count), Summary.of(times).words(), str(len(times))))
    return Table(("layers", "median of a pass (ms)", "repetitions"), rows)
