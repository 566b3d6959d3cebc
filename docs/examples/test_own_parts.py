"""A searcher, a quantizer and a problem of one's own, under the conformance suites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from rlquant import Problem, QuantizationConfig
from rlquant.quantizers import QuantizedTensor, quantize_to_points
from rlquant.testing import ToyProblem
from rlquant.testing.conformance import ProblemConformance, QuantizerConformance
from rlquant_agents import Searcher, Session
from rlquant_agents.testing import SearcherConformance


@dataclass(frozen=True, kw_only=True)
class Mutations(Searcher):
    """Give some layers of the best configuration another option, at random."""

    name: ClassVar[str] = "mutations"
    rate: float = 0.5

    def explore(self, session: Session, seed: int) -> None:
        """Ask until the session says that it is over."""
        generator = np.random.default_rng(seed)
        best = session.ask_cheapest()
        while True:
            indices = np.array(session.feasible.indices(best.config))
            options = generator.integers(len(session.feasible.options), size=len(indices))
            changed = np.where(generator.random(len(indices)) < self.rate, options, indices)
            asked = session.ask_indices(session.feasible.repair(changed).tolist())
            best = max(best, asked, key=lambda evaluation: evaluation.value)


class TestMutations(SearcherConformance):
    def make_searcher(self) -> Searcher:
        return Mutations()


def quantize_to_thirds(weights: torch.Tensor) -> QuantizedTensor:
    """Take the nearest of four points between the smallest and the largest weight of a channel."""
    points = torch.tensor([0.0, 1 / 3, 2 / 3, 1.0])
    return quantize_to_points(weights, points, group_size="channel")


class TestThirds(QuantizerConformance):
    idempotent = keeps_extremes = True

    def quantize(self, weights: torch.Tensor, generator: torch.Generator) -> QuantizedTensor:
        return quantize_to_thirds(weights)


class TwinProblem(ToyProblem):
    """A problem whose first two layers lose more where they differ."""

    def loss(self, config: QuantizationConfig) -> float:
        """Return the loss of a configuration."""
        differ = config["layer0"].bits != config["layer1"].bits
        return super().loss(config) * (1.5 if differ else 1.0)


class TestTwinProblem(ProblemConformance):
    quantities = ("average_bits",)

    def make_problem(self) -> Problem:
        return TwinProblem(3, 6.0)
