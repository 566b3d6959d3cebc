"""The report of a comparison of fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlquant.escaping import markdown_table
from rlquant_experiments.comparison.report_file import Report, image, made_by
from rlquant_experiments.comparison.statistics.fronts import Between
from rlquant_experiments.comparison.statistics.statistics import Estimate, Values, estimate

CHOSEN = "dyna-ppo, every budget"

Volumes = Mapping[str, Values]
"""Hypervolumes by way, shape `(seeds, problems)`."""


def front_report(
    volumes: Volumes, between: Between, evaluations: int, command: Sequence[str], threads: int
) -> Report:
    """Return the report.

    Args:
        volumes: what the fronts of each way dominate.
        between: the budgets.
        evaluations: of each way in all.
        command: that made them.
        threads: of torch.
    """
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.comparison.statistics.figures import volumes_figure

    levels = {way: estimate(values) for way, values in volumes.items()}
    ranked = sorted(levels, key=lambda way: -levels[way].value)
    chosen = CHOSEN if CHOSEN in volumes else ranked[0]
    differences = {w: estimate(volumes[chosen] - volumes[w]) for w in volumes if w != chosen}
    against = {way: difference.words(4, signed=True) for way, difference in differences.items()}
    rows = [(way, levels[way].words(4), against.get(way, "")) for way in ranked]
    seeds, problems = volumes[chosen].shape
    parts = [
        f"# Fronts between {between[0]:g} and {between[1]:g} average bits",
        made_by(command, threads),
        f"Each way may measure {evaluations} configurations in all, {seeds} seeds on {problems} "
        f"problems. Hypervolumes are shares: on a table 1 is its whole front. 95 % intervals by "
        f"stratified bootstrap; differences are paired by seed.",
        markdown_table(("way", "hypervolume", f"{chosen} less this"), rows, "lr"),
        image("hypervolume of each way", ""),
        _verdict(chosen, differences, seeds),
    ]
    return Report("\n\n".join(parts) + "\n", {"": png(volumes_figure(levels))})


def _verdict(chosen: str, differences: Mapping[str, Estimate], seeds: int) -> str:
    if seeds < 2:
        return "One seed tells nobody apart; give more --seeds."
    above = [way for way, difference in differences.items() if difference.low > 0]
    below = [way for way, difference in differences.items() if difference.high < 0]
    even = [way for way in differences if way not in above and way not in below]
    words = [
        f"It dominates more than {'; '.join(above)}." if above else "",
        f"No difference is shown to {'; '.join(even)}." if even else "",
        f"It dominates less than {'; '.join(below)}." if below else "",
    ]
    return " ".join([f"**{chosen}**:", *filter(None, words)])
