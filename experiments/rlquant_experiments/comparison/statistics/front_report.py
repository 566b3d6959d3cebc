"""Fronts compared, as Markdown and a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlquant_experiments.comparison.comparison_report import made_by, markdown_table
from rlquant_experiments.comparison.statistics.fronts import FrontJob
from rlquant_experiments.comparison.statistics.statistics import Estimate, Values, estimate

CHOSEN = "dyna-ppo, every budget"


def front_report(
    jobs: Sequence[FrontJob], volumes: Sequence[float], command: Sequence[str], threads: int
) -> tuple[str, bytes]:
    """Return the report, with FIGURE where the picture's name goes, and the picture.

    Args:
        jobs: all searches; equally many seeds of each way on each problem.
        volumes: their hypervolumes.
        command: that made them.
        threads: of torch.
    """
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.comparison.statistics.front_figures import volumes_figure

    found = volumes_by_way(jobs, volumes)
    task = jobs[0].task
    levels = {way: estimate(values) for way, values in found.items()}
    ranked = sorted(levels, key=lambda way: -levels[way].value)
    chosen = CHOSEN if CHOSEN in found else ranked[0]
    rows = [(way, levels[way].words(4), _against(found, chosen, way)) for way in ranked]
    headings = ("way", "hypervolume", f"{chosen} less this")
    parts = [
        f"# Fronts between {task.lowest:g} and {task.highest:g} average bits",
        made_by(command, threads),
        f"Each way may measure {task.evaluations} configurations in all, {len(found[chosen])} "
        f"seeds on {len(_problems(jobs))} problems. Hypervolumes are shares: on a table 1 is its "
        f"whole front. 95 % intervals by stratified bootstrap; differences are paired by seed.",
        markdown_table(headings, rows),
        "![hypervolume of each way](FIGURE)",
        _verdict(found, chosen),
    ]
    return "\n\n".join(parts) + "\n", png(volumes_figure(levels))


def volumes_by_way(jobs: Sequence[FrontJob], volumes: Sequence[float]) -> dict[str, Values]:
    """Return the hypervolumes of each way, shape `(seeds, problems)`."""
    columns = {name: i for i, name in enumerate(_problems(jobs))}
    seeds = 1 + max(job.task.seed for job in jobs)
    found: dict[str, Values] = {}
    for job, volume in zip(jobs, volumes, strict=True):
        table = found.setdefault(job.way, np.full((seeds, len(columns)), np.nan))
        table[job.task.seed, columns[job.name]] = volume
    return found


def _problems(jobs: Sequence[FrontJob]) -> list[str]:
    return list(dict.fromkeys(job.name for job in jobs))


def _difference(found: dict[str, Values], chosen: str, way: str) -> Estimate:
    return estimate(found[chosen] - found[way])


def _against(found: dict[str, Values], chosen: str, way: str) -> str:
    return "" if way == chosen else _difference(found, chosen, way).words(4, signed=True)


def _verdict(found: dict[str, Values], chosen: str) -> str:
    if len(found[chosen]) < 2:
        return "One seed tells nobody apart; give more --seeds."
    others = {way: _difference(found, chosen, way) for way in found if way != chosen}
    above = [way for way, difference in others.items() if difference.low > 0]
    below = [way for way, difference in others.items() if difference.high < 0]
    even = [way for way in others if way not in above and way not in below]
    words = [
        f"It dominates more than {'; '.join(above)}." if above else "",
        f"No difference is shown to {'; '.join(even)}." if even else "",
        f"It dominates less than {'; '.join(below)}." if below else "",
    ]
    return " ".join([f"**{chosen}**:", *filter(None, words)])
