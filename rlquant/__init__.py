"""Find how each layer of a trained network should be quantized, under a budget that is kept."""

from rlquant import tasks
from rlquant.choices import LayerChoice, QuantizationConfig
from rlquant.cost import Budget, LatencyTable
from rlquant.errors import RlquantError
from rlquant.evaluation.store import EvaluationStore
from rlquant.export.packed import load, save
from rlquant.export.quantized_layers import freeze
from rlquant.feasible import FeasibleSet
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.quantize import quantize
from rlquant.problem import Problem, QuantizationProblem
from rlquant.score import REWARDS, Classification, Objective, Reward, Score
from rlquant.space import SearchSpace

__all__ = [
    "REWARDS",
    "Budget",
    "Classification",
    "EvaluationStore",
    "FeasibleSet",
    "LatencyTable",
    "LayerChoice",
    "LayerFacts",
    "Objective",
    "Problem",
    "QuantizationConfig",
    "QuantizationProblem",
    "Reward",
    "RlquantError",
    "Score",
    "SearchSpace",
    "find_layers",
    "freeze",
    "load",
    "quantize",
    "save",
    "tasks",
]
