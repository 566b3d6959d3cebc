"""Options that give a layer the same weights: a group of at least a row's length is the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice
from rlquant.cost.decisions import Indices
from rlquant.layers import LayerFacts


def standing_options(
    layers: Sequence[LayerFacts],
    ties: Mapping[str, Sequence[str]],
    options: Sequence[LayerChoice],
    own: npt.NDArray[np.bool_],
) -> Indices:
    """Return for every option the one that stands for it at each layer, `(layers, options)`.

    Groups of 32, 64 or a whole channel are all the same for a depthwise convolution of 3 x 3. A
    search that took them for three options would measure the same network again and again.

    Args:
        layers: the searched layers in execution order.
        ties: the layers of each decision; options are the same only where all of these agree.
        options: the canonical choices of a layer.
        own: which options each layer has, shape `(layers, options)`.

    Returns:
        Numbers of options: of those that are the same, "channel" where the layer has it, else the
        first that it has; an option that is like no other stands for itself.
    """
    number = {facts.name: row for row, facts in enumerate(layers)}
    found = np.tile(np.arange(len(options)), (len(layers), 1))
    for names in ties.values():
        members = [number[name] for name in names]
        longest = max(row_length(layers[member]) for member in members)
        alike: dict[LayerChoice, list[int]] = {}
        for option in np.flatnonzero(own[members].all(axis=0)).tolist():
            size = options[option].group_size
            if size == "channel" or (isinstance(size, int) and size >= longest):
                alike.setdefault(replace(options[option], group_size="channel"), []).append(option)
        for channel, same in alike.items():
            stands = next((option for option in same if options[option] == channel), same[0])
            found[np.ix_(members, same)] = stands
    return found


def row_length(facts: LayerFacts) -> int:
    """Return the weights of one output channel."""
    return facts.parameters // facts.shape[facts.channel_axis]
