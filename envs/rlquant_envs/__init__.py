"""Gymnasium environments over quantization problems; importing this registers their ids."""

from gymnasium import register

from rlquant_envs.layerwise import LayerwiseQuantization
from rlquant_envs.observation import FEATURES
from rlquant_envs.point_assignment import PointAssignment
from rlquant_envs.tabular import TabularQuantization
from rlquant_envs.tabular_vector import TabularVectorQuantization
from rlquant_envs.wrappers import OneDecisionAtATime

LAYERWISE_ID = "rlquant/LayerwiseQuantization-v0"
TABULAR_ID = "rlquant/TabularQuantization-v0"
ASSIGNMENT_ID = "rlquant/PointAssignment-v0"

register(id=LAYERWISE_ID, entry_point="rlquant_envs.layerwise:LayerwiseQuantization")
register(
    id=TABULAR_ID,
    entry_point="rlquant_envs.tabular:TabularQuantization",
    vector_entry_point="rlquant_envs.tabular_vector:TabularVectorQuantization",
)
register(id=ASSIGNMENT_ID, entry_point="rlquant_envs.point_assignment:PointAssignment")

__all__ = [
    "ASSIGNMENT_ID",
    "FEATURES",
    "LAYERWISE_ID",
    "TABULAR_ID",
    "LayerwiseQuantization",
    "OneDecisionAtATime",
    "PointAssignment",
    "TabularQuantization",
    "TabularVectorQuantization",
]
