"""Public calls that make, train and measure networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rlquant
from public_calls import given
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.profiling.profile import profile_latency
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.network_policy import NetworkPolicySettings
from rlquant.training.settings import FixedPoint, TrainSettings


def _quantize(folder: Path) -> Any:
    toys = given.prepare()
    made = rlquant.quantize(toys.network, given.CONFIG, toys.train, calibration_samples=64)
    return given.outputs_of(made, toys.validation)


def _quantize_hessian_based(folder: Path) -> Any:
    toys = given.prepare()
    return rlquant.quantize(toys.network, given.HESSIAN_BASED, toys.train, calibration_samples=64)


def _quantize_images(folder: Path) -> Any:
    toys = given.prepare()
    config = QuantizationConfig((LayerChoice("conv", 3), LayerChoice("grouped", 2)))
    made = rlquant.quantize(toys.images, config, toys.train_images, calibration_samples=64)
    return given.outputs_of(made, toys.validation_images)


def _quantize_without_data(folder: Path) -> Any:
    config = QuantizationConfig((LayerChoice("first", 3), LayerChoice("last", 1)))
    return rlquant.quantize(given.prepare().network, config)


def _train(folder: Path) -> Any:
    toys = given.prepare()
    return rlquant.train(
        toys.network,
        given.TRAINED,
        toys.train,
        toys.validation,
        settings=given.QUICK,
        warm_start=True,
    )


def _train_images(folder: Path) -> Any:
    toys = given.prepare()
    config = QuantizationConfig((LayerChoice("conv", 2, method="ternary"),))
    settings = TrainSettings(steps=3, batch_size=16, augmentation=CropAndFlip(1))
    return rlquant.train(toys.images, config, toys.train_images, settings=settings)


def _train_fixed_point(folder: Path) -> Any:
    toys = given.prepare()
    settings = TrainSettings(steps=3, batch_size=16, arithmetic=FixedPoint(4, 10), optimizer="sgd")
    return rlquant.train(
        toys.network, QuantizationConfig(()), toys.train, toys.validation, settings=settings
    )


def _refine(folder: Path) -> Any:
    toys = given.prepare()
    settings = NetworkPolicySettings(steps=3, samples=1, rate=0.1, start=8.0, prior=4.0)
    return rlquant.refine(toys.hessian_based, given.HESSIAN_BASED, toys.train, settings=settings)


def _find_layers(folder: Path) -> Any:
    toys = given.prepare()
    return rlquant.find_layers(toys.images, toys.train_images[0][:2])


def _layer_problem(folder: Path) -> Any:
    toys = given.prepare()
    made = rlquant.layer_problem(toys.network, toys.train, calibration_samples=64)
    return [getattr(made, field.name) for field in dataclasses.fields(made)]


def _prepare(folder: Path) -> Any:
    network = given.prepare().transformer
    return rlquant.prepare(network, seed=1), rlquant.prepare(network, rotate="hadamard")


def _measure(folder: Path) -> Any:
    return [
        rlquant.measure(n, given.prepare().validation)
        for n in (given.prepare().network, given.unpacked())
    ]


def _profile(folder: Path) -> Any:
    """Times differ from call to call; what was timed does not."""
    toys = given.prepare()
    made = profile_latency(
        toys.network, toys.train, toys.validation[0][:4], rounds=1, samples=64, batch=2
    )
    return made.layers, made.groups, made.native, made.batch, made.threads


def _load_task(folder: Path) -> Any:
    settings = rlquant.tasks.FloatTrainSettings(epochs=1)
    return [
        given.outputs_of(task.network, task.test)
        for task in (
            rlquant.tasks.load("digits/mlp", cache=folder, settings=settings) for _ in range(2)
        )
    ]


CALLS: Mapping[str, Callable[[Path], Any]] = {
    "quantize": _quantize,
    "quantize by outputs": _quantize_hessian_based,
    "quantize images": _quantize_images,
    "quantize without data": _quantize_without_data,
    "train": _train,
    "train images": _train_images,
    "train in fixed point": _train_fixed_point,
    "refine": _refine,
    "find_layers": _find_layers,
    "layer_problem": _layer_problem,
    "prepare": _prepare,
    "measure": _measure,
    "profile_latency": _profile,
    "load a task": _load_task,
}
