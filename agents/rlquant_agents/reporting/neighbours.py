"""One-layer neighbours of the best configuration: their exact costs, and losses where measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlquant import LayerChoice, QuantizationConfig
from rlquant.config import decisions_apart
from rlquant.cost.feasible import option_distance
from rlquant.space import for_layer
from rlquant_agents.reporting.run_files import RunFiles


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The delivered configuration with one layer at another option.

    Attributes:
        choice: the option.
        units: change of the budget's units.
        size: change of the file's bytes; None where bytes do not add up over layers.
        over: units above the budget; 0 where it keeps it.
        loss: what the search measured for exactly this configuration; None if it did not.
    """

    choice: LayerChoice
    units: int
    size: int | None
    over: int
    loss: float | None


Neighbours = tuple[Neighbour | None, Neighbour | None]
"""One option down and one option up; None at either end."""


def neighbours(run: RunFiles) -> list[Neighbours]:
    """Return the neighbours of each layer's choice.

    Up is the nearest more expensive option and down the nearest cheaper one, in what the budget
    limits and then in bytes; options that change nothing but bits are nearer than all others.
    """
    chosen = run.facts.chosen(run.config)
    beside = []
    for layer in range(len(chosen)):
        down, up = (_nearest(run, layer, chosen[layer], sign) for sign in (-1, 1))
        beside.append((_neighbour(run, chosen, layer, down), _neighbour(run, chosen, layer, up)))
    return beside


def _nearest(run: RunFiles, layer: int, here: int, sign: int) -> int | None:
    """Return the nearest option in the direction of `sign`, None at the end."""
    options = run.facts.options

    def away(option: int) -> tuple[int, int]:
        units, size = _change(run, layer, here, option)
        return sign * units, sign * (size or 0)

    beyond = [option for option in range(len(options)) if away(option) > (0, 0)]
    return min(
        beyond,
        key=lambda option: (
            decisions_apart(options[option], options[here]) > 0,
            option_distance(options[option], options[here]),
            away(option),
        ),
        default=None,
    )


def _change(run: RunFiles, layer: int, here: int, there: int) -> tuple[int, int | None]:
    """Return by how many units and bytes one option of a layer is more expensive than another."""
    units, size = run.facts.cost.units[layer], run.facts.size
    bytes_more = None if size is None else size.units[layer][there] - size.units[layer][here]
    return units[there] - units[here], bytes_more


def _neighbour(
    run: RunFiles, chosen: Sequence[int], layer: int, option: int | None
) -> Neighbour | None:
    if option is None:
        return None
    units, size = _change(run, layer, chosen[layer], option)
    spent = run.facts.cost.total(chosen) + units
    choice = for_layer(run.facts.options[option], run.facts.layers[layer].name)
    over = max(0, spent - run.facts.limit)
    return Neighbour(choice, units, size, over, run.measured(_with(run.config, choice)))


def _with(config: QuantizationConfig, choice: LayerChoice) -> QuantizationConfig:
    """Return a configuration with one layer's choice replaced."""
    return replace(config, choices=tuple(choice if c.layer == choice.layer else c for c in config))
