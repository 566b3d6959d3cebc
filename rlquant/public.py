"""The public names of `rlquant`, which loads them when the first of them is used."""

from rlquant import errors, tasks, tie, visualization
from rlquant.config import Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost.budget import AverageBitsCost, BopsCost, Budget, Cost, NetworkCosts, SizeCost
from rlquant.cost.feasible import FeasibleSet
from rlquant.cost.latency import LatencyTable
from rlquant.data import Data
from rlquant.errors import RlquantError
from rlquant.evaluation.measure import measure
from rlquant.evaluation.racing import Racing
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.export import recipes
from rlquant.export.compressed_tensors.exporter import (
    CompressedTensorsExport,
    export_compressed_tensors,
)
from rlquant.export.compressed_tensors.target import CompressedTensorsTarget
from rlquant.export.gguf.exporter import GgufExport, export_gguf
from rlquant.export.gguf.target import GgufTarget
from rlquant.export.onnx.exporter import OnnxExport, export_onnx
from rlquant.export.quantized_layers import dequantize
from rlquant.export.rlq.packed import load, pack, save, unpack
from rlquant.export.targets import TARGETS, Target
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.layer_problem import layer_problem
from rlquant.network.quantize import quantize
from rlquant.objective import Classification, Distillation, NextToken, Objective, Regression
from rlquant.optuna_objective import optuna_objective
from rlquant.probing.probe import BudgetShare, Probe, probe
from rlquant.problem.live import QuantizationProblem
from rlquant.problem.protocol import Problem
from rlquant.problem.refine import refine
from rlquant.problem.train import train
from rlquant.rotation.prepare import prepare
from rlquant.score import (
    REWARDS,
    Measurement,
    Reward,
    Score,
)
from rlquant.space import TRAINING_SPACE, Head, SearchSpace
from rlquant.store.store import EvaluationStore
from rlquant.tabular.grouped import GroupedProblem
from rlquant.tabular.shipped import load_table, table_names
from rlquant.tabular.table import Table
from rlquant.tabular.tabular_problem import TabularProblem
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.settings import FixedPoint, TrainOutcome, TrainSettings

__all__ = [
    "REWARDS",
    "TARGETS",
    "TRAINING_SPACE",
    "AverageBitsCost",
    "BopsCost",
    "Budget",
    "BudgetShare",
    "Classification",
    "CompressedTensorsExport",
    "CompressedTensorsTarget",
    "Cost",
    "CropAndFlip",
    "Data",
    "Distillation",
    "EvaluationSettings",
    "EvaluationStore",
    "FeasibleSet",
    "Fidelity",
    "FixedPoint",
    "GgufExport",
    "GgufTarget",
    "GroupedProblem",
    "Head",
    "LatencyTable",
    "LayerChoice",
    "LayerFacts",
    "Measurement",
    "NetworkCosts",
    "NextToken",
    "Objective",
    "OnnxExport",
    "Probe",
    "Problem",
    "QuantizationConfig",
    "QuantizationProblem",
    "Racing",
    "Regression",
    "Reward",
    "RlquantError",
    "Score",
    "SearchSpace",
    "SizeCost",
    "Table",
    "TabularProblem",
    "Target",
    "TrainOutcome",
    "TrainSettings",
    "dequantize",
    "errors",
    "export_compressed_tensors",
    "export_gguf",
    "export_onnx",
    "find_layers",
    "layer_problem",
    "load",
    "load_table",
    "measure",
    "optuna_objective",
    "pack",
    "prepare",
    "probe",
    "quantize",
    "recipes",
    "refine",
    "save",
    "table_names",
    "tasks",
    "tie",
    "train",
    "unpack",
    "visualization",
]
