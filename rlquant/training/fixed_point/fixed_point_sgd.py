"""SGD whose weights, biases and updates are fixed-point numbers, with no float copy of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rlquant.training.fixed_point.arithmetic import Arithmetic
from rlquant.training.settings import TrainSettings


class FixedPointSGD:
    """SGD with momentum: update <- Convert(momentum * update - rate * gradient), then weight + it.

    The momentum buffer *is* the last update, so it is a number of the format too; in float it
    would be the high-precision copy that the paper does without. The sum of weight and update is
    exact and saturates.

    Attributes:
        parameters: by name; the only copy of the weights.
        updates: the last update of each parameter, where there is momentum.

    Source: Gupta et al. 2015, "Limited precision arithmetic".
    """

    def __init__(self, network: nn.Module, arithmetic: Arithmetic, settings: TrainSettings) -> None:
        """Convert the parameters of `network` in place."""
        self._arithmetic = arithmetic
        self._momentum = settings.momentum
        self._weight_decay = settings.weight_decay
        self.parameters = dict(network.named_parameters())
        self._convert = {name: arithmetic.converter(name, "update") for name in self.parameters}
        self.updates: dict[str, Tensor] = {}
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(arithmetic.converter(name, "start")(parameter.detach()))

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float, batch: int) -> None:
        """Update every parameter.

        Args:
            gradients: of the loss summed over the batch, in the order of `parameters`.
            rate: learning rate of the mean loss.
            batch: samples in the batch.
        """
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            wanted = gradient * (-rate / batch)
            if self._weight_decay and name.rpartition(".")[2] == "weight":
                wanted.add_(parameter, alpha=-rate * self._weight_decay)
            if self._momentum and name in self.updates:
                wanted.add_(self.updates[name], alpha=self._momentum)
            update = self._convert[name](wanted)
            if self._momentum:
                self.updates[name] = update
            self._apply(parameter, wanted, update)

    def _apply(self, parameter: Tensor, wanted: Tensor, update: Tensor) -> None:
        number_format, counts = self._arithmetic.stored, self._arithmetic.counts
        parameter.add_(update)
        if number_format is None:
            return
        if counts is None:
            parameter.clamp_(number_format.lowest, number_format.highest)
            return
        counts.update(wanted, update, number_format)
        unlimited = parameter.clone()
        parameter.clamp_(number_format.lowest, number_format.highest)
        counts.weights(unlimited, parameter)
