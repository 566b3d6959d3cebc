"""A task: a trained network with its training, validation and test data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.data import Data
from rlquant.objective import Objective

Samples = tuple[Tensor, Tensor]
"""Inputs, float32 of shape `(n, channels, height, width)`, and targets, int64 of shape `(n,)`."""
InputShape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many samples each part of a data set has."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """A data set in three disjoint parts.

    Attributes:
        train: what networks are trained and calibrated on.
        validation: what searches see.
        test: reported once, at the end.
        classes: how many classes there are; targets lie in `[0, classes)`.
    """

    train: Samples
    validation: Samples
    test: Samples
    classes: int

    @classmethod
    def of(cls, training: Samples, test: Samples, counts: Counts, classes: int) -> Splits:
        """Split published training samples: the last `counts.validation` of them validate."""
        inputs, targets = training
        return cls(
            train=(inputs[: counts.train], targets[: counts.train]),
            validation=(inputs[counts.train :], targets[counts.train :]),
            test=test,
            classes=classes,
        )

    @property
    def input_shape(self) -> InputShape:
        """Channels, height and width of one input."""
        channels, height, width = self.train[0].shape[1:]
        return channels, height, width

    def to(self, device: torch.device) -> Splits:
        """Return the same data on `device`."""
        train, validation, test = (
            (inputs.to(device), targets.to(device))
            for inputs, targets in (self.train, self.validation, self.test)
        )
        return Splits(train, validation, test, self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A trained network and its data, all on one device.

    Attributes:
        name: e.g. "digits/mlp" or "smollm2-135m".
        network: trained, in eval mode.
        train: what the network was trained on or the like; calibration samples come from here.
        validation: what searches see.
        test: reported once, at the end.
        objective: what searches minimise; None for cross-entropy.
        metric: what says how good the network is at what it is for, on test data; None for
            cross-entropy and accuracy.
    """

    name: str
    network: nn.Module
    train: Data
    validation: Data
    test: Data
    objective: Objective | None = None
    metric: Objective | None = None

    def to(self, device: torch.device) -> Task:
        """Return the same task on `device`; the network is moved in place."""
        return replace(
            self,
            network=self.network.to(device),
            train=_moved(self.train, device),
            validation=_moved(self.validation, device),
            test=_moved(self.test, device),
        )


def _moved(data: Any, device: torch.device) -> Any:
    """Return tensors, and lists, tuples and mappings of them, on a device; loaders as they are."""
    if isinstance(data, Tensor):
        return data.to(device)
    if isinstance(data, Mapping):
        return {name: _moved(value, device) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(_moved(value, device) for value in data)
    return data
