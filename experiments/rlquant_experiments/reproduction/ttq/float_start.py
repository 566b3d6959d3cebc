"""The float networks that everything begins at, each trained once and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from rlquant.tasks.float_training import train_float
from rlquant.tasks.network_cache import cache_folder, restore, store, training_key
from rlquant.tasks.registry import load_data
from rlquant.tasks.task import Samples, Splits
from rlquant_experiments.reproduction.ttq.presets import TtqPreset


def float_start(preset: TtqPreset, blocks: int, seed: int, device: str) -> nn.Module:
    """Return the trained float network of a depth and a seed, in eval mode.

    It is kept in the cache folder of the tasks, and trained again where it is not there.
    """
    splits = data_of(preset, device)
    settings = replace(preset.start, seed=seed)
    network = preset.build(blocks, splits.input_shape, splits.classes, seed)
    key = training_key(network, splits.train, settings)
    network = network.to(device)
    name = f"{preset.data}-ttq-{preset.experiment(blocks)}-{key}.safetensors"
    path = cache_folder() / "networks" / name
    if not restore(network, path, key):
        train_float(network, splits.train, settings)
        store(network, path, key)
    return network.eval()


def data_of(preset: TtqPreset, device: str) -> Splits:
    """Return the data of a preset, cut and shrunk as it says."""
    return _data(preset.data, preset.images, preset.validation_images, preset.shrink, device)


@cache
def _data(name: str, images: int, validation_images: int, shrink: int, device: str) -> Splits:
    splits = load_data(name)
    return Splits(
        train=_part(splits.train, images, shrink),
        validation=_part(splits.validation, validation_images, shrink),
        test=_part(splits.test, len(splits.test[1]), shrink),
        classes=splits.classes,
    ).to(torch.device(device))


def _part(samples: Samples, count: int, shrink: int) -> Samples:
    inputs, targets = (tensor[:count] for tensor in samples)
    return _shrunk(inputs, shrink), targets


def _shrunk(images: Tensor, shrink: int) -> Tensor:
    return images if shrink == 1 else avg_pool2d(images, shrink)
