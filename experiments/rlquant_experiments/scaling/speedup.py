"""How much faster a search gets to a regret: workers speed it up, large batches slow it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlquant_experiments.comparison.stratum import Stratum
from rlquant_experiments.scaling.quality import evaluations_to, label_of
from rlquant_experiments.scaling.settings import ScalingSettings
from rlquant_experiments.scaling.simulated import BATCHES, WAYS, Simulated


@dataclass(frozen=True)
class Speedup:
    """Speed-ups of a number of workers.

    Attributes:
        workers: how many.
        by_multiple: for each of `BATCHES`, over one worker with a batch of 1; None where searches
            with that batch were not run.
    """

    workers: int
    by_multiple: tuple[float | None, ...]


def speedups(
    settings: ScalingSettings, network: Simulated, strata: Sequence[Stratum]
) -> list[Speedup]:
    """Return the speed-ups of every number of workers for which some batch was run."""
    needed = {
        batch: float(evaluations_to(strata, label_of(batch), settings.evaluations).mean())
        for batch in settings.batches
    }

    def rate(workers: int, times: int) -> float | None:
        """Return evaluations at a time, over those that are needed."""
        batch = times * workers
        if batch not in needed:
            return None
        return workers * network.efficiencies[WAYS[BATCHES.index(times)]][workers] / needed[batch]

    base = rate(1, 1)
    if base is None:
        return []
    found = []
    for workers in settings.workers:
        rates = [rate(workers, times) for times in BATCHES]
        if any(rates):
            ratios = tuple(None if each is None else each / base for each in rates)
            found.append(Speedup(workers, ratios))
    return found
