"""A task: a trained network with its training, validation and test data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
        name: "<data set>/<network>", e.g. "digits/mlp".
        network: trained, in eval mode.
        train: what the network was trained on; calibration samples come from here.
        validation: what searches see.
        test: reported once, at the end.
    """

    name: str
    network: nn.Module
    train: Samples
    validation: Samples
    test: Samples
