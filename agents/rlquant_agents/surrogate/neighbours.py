"""Neighbourhoods: configurations that differ from another one in one or two layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices

Floats = npt.NDArray[np.float64]

MOST_NEIGHBOURS = 20_000
MOST_MOVES = 40
"""Of either direction, in swaps of many layers."""


def single_changes(base: Indices, options: int) -> Indices:
    """Return all rows that differ from `base` in one layer, and `base` itself, `(n, layers)`."""
    layers = len(base)
    rows = np.tile(base, (layers * options, 1))
    rows[np.arange(len(rows)), np.repeat(np.arange(layers), options)] = np.tile(
        np.arange(options), layers
    )
    return rows


def random_changes(
    base: Indices, options: int, count: int, generator: np.random.Generator
) -> Indices:
    """Return rows that differ from `base` in at most two layers, drawn, `(count, layers)`."""
    rows = np.tile(base, (count, 1))
    for _ in range(2):
        layers = generator.integers(len(base), size=count)
        rows[np.arange(count), layers] = generator.integers(options, size=count)
    return rows


def feasible_neighbours(
    feasible: FeasibleSet, base: Indices, generator: np.random.Generator
) -> Indices:
    """Return the feasible configurations one or two layers away, a random part of very many."""
    first, second = feasible_changes(feasible, base)
    if len(first) > MOST_NEIGHBOURS:
        chosen = generator.choice(len(first), MOST_NEIGHBOURS, replace=False)
        first, second = first[chosen], second[chosen]
    return changed(base, len(feasible.options), first, second)


def swaps(feasible: FeasibleSet, base: Indices, losses: Floats) -> Indices:
    """Return feasible configurations one or two layers away that promise most, of many layers.

    The best moves that cost more, the best that cost less, and all pairs of one of each.

    Args:
        feasible: costs and limit.
        base: option indices, shape `(layers,)`.
        losses: of all rows of `single_changes`, shape `(layers * options,)`.
    """
    layers, options = feasible.costs.shape
    extra = (feasible.costs - feasible.costs[np.arange(layers), base][:, None]).reshape(-1)
    moves = np.argsort(losses, kind="stable")
    moves = moves[moves % options != base[moves // options]]
    dearer, cheaper = moves[extra[moves] > 0][:MOST_MOVES], moves[extra[moves] <= 0][:MOST_MOVES]
    first = np.concatenate([dearer, cheaper, np.repeat(dearer, len(cheaper))])
    second = np.concatenate([dearer, cheaper, np.tile(cheaper, len(dearer))])
    one = first == second
    cost = extra[first] + np.where(one, 0, extra[second])
    fits = cost <= feasible.limit - feasible.spent(base)
    kept = fits & (one | (first // options != second // options))
    return changed(base, options, first[kept], second[kept])


def feasible_changes(feasible: FeasibleSet, base: Indices) -> tuple[Indices, Indices]:
    """Return every change of one or two layers that keeps the budget.

    Returns:
        Two moves each, shape `(n,)` and `(n,)`: a move to an option at a layer is the number
        `layer * options + option`. In a change of one layer the second move stays where it is.
    """
    layers, options = feasible.costs.shape
    extra = (feasible.costs - feasible.costs[np.arange(layers), base][:, None]).reshape(-1)
    layer, option = np.divmod(np.arange(layers * options), options)
    moves = option != base[layer]
    # a pair of a move and a stay is a change of one layer; the stay is that of the same layer
    two = moves[None, :] & (layer[:, None] < layer[None, :])
    stay = ~moves[None, :] & (layer[:, None] == layer[None, :])
    fits = extra[:, None] + extra[None, :] <= feasible.limit - feasible.spent(base)
    first, second = np.nonzero(moves[:, None] & (two | stay) & fits)
    return first, second


def changed(base: Indices, options: int, first: Indices, second: Indices) -> Indices:
    """Return `base` after pairs of moves as of `feasible_changes`, shape `(n, layers)`."""
    rows = np.repeat(base[None], len(first), axis=0)
    number = np.arange(len(first))
    for moves in (second, first):  # a stay must not undo its move
        layer, option = np.divmod(moves, options)
        rows[number, layer] = option
    return rows
