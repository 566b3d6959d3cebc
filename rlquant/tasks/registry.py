"""The tasks by name: any data set with any network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.errors import SettingsError, UnknownNameError, require_finite, unknown_name
from rlquant.paths import PathLike
from rlquant.plugins import TASKS, plugins
from rlquant.tasks.cifar import CIFAR10, CIFAR100
from rlquant.tasks.digits import load_digits
from rlquant.tasks.fashion_mnist import FASHION_MNIST
from rlquant.tasks.float_training import FloatTrainSettings, train_float
from rlquant.tasks.mnist import MNIST
from rlquant.tasks.network_cache import cache_folder, restore, store, training_key
from rlquant.tasks.networks import NETWORKS, Builder, build
from rlquant.tasks.task import Samples, Splits, Task
from rlquant.training.augmentation import CropAndFlip

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set: how it is loaded (from a cache folder) and how networks are trained on it."""

    load: Callable[[Path], Splits]
    settings: FloatTrainSettings


CIFAR_SETTINGS = FloatTrainSettings(
    epochs=60, learning_rate=0.1, weight_decay=5e-4, augmentation=CropAndFlip()
)
DATA_SETS: Mapping[str, DataSet] = {
    "digits": DataSet(lambda _: load_digits(), FloatTrainSettings(epochs=30)),
    "fashion-mnist": DataSet(FASHION_MNIST.load, FloatTrainSettings(epochs=10, learning_rate=0.2)),
    "mnist": DataSet(MNIST.load, FloatTrainSettings(epochs=10, learning_rate=0.1)),
    "cifar10": DataSet(CIFAR10.load, CIFAR_SETTINGS),
    "cifar100": DataSet(CIFAR100.load, CIFAR_SETTINGS),
}
PRETRAINED: Mapping[str, str] = {
    "efficientnet-lite0": "rlquant.tasks.pretrained.efficientnet_lite:load",
    "minilm-l6": "rlquant.tasks.pretrained.minilm:load",
    "smollm2-135m": "rlquant.tasks.pretrained.smollm2:load",
}
"""Tasks of pretrained networks: name -> loader, "module:function", which is given a cache folder.

They are imported when they are loaded: they need packages of their own.
"""
LARGEST_RATES: dict[str, float] = {}
"""Networks for which the data sets' learning rates are too large; `register_network` adds them."""


def register_network(name: str, build: Builder, *, largest_rate: float | None = None) -> None:
    """Make a network known by name, in this process: every data set then has a task with it.

    Args:
        name: what tasks call it, as in "digits/<name>".
        build: makes it of the shape of an input, `(channels, height, width)`, and the number of
            classes; its first weights come from PyTorch's global generator.
        largest_rate: learning rate at most, where the data sets' own would diverge.

    Raises:
        SettingsError: the name is taken or no name, or `build` cannot be called.
    """
    if not isinstance(name, str) or not name or "/" in name or name in NETWORKS:
        raise SettingsError(
            f"register_network: name={name!r}, use a name without '/' that is none of "
            f"{', '.join(NETWORKS)}"
        )
    if not callable(build):
        raise SettingsError(
            f"register_network: build={build!r}, use a function of input shape and classes"
        )
    if largest_rate is not None:
        require_finite("register_network", "largest_rate", largest_rate, above=0.0)
        LARGEST_RATES[name] = largest_rate
    NETWORKS[name] = build


def names() -> tuple[str, ...]:
    """Return the names of all tasks: "<data set>/<network>", pretrained networks, plugins."""
    trained = (f"{data_set}/{network}" for data_set in DATA_SETS for network in NETWORKS)
    return (*trained, *_loaders())


def _loaders() -> Mapping[str, str]:
    """Return the tasks that have a loader of their own: ours, and those that packages add."""
    return {**plugins(TASKS), **PRETRAINED}


def default_settings(data_name: str, network_name: str) -> FloatTrainSettings:
    """Return how a network is trained where nobody says otherwise."""
    settings = DATA_SETS[data_name].settings
    largest = LARGEST_RATES.get(network_name, settings.learning_rate)
    return replace(settings, learning_rate=min(settings.learning_rate, largest))


@explained
@isolated()
def load_data(name: str, *, cache: PathLike | None = None) -> Splits:
    """Load the data set `name`, on the CPU.

    Raises:
        UnknownNameError: no data set has this name.
        DataError: its files are missing or damaged.
    """
    if name not in DATA_SETS:
        raise unknown_name("data set", name, DATA_SETS)
    return DATA_SETS[name].load(cache_folder(cache))


@explained
@isolated(seed=0)
def load(
    name: str,
    *,
    device: str | torch.device = "cpu",
    cache: PathLike | None = None,
    settings: FloatTrainSettings | None = None,
) -> Task:
    """Load a task: its data, and its network, which is trained the first time and then kept.

    Tasks of pretrained networks read the files of packages; what is missing is named.

    Args:
        name: one of `names()`, e.g. "digits/mlp" or "smollm2-135m".
        device: where the network is trained and where network and data are returned. A network
            in the cache is used whatever device it was trained on.
        cache: folder for trained networks and downloads; by default the environment variable
            `RLQUANT_CACHE`, else the user's cache folder.
        settings: how to train the network; by default what suits data set and network. Those of
            pretrained networks take none.

    Raises:
        UnknownNameError: no task has this name.
        DataError: the data are missing or damaged; the message says what to do.
        SettingsError: `settings` for a pretrained network.

    Examples:
        >>> import rlquant
        >>> task = rlquant.tasks.load("digits/mlp")
        >>> inputs, labels = task.validation
        >>> inputs.shape[1:]
        torch.Size([1, 8, 8])
    """
    if name not in names():
        raise _unknown_task(name)
    if name in _loaders():
        return _load_pretrained(name, cache_folder(cache), settings).to(torch.device(device))
    data_name, network_name = name.split("/")
    splits = load_data(data_name, cache=cache)
    settings = settings or default_settings(data_name, network_name)
    network = build(network_name, splits.input_shape, splits.classes, seed=settings.seed)
    key = training_key(network, splits.train, settings)
    splits, network = splits.to(torch.device(device)), network.to(device).eval()
    path = cache_folder(cache) / "networks" / f"{data_name}-{network_name}-{key}.safetensors"
    if not restore(network, path, key):
        logger.info("training %s once, for %s", name, path)
        _train(network, splits.train, settings)
        store(network, path, key)
    return Task(name, network, splits.train, splits.validation, splits.test)


def _load_pretrained(name: str, cache: Path, settings: FloatTrainSettings | None) -> Task:
    if settings is not None:
        raise SettingsError(f"settings: {name!r} is pretrained, it is not trained again; leave out")
    place = _loaders()[name]
    try:
        load_task = resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"task {name!r}: {place} cannot be imported ({error})") from error
    task = load_task(cache)
    if not isinstance(task, Task):
        raise SettingsError(f"task {name!r}: {place} returned {task!r:.80}, not a Task")
    return task


def _unknown_task(name: str) -> UnknownNameError:
    """Build the error for a wrong task; all names would fill a screen, so it lists their parts."""
    near = get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UnknownNameError(
        f"unknown task {name!r}; {hint}use <data set>/<network>: data sets {', '.join(DATA_SETS)}; "
        f"networks {', '.join(NETWORKS)}; or {', '.join(_loaders())}"
    )


def _train(network: nn.Module, train: Samples, settings: FloatTrainSettings) -> None:
    """Train a copy, so that `network` keeps its memory layout, as one from the cache does."""
    trained = deepcopy(network)
    train_float(trained, train, settings)
    network.load_state_dict(trained.state_dict())
