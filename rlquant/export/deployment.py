"""What a problem asks of the place where its networks run: options, and what they take there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.config import Fidelity, LayerChoice
from rlquant.cost.budget import NetworkCosts
from rlquant.counted import counted
from rlquant.errors import ChoiceError
from rlquant.layers import LayerFacts
from rlquant.space import SearchSpace


def expressible(
    target: str,
    layers: Sequence[LayerFacts],
    options: Sequence[LayerChoice],
    refusal: Callable[[LayerFacts, LayerChoice], str | None],
) -> npt.NDArray[np.bool_]:
    """Return which options a target can express at each layer, shape `(layers, options)`.

    Args:
        target: its name, for errors.
        layers: the searched ones.
        options: of the space, layer names empty.
        refusal: why a layer cannot have an option there, None where it can.

    Raises:
        ChoiceError: layers of which none of the options can be expressed; the first are named.
    """
    reasons = [[refusal(facts, option) for option in options] for facts in layers]
    found = np.array([[reason is None for reason in row] for row in reasons], dtype=np.bool_)
    never = [i for i, row in enumerate(found) if not row.any()]
    if never:
        named = "; ".join(f"{layers[i].name!r}: {reasons[i][0]}" for i in never[:4])
        raise ChoiceError(
            f"target {target!r} can express no option of {counted(len(never), 'layer')}: {named}; "
            f"name them "
            f"in exclude, or give other options"
        )
    return found


class Deployment(Protocol):
    """One network in one place of use, whatever is chosen for its layers."""

    def costs(self, costs: NetworkCosts) -> NetworkCosts:
        """Return the costs with the bits and bytes that the network takes there."""

    def own_options(
        self, costs: NetworkCosts, layers: Sequence[LayerFacts], options: Sequence[LayerChoice]
    ) -> npt.NDArray[np.bool_]:
        """Return which options each layer can have there, shape `(layers, options)`."""


class DeploymentTarget(Protocol):
    """A place of use that counts in its own bytes."""

    def space_for(self, network: nn.Module, fidelity: Fidelity) -> SearchSpace:
        """Return the space where none is given."""

    def restrict(self, space: SearchSpace, network: nn.Module) -> SearchSpace:
        """Return what can be expressed there of a space for a network."""

    def deploy(self, network: nn.Module) -> Deployment:
        """Return what a float network takes there, refused before anything is measured."""
