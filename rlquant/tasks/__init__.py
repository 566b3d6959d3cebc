"""Tasks to search on: a trained float network and the data that it was trained for."""

from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.own.model import load_model
from rlquant.tasks.registry import load, names, register_network
from rlquant.tasks.task import Samples, Splits, Task

__all__ = [
    "FloatTrainSettings",
    "Samples",
    "Splits",
    "Task",
    "load",
    "load_model",
    "names",
    "register_network",
]
