"""Objectives: how a network's outputs are scored, as sums over a batch."""

from rlquant.objective.asking import targets_of, units_of
from rlquant.objective.classification import Classification
from rlquant.objective.distillation import Distillation, Divergence
from rlquant.objective.function import FunctionObjective, ObjectiveFunction, as_objective
from rlquant.objective.next_token import NextToken
from rlquant.objective.outputs import IGNORED, MAIN_OUTPUTS, main_output
from rlquant.objective.protocols import (
    Curved,
    Detailed,
    MakesTargets,
    Objective,
    PerSample,
    PerUnit,
)
from rlquant.objective.regression import Regression

__all__ = [
    "IGNORED",
    "MAIN_OUTPUTS",
    "Classification",
    "Curved",
    "Detailed",
    "Distillation",
    "Divergence",
    "FunctionObjective",
    "MakesTargets",
    "NextToken",
    "Objective",
    "ObjectiveFunction",
    "PerSample",
    "PerUnit",
    "Regression",
    "as_objective",
    "main_output",
    "targets_of",
    "units_of",
]
