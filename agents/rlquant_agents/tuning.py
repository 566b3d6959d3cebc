"""A searcher's settings tuned on tables, and judged on tables that were held out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from rlquant import Table
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.comparison_progress import RunsBar
from rlquant_agents.judging.statistics import Estimate, Values, crossed_estimate, estimate
from rlquant_agents.optuna_tuning import open_study
from rlquant_agents.run_settings import read_settings, require_same
from rlquant_agents.searcher import make_searcher
from rlquant_agents.table_jobs import run_jobs
from rlquant_agents.tuning_ranges import Ranges, shipped_settings
from rlquant_agents.tuning_settings import JUDGE_SEED, TuneSettings, shipped_among
from rlquant_agents.tuning_trial import Ground, Grounds, Measure, Tried, grounds_on
from rlquant_agents.variants import Variant

SETTINGS_VERSION = 1


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two settings that are judged, by its runs on the held-out tables.

    Attributes:
        areas: of the runs, see `Ground.area`; shape `(seeds, strata)`, a stratum being a table
            under a budget.
        seconds: that a run took in the mean.
    """

    areas: Values
    seconds: float


@dataclass(frozen=True, eq=False)
class Judged:
    """The winner of a tuning against the shipped settings, run by run.

    Attributes:
        winner: the settings that won.
        shipped: the settings by default.
        tables: of each stratum, the table it is of.
    """

    winner: Side
    shipped: Side
    tables: tuple[str, ...]

    @property
    def differences(self) -> Values:
        """The winner's area less the shipped settings' on the same table, budget and seed."""
        return self.winner.areas - self.shipped.areas

    @property
    def for_seeds(self) -> Estimate:
        """Mean difference; the interval is for other seeds on the same tables."""
        return estimate(self.differences)

    @property
    def for_tables(self) -> Estimate:
        """Mean difference over the tables; the interval is for other seeds and other tables."""
        names = list(dict.fromkeys(self.tables))
        means = [self.of_table(name, self.differences).mean(axis=1) for name in names]
        return crossed_estimate(np.stack(means, axis=1))

    def of_table(self, name: str, values: Values) -> Values:
        """Return the columns that are of a table."""
        found: Values = values[:, [table == name for table in self.tables]]
        return found


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a tuning did and found.

    Attributes:
        tried: the trials, the shipped settings first.
        judged: the winner on the held-out tables; None where the shipped settings won.
        searched: names of the tables that the settings were tried on.
        left_out: what was not searched, and why, in sentences.
        shipped_tables: which of the tables that were searched come with rlquant.
    """

    tried: tuple[Tried, ...]
    judged: Judged | None
    searched: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    shipped_tables: tuple[str, ...] = ()

    @property
    def ranked(self) -> list[Tried]:
        """The trials that saw all tables, the best first; of equal ones the earlier."""
        return sorted((t for t in self.tried if t.finished), key=lambda t: t.value)

    @property
    def winner(self) -> Tried:
        """The best of them."""
        return self.ranked[0]


def tune(settings: TuneSettings) -> Tuning | None:
    """Try settings, then judge the best; what ran before in the folder does not run again.

    Returns:
        None when interrupted.

    Raises:
        RlquantError: settings, a table or a folder that cannot be used.
    """
    settings.require()
    fixed, ranges = settings.fixed_settings(), settings.ranges()
    searched, held_out = settings.read_tables()
    grounds, left_out = grounds_on(searched, settings.limits())
    judged_on, also_left_out = grounds_on(held_out, settings.limits())
    torch.set_num_threads(settings.threads)
    make_folder(settings.folder)
    _keep_settings(settings, fixed, ranges, searched)
    try:
        tried = _search(settings, fixed, ranges, grounds)
    except KeyboardInterrupt:
        return None
    found = Tuning(
        tried=tried,
        judged=None,
        searched=tuple(under[0].problem.table.name for under in grounds),
        left_out=(*left_out, *also_left_out),
        shipped_tables=tuple(shipped_among(searched)),
    )
    if not found.winner.number:
        return found
    judged = _judge(settings, fixed, found.winner, judged_on)
    return None if judged is None else dataclasses.replace(found, judged=judged)


def _search(
    settings: TuneSettings, fixed: Mapping[str, Any], ranges: Ranges, grounds: Grounds
) -> tuple[Tried, ...]:
    """Try settings until there are as many trials as asked for."""
    shipped = shipped_settings(settings.searcher, ranges)
    with open_study(settings.folder / "study.sqlite", ranges, shipped, settings.seed) as study:
        left = settings.trials - len(study.tried())
        if left > 0:
            runs = sum(len(under) for under in grounds) * settings.seeds
            progress = RunsBar(left * runs, settings.evaluations)
            with progress.bar:
                study.run(
                    settings.trials,
                    Measure(
                        searcher=settings.searcher,
                        fixed=fixed,
                        grounds=grounds,
                        seeds=range(settings.seeds),
                        evaluations=settings.evaluations,
                        folder=settings.folder / "trials",
                        progress=progress,
                    ),
                )
        return study.tried()


def _judge(
    settings: TuneSettings, fixed: Mapping[str, Any], winner: Tried, grounds: Grounds
) -> Judged | None:
    """Run the winner and the shipped settings on the held-out tables; None when interrupted."""
    folder = settings.folder / "held-out"
    make_folder(folder)
    variants = (
        Variant(f"trial-{winner.number}", settings.searcher, {**fixed, **winner.settings}),
        Variant("shipped", settings.searcher, fixed),
    )
    strata = [ground for under in grounds for ground in under]
    seeds = range(JUDGE_SEED, JUDGE_SEED + settings.judge_seeds)
    jobs = [
        ground.job(variant, seed, settings.evaluations, folder)
        for seed in seeds  # both sides in turn, so that the machine is equally busy for them
        for ground in strata
        for variant in variants
    ]
    runs = run_jobs(jobs)
    if runs is None:
        return None
    shape = (len(seeds), len(strata))
    sides = []
    for place in range(len(variants)):
        own = runs[place :: len(variants)]
        under: list[Ground] = strata * len(seeds)
        areas = [g.area(r.curve, settings.evaluations) for g, r in zip(under, own, strict=True)]
        sides.append(Side(np.array(areas).reshape(shape), fmean(run.seconds for run in own)))
    return Judged(sides[0], sides[1], tuple(g.problem.table.name for g in strata))


def _keep_settings(
    settings: TuneSettings, fixed: Mapping[str, Any], ranges: Ranges, tables: Sequence[Table]
) -> None:
    """Write down what trials depend on; `SettingsError` where the folder holds another tuning."""
    document = {
        "version": SETTINGS_VERSION,
        "searcher": settings.searcher,
        "settings": dataclasses.asdict(make_searcher(settings.searcher, **fixed)),
        "ranges": {name: repr(of) for name, of in ranges.items()},
        "tables": {table.name: table.fingerprint for table in tables},
        "budgets": [str(budget) for budget in settings.limits()],
        "evaluations": settings.evaluations,
        "seeds": settings.seeds,
    }
    path = settings.folder / "settings.json"
    here = json.loads(json.dumps(document))  # as it will be read back
    there = read_settings(path)
    if there is None:
        write_file(path, json.dumps(here, indent=2) + "\n")
    else:
        require_same(here, there, settings.folder, tuple(here))
