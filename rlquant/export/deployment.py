"""What a problem asks of the place where its networks run: options, and what they take there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.config import Fidelity, LayerChoice
from rlquant.cost.budget import NetworkCosts
from rlquant.layers import LayerFacts
from rlquant.space import SearchSpace


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
