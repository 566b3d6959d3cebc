"""Leave one family out: encoders that have not seen a family, and what they say of its networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from rlquant_experiments.landscapes.landscape import Floats, Landscape
from rlquant_experiments.layer_policy.encoder import LayerEncoder
from rlquant_experiments.layer_policy.examples import Examples, examples_of
from rlquant_experiments.layer_policy.foresight import Foresight, foresee
from rlquant_experiments.layer_policy.imitation import ImitationSettings, imitate
from rlquant_experiments.layer_policy.policy_gradient import (
    ReinforcementSettings,
    reinforce,
    surrogate_reward,
)

GRADIENTS, ALONE, IMITATION, REINFORCED = "gradients", "layers alone", "imitation", "imitation + RL"
LEARNED = (ALONE, IMITATION, REINFORCED)
"""Ways of an encoder: without attention, with it, and reinforced after that."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How encoders are taught.

    Attributes:
        imitation: on measured configurations.
        reinforcement: after it.
        seeds: encoders of each way; their corrections' mean counts.
    """

    imitation: ImitationSettings = field(default_factory=ImitationSettings)
    reinforcement: ReinforcementSettings = field(default_factory=ReinforcementSettings)
    seeds: int = 2


class Ensemble:
    """The mean corrections of several encoders.

    Args:
        encoders: of one way.
    """

    def __init__(self, encoders: Sequence[LayerEncoder]) -> None:
        self.encoders = tuple(encoders)

    def corrections(self, examples: Examples) -> Floats:
        """Return corrections of the logs of increases, shape `(n, layers, options)`."""
        with torch.no_grad():
            found = [each(examples.features, examples.own).mean for each in self.encoders]
        mean: Floats = torch.stack(found).mean(dim=0).double().numpy()
        return mean


def folds_of(
    landscapes: Sequence[Landscape],
) -> Iterator[tuple[str, list[Landscape], list[Landscape]]]:
    """Yield each family, the landscapes of the others, and its own, which are held out."""
    for family in sorted({each.family for each in landscapes}):
        others = [each for each in landscapes if each.family != family]
        yield family, others, [each for each in landscapes if each.family == family]


def taught(landscapes: Sequence[Landscape], settings: TrainingSettings) -> dict[str, Ensemble]:
    """Return encoders by way, taught on landscapes."""
    examples = examples_of(landscapes)
    reinforces = settings.reinforcement.updates > 0
    rewards = [surrogate_reward(each) for each in landscapes] if reinforces else []
    found: dict[str, list[LayerEncoder]] = {way: [] for way in LEARNED}
    for seed in range(settings.seeds):
        alone = replace(settings.imitation, blocks=0)
        found[ALONE].append(imitate(examples, alone, seed))
        imitated = imitate(examples, settings.imitation, seed)
        found[IMITATION].append(imitated)
        if reinforces:
            found[REINFORCED].append(
                reinforce(imitated, landscapes, rewards, examples, settings.reinforcement, seed)
            )
    return {way: Ensemble(encoders) for way, encoders in found.items() if encoders}


def foreseen(landscape: Landscape, encoders: dict[str, Ensemble]) -> dict[str, list[Foresight]]:
    """Return by way how well a network's measured losses are foreseen."""
    examples = examples_of([landscape])
    found = {GRADIENTS: foresee(examples, np.zeros(examples.logs.shape))}
    for way, ensemble in encoders.items():
        found[way] = foresee(examples, ensemble.corrections(examples))
    return found
