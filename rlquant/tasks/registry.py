"""The tasks by name: any data set with any network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rlquant.errors import unknown_name
from rlquant.tasks.digits import load_digits
from rlquant.tasks.fashion_mnist import load_fashion_mnist
from rlquant.tasks.float_training import FloatTrainSettings, train_float
from rlquant.tasks.network_cache import cache_folder, restore, store, training_key
from rlquant.tasks.networks import NETWORKS, build
from rlquant.tasks.task import Samples, Splits, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set: how it is loaded (from a cache folder) and how networks are trained on it."""

    load: Callable[[Path], Splits]
    settings: FloatTrainSettings


DATA_SETS: Mapping[str, DataSet] = {
    "digits": DataSet(lambda _: load_digits(), FloatTrainSettings(epochs=30)),
    "fashion-mnist": DataSet(load_fashion_mnist, FloatTrainSettings(epochs=10, learning_rate=0.2)),
}


def names() -> tuple[str, ...]:
    """Return the names of all tasks, "<data set>/<network>"."""
    return tuple(f"{data_set}/{network}" for data_set in DATA_SETS for network in NETWORKS)


def load_data(name: str, *, cache: str | Path | None = None) -> Splits:
    """Load the data set `name`, on the CPU.

    Raises:
        UnknownNameError: no data set has this name.
        DataError: its files are missing or damaged.
    """
    if name not in DATA_SETS:
        raise unknown_name("data set", name, DATA_SETS)
    return DATA_SETS[name].load(cache_folder(cache))


def load(
    name: str,
    *,
    device: str | torch.device = "cpu",
    cache: str | Path | None = None,
    settings: FloatTrainSettings | None = None,
) -> Task:
    """Load a task: its data, and its network, which is trained the first time and then kept.

    Args:
        name: one of `names()`, e.g. "digits/mlp".
        device: where the network is trained and where network and data are returned. A network
            in the cache is used whatever device it was trained on.
        cache: folder for trained networks and downloads; by default the environment variable
            `RLQUANT_CACHE`, else the user's cache folder.
        settings: how to train the network; by default what suits the data set.

    Raises:
        UnknownNameError: no task has this name.
        DataError: the data are missing or damaged; the message says what to do.
    """
    if name not in names():
        raise unknown_name("task", name, names())
    data_name, network_name = name.split("/")
    splits = load_data(data_name, cache=cache)
    settings = settings or DATA_SETS[data_name].settings
    network = build(network_name, splits.input_shape, splits.classes, seed=settings.seed)
    key = training_key(network, splits.train, settings)
    splits, network = splits.to(torch.device(device)), network.to(device).eval()
    path = cache_folder(cache) / "networks" / f"{data_name}-{network_name}-{key}.safetensors"
    if not restore(network, path, key):
        logger.info("training %s once, for %s", name, path)
        _train(network, splits.train, settings)
        store(network, path, key)
    return Task(name, network, splits.train, splits.validation, splits.test)


def _train(network: nn.Module, train: Samples, settings: FloatTrainSettings) -> None:
    """Train a copy, so that `network` keeps its memory layout, as one from the cache does."""
    trained = deepcopy(network)
    train_float(trained, train, settings)
    network.load_state_dict(trained.state_dict())
