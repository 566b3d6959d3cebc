"""Efficiencies of simulated searches: every network, number of workers and way to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rlquant_experiments.scaling.measured import Measured, Proposal
from rlquant_experiments.scaling.settings import ScalingSettings
from rlquant_experiments.scaling.simulation import (
    Evaluations,
    Overheads,
    asynchronous,
    efficiency,
    in_batches,
)

BATCHES = (1, 2, 4)
"""A batch is so many times the number of workers."""
ASYNCHRONOUS = "asynchronous"
WAYS = (*(f"batch {times} x workers" for times in BATCHES), ASYNCHRONOUS)
PENDING = 2
"""An asynchronous search has so many configurations asked for, for each worker."""


@dataclass(frozen=True)
class Simulated:
    """Efficiencies with one network's evaluation times, each in [0, 1].

    Attributes:
        network: its name.
        mean: seconds of an evaluation that is no straggler.
        efficiencies: way -> number of workers -> efficiency.
    """

    network: str
    mean: float
    efficiencies: Mapping[str, Mapping[int, float]]


def simulated(settings: ScalingSettings, measured: Measured) -> list[Simulated]:
    """Simulate searches of every network whose evaluations were timed."""
    overheads = Overheads(measured.handling, measured.latency, proposing(measured.proposals))
    return [
        Simulated(
            times.name,
            float(np.mean(times.seconds)),
            _efficiencies(
                Evaluations(times.seconds, settings.stragglers, settings.slowdown),
                settings,
                overheads,
            ),
        )
        for times in measured.all_times
    ]


def proposing(proposals: tuple[Proposal, ...]) -> Callable[[int], float]:
    """Return the seconds of a proposal by batch: interpolated, and beyond by the configuration."""
    ordered = sorted(proposals, key=lambda each: each.batch)
    batches, seconds = [p.batch for p in ordered], [p.seconds for p in ordered]

    def of(batch: int) -> float:
        return max(1.0, batch / batches[-1]) * float(np.interp(batch, batches, seconds))

    return of


def _efficiencies(
    evaluations: Evaluations, settings: ScalingSettings, overheads: Overheads
) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {way: {} for way in WAYS}
    for workers in settings.workers:
        seconds = evaluations.drawn(settings.rounds * workers, seed=workers)
        ends = [in_batches(seconds, workers, times * workers, overheads) for times in BATCHES]
        ends.append(asynchronous(seconds, workers, PENDING * workers, overheads))
        for way, end in zip(WAYS, ends, strict=True):
            found[way][workers] = efficiency(seconds, workers, end)
    return found
