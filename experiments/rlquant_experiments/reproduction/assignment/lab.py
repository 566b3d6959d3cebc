"""A float network and what is measured of it once, for all ways to assign its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from rlquant.config import LayerChoice, QuantizationConfig, Rounding
from rlquant.cost.budget import Budget
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.measure import measure, run_batches
from rlquant.problem.live import QuantizationProblem
from rlquant.problem.refine import Weights, network_with, require_refinable
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.rounding import layer_generator
from rlquant.rounding.neighbours import Neighbours
from rlquant.rounding.output_error import reconstruction_error
from rlquant.tasks.registry import default_settings, load
from rlquant.tasks.task import Task
from rlquant_experiments.reproduction.runs import Measured

AssignLayer = Callable[[Tensor, QuantizedTensor, Tensor, torch.Generator], QuantizedTensor]
"""A weight, its nearest rounding, moments and draws in, other codes out."""
BUDGET = Budget.average_bits(32.0)
"""Nothing is searched here, so nothing is limited."""


@dataclass(frozen=True, slots=True, eq=False)
class Lab:
    """A float network of a task, trained from one seed, and its problem."""

    task: Task
    problem: QuantizationProblem
    seed: int

    @property
    def evaluator(self) -> Evaluator:
        """Has moments, calibration and validation batches."""
        return require_refinable(self.problem)

    def config(self, bits: int, rounding: Rounding = "nearest") -> QuantizationConfig:
        """Return all layers at one width, scales that clip where the squared error is least."""
        choice = LayerChoice("", bits, rounding, points="clipped")
        return QuantizationConfig.uniform(choice, self.layers)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in execution order."""
        return tuple(facts.name for facts in self.problem.layers)

    def rounded(self, bits: int, rounding: Rounding = "nearest") -> Weights:
        """Return the weights as the library rounds them."""
        return {c.layer: self.evaluator.bank.tensor(c) for c in self.config(bits, rounding)}

    def assigned(self, bits: int, assign: AssignLayer) -> Weights:
        """Return the weights assigned layer by layer."""
        nearest, found = self.rounded(bits), {}
        for name in self.layers:
            draws = layer_generator(self.seed, f"{name}:assignment")
            found[name] = assign(self.weight(name), nearest[name], self.moments[name], draws)
        return found

    def weight(self, layer: str) -> Tensor:
        """Return a layer's float weight."""
        weight = self.problem.network.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        return weight.detach()

    @property
    def moments(self) -> Mapping[str, Tensor]:
        """By what matrix each layer's weight errors count."""
        return self.evaluator.moments

    def figures(self, bits: int, weights: Weights) -> Measured:
        """Measure a network with these weights.

        Returns:
            layer_error: mean over layers of the error of their outputs over nearest rounding's.
            loss, test_loss: of the calibrated network.
            test_error: in percent.
            moved: share of the weights that are not where nearest rounding puts them.
        """
        nearest = self.rounded(bits)
        network = network_with(self.evaluator, self.config(bits).canonical(), weights)
        validated = run_batches(network, self.evaluator.batches, self.evaluator.objective)
        tested = measure(network, self.task.test)
        moved = sum(int((weights[n].codes != nearest[n].codes).sum()) for n in self.layers)
        errors = [self._error(n, weights[n]) / self._error(n, nearest[n]) for n in self.layers]
        return {
            "layer_error": sum(errors) / len(errors),
            "loss": validated.loss,
            "test_loss": tested.loss,
            "test_error": 100 * (1 - tested.accuracy),
            "moved": moved / sum(len(self.weight(n).flatten()) for n in self.layers),
        }

    def _error(self, layer: str, quantized: QuantizedTensor) -> float:
        error = quantized.dequantize() - self.weight(layer)
        return float(reconstruction_error(error, self.moments[layer]))

    def neighbours(self, layer: str, quantized: QuantizedTensor) -> Neighbours:
        """Return the weights of a layer between where they are and where else they might be."""
        return Neighbours.around(self.weight(layer), quantized, self.moments[layer])


@cache
def lab_of(task: str, seed: int, device: str) -> Lab:
    """Return the lab of a task, whose float network is trained the first time and then kept."""
    settings = replace(default_settings(*task.split("/")), seed=seed)
    loaded = load(task, device=device, settings=settings)
    problem = QuantizationProblem(
        loaded.network, loaded.train, loaded.validation, budget=BUDGET, seed=seed
    )
    return Lab(loaded, problem, seed)
