"""What a search finds when it asks for many configurations at once: regret by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rlquant import Budget, TabularProblem, load_table
from rlquant.files import make_folder
from rlquant_agents.search.curves import Curve
from rlquant_experiments.comparison.runs import Job, run_jobs
from rlquant_experiments.comparison.stratum import RegretScale, Stack, Stratum
from rlquant_experiments.comparison.variants import Variant
from rlquant_experiments.scaling.settings import ScalingSettings

TARGET = 0.001
"""The regret to which searches are timed."""
RANDOM = Variant.plain("random")
"""What needs no answers to ask: the least that a search with any batch should beat."""


def variants(settings: ScalingSettings) -> list[Variant]:
    """Return a variant of the searcher for each batch, and random search."""
    batched = [
        Variant(label_of(batch), settings.searcher, {"batch": batch}) for batch in settings.batches
    ]
    return [*batched, RANDOM]


def label_of(batch: int) -> str:
    """Return the label of a batch's runs."""
    return f"batch-{batch}"


def searched(settings: ScalingSettings) -> list[Stratum] | None:
    """Make the runs that are not kept yet; return all, by table; None when interrupted."""
    folder = settings.out / "quality"
    strata = [_stratum(name, settings) for name in settings.tables]
    jobs = [job for stratum in strata for job in _jobs(stratum, settings, folder)]
    runs = run_jobs(jobs)
    if runs is None:
        return None
    found = iter(runs)
    return [
        replace(
            stratum,
            runs={
                variant.label: [next(found) for _ in range(settings.seeds)]
                for variant in variants(settings)
            },
        )
        for stratum in strata
    ]


def regrets(strata: Sequence[Stratum], label: str, evaluations: int) -> list[Stack]:
    """Return the regrets of a variant's runs, `(runs, evaluations)` for each table."""
    return [stratum.regrets(label, evaluations) for stratum in strata]


def mean_regret(strata: Sequence[Stratum], label: str, evaluations: int) -> Curve:
    """Return the mean regret over seeds and tables after each evaluation."""
    mean: Curve = np.concatenate(regrets(strata, label, evaluations)).mean(axis=0)
    return mean


def evaluations_to(
    strata: Sequence[Stratum], label: str, evaluations: int, target: float = TARGET
) -> Curve:
    """Return after how many evaluations each run has the target; all where it never has."""
    reached = np.concatenate(regrets(strata, label, evaluations)) <= target
    first: Curve = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, evaluations)
    return first.astype(np.float64)


def _stratum(name: str, settings: ScalingSettings) -> Stratum:
    problem = TabularProblem(load_table(name), Budget.average_bits(settings.budget))
    return Stratum(name, problem, {}, RegretScale.of(problem))


def _jobs(stratum: Stratum, settings: ScalingSettings, folder: Path) -> list[Job]:
    make_folder(folder / stratum.source)
    assert stratum.scale is not None
    return [
        Job(
            stratum.problem,
            variant,
            seed,
            settings.evaluations,
            folder / stratum.source / f"{variant.label}-{settings.budget:g}-{seed}.json",
            stratum.scale.optimum.loss,
        )
        for variant in variants(settings)
        for seed in range(settings.seeds)
    ]
