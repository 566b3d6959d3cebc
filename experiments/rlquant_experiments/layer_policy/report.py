"""The page of first answers: what a policy over layers is worth before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from rlquant.escaping import markdown_table
from rlquant_experiments.comparison.statistics.statistics import Estimate, estimate
from rlquant_experiments.landscapes.landscape import Landscape
from rlquant_experiments.layer_policy.first_answers import (
    BEST,
    FISHER,
    WEIGHT_ERRORS,
    Answers,
)
from rlquant_experiments.layer_policy.folds import GRADIENTS, IMITATION, LEARNED, REINFORCED
from rlquant_experiments.layer_policy.foresight import Foresight

INTRODUCTION = """# A policy over layers

Of many layers, `auto` asks first for the knapsack over expected loss increases, which gradients
give without an evaluation. Here an encoder over all layers corrects the logs of these increases: it
begins at no correction, is taught on small networks (regression on measured configurations, then
PPO with rewards of a surrogate that is fitted to them), and the knapsack is solved over what it
corrected. A family is always held out. Intervals (95 %) are over networks.
"""
ENOUGH = 6
"""Networks for an interval over them."""
Foreseen = Mapping[str, Mapping[str, Sequence[Foresight]]]
"""By network and way."""


def answers_section(answers: Sequence[Answers]) -> str:
    """Return measured first answers against those by gradients, by family and over networks."""
    ways = [w for w in (FISHER, WEIGHT_ERRORS, *LEARNED, BEST) if w in answers[0].increases]
    rows = []
    ordered = sorted(answers, key=lambda each: each.family)
    for family, found in groupby(ordered, key=lambda each: each.family):
        own = list(found)
        cells = [f"{np.mean([each.logs(way) for each in own]):+.3f}" for way in ways]
        rows.append([family, str(len(own)), *cells])
    over = [over_networks([each.logs(way) for each in answers]).words(signed=True) for way in ways]
    rows.append(["**all networks**", str(len(answers)), *over])
    table = markdown_table(["family held out", "networks", *ways], rows, "lr" + "r" * len(ways))
    words = (
        "Log of an answer's loss increase over that of the knapsack over gradients, mean over the "
        "budgets: below 0 it is better. The last column is the best of what a landscape holds."
    )
    parts = ["## First answers, families held out", words, table, *_duels(answers, ways)]
    return "\n\n".join(parts)


def _duels(answers: Sequence[Answers], ways: Sequence[str]) -> list[str]:
    pairs = [(IMITATION, "layers alone"), (REINFORCED, IMITATION)]
    lines = [
        f"- {one} against {other}: "
        f"{over_networks([each.logs(one, other) for each in answers]).words(signed=True)}"
        for one, other in pairs
        if one in ways and other in ways
    ]
    return ["\n".join(lines)] if lines else []


def foresight_section(title: str, foreseen: Foreseen) -> str:
    """Return how well measured losses are foreseen within a budget, network by network."""
    ways = list(next(iter(foreseen.values())))
    rows = []
    for name, found in foreseen.items():
        rows.append([name, *(_cell(found[way]) for way in ways)])
    table = markdown_table(["network", *ways], rows, "l" + "r" * len(ways))
    words = (
        "Spearman's rank correlation of predicted and measured losses / root mean square error of "
        "their logs less its mean, within a budget, mean over the budgets."
    )
    parts = [f"## {title}", words, table]
    if len(foreseen) >= ENOUGH:
        lines = []
        for way in ways:
            if way == GRADIENTS:
                continue
            changes = [_mean_error(f[way]) - _mean_error(f[GRADIENTS]) for f in foreseen.values()]
            ranks = [_mean_rank(f[way]) - _mean_rank(f[GRADIENTS]) for f in foreseen.values()]
            lines.append(
                f"- {way} less gradients: rank correlation "
                f"{over_networks(ranks).words(signed=True)}, error "
                f"{over_networks(changes).words(signed=True)}"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(found: Sequence[Foresight]) -> str:
    return f"{_mean_rank(found):.3f} / {_mean_error(found):.3f}"


def _mean_rank(found: Sequence[Foresight]) -> float:
    return float(np.mean([each.rank for each in found]))


def _mean_error(found: Sequence[Foresight]) -> float:
    return float(np.mean([each.error for each in found]))


def over_networks(values: Sequence[float]) -> Estimate:
    """Return a mean over networks, with the interval that other networks would give."""
    return estimate(np.array(values, dtype=np.float64)[:, None])


def landscapes_table(landscapes: Sequence[Landscape]) -> str:
    """Return the networks and how much was measured of each."""
    rows = [
        [
            each.name,
            str(len(each.names)),
            str(each.increases.shape[1]),
            str(len(np.unique(each.rows, axis=0))),
            f"{np.exp(np.log(above).mean()):.3g}",
        ]
        for each in landscapes
        for above in [np.maximum(each.losses - each.float_loss, 1e-9)]
    ]
    headings = ["network", "layers", "options", "configurations", "increase, geometric mean"]
    return markdown_table(headings, rows, "lrrrr")
