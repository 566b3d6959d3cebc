"""Find how each layer of a trained network should be quantized, under a budget that is kept."""

from rlquant import tasks
from rlquant.choices import Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost import AverageBitsCost, BopsCost, Budget, Cost, NetworkCosts, SizeCost
from rlquant.data import Data
from rlquant.errors import RlquantError
from rlquant.evaluation.measure import measure
from rlquant.evaluation.racing import Racing
from rlquant.evaluation.store import EvaluationStore
from rlquant.export.onnx.exporter import OnnxExport, export_onnx
from rlquant.export.packed import load, pack, save, unpack
from rlquant.export.quantized_layers import freeze
from rlquant.feasible import FeasibleSet
from rlquant.latency import LatencyTable
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.layer_problem import layer_problem
from rlquant.network.quantize import quantize
from rlquant.probing.probe import BudgetShare, Probe, probe
from rlquant.problem import QuantizationProblem
from rlquant.problem_protocol import Problem
from rlquant.refining import refine
from rlquant.score import REWARDS, Classification, Measurement, Objective, Reward, Score
from rlquant.space import TRAINING_SPACE, Head, SearchSpace
from rlquant.tabular.grouped import GroupedProblem
from rlquant.tabular.shipped import load_table, table_names
from rlquant.tabular.table import Table
from rlquant.tabular.tabular_problem import TabularProblem
from rlquant.targets import TARGETS, Target
from rlquant.train_network import train
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
    "Cost",
    "CropAndFlip",
    "Data",
    "EvaluationStore",
    "FeasibleSet",
    "Fidelity",
    "FixedPoint",
    "GroupedProblem",
    "Head",
    "LatencyTable",
    "LayerChoice",
    "LayerFacts",
    "Measurement",
    "NetworkCosts",
    "Objective",
    "OnnxExport",
    "Probe",
    "Problem",
    "QuantizationConfig",
    "QuantizationProblem",
    "Racing",
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
    "export_onnx",
    "find_layers",
    "freeze",
    "layer_problem",
    "load",
    "load_table",
    "measure",
    "pack",
    "probe",
    "quantize",
    "refine",
    "save",
    "table_names",
    "tasks",
    "train",
    "unpack",
]
