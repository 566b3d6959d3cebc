"""Second moments of a layer's inputs in the float network: how much each weight error matters.

The squared error of a layer's outputs, summed over samples and positions, is a quadratic form in
the error of its weights; its matrix is what is measured here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlquant.copying.network_copy import copy_network
from rlquant.data import Samples, why_not_finite
from rlquant.errors import DataError
from rlquant.layers import LayerFacts, first_input

CHUNK = 64
"""Samples unfolded at a time: what a convolution sees takes many times the memory of its input."""
WIDEST = 2048
"""The most weights per output channel for which the matrix is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class InputMoments:
    """Moments of what a layer multiplies its weights with, over samples and positions.

    Attributes:
        second: mean of x x^T, shape `(groups, fan_in, fan_in)`.
        mean: mean of x, shape `(groups, fan_in)`.
    """

    second: Tensor
    mean: Tensor

    @property
    def covariance(self) -> Tensor:
        """The second moments about the mean, shape `(groups, fan_in, fan_in)`."""
        return self.second - self.mean[:, :, None] * self.mean[:, None, :]


def measure_second_moments(
    network: nn.Module, layers: Sequence[LayerFacts], samples: Samples
) -> dict[str, InputMoments]:
    """Run the float network once over the samples.

    Returns:
        By layer; linear layers and convolutions of one and two dimensions of up to `WIDEST`
        weights per output channel, the others are left out.

    Raises:
        DataError: a layer whose inputs are not finite.
    """
    sums: dict[str, tuple[Tensor, Tensor, int]] = {}
    clone = copy_network(network)
    for facts in layers:
        module = clone.get_submodule(facts.name)
        if is_measured(module):
            module.register_forward_pre_hook(_recorder(sums, facts.name), with_kwargs=True)
    with torch.no_grad():
        for batch in samples.batches(CHUNK):
            clone(*batch.inputs)
    for name, (second, _, _) in sums.items():
        if not torch.isfinite(second).all():
            raise DataError(
                f"calibration: inputs of layer {name!r} are not finite in the float network; "
                f"{why_not_finite(samples)}"
            )
    return {name: _moments(*found) for name, found in sums.items()}


def output_moments(
    network: nn.Module, layers: Sequence[LayerFacts], samples: Samples
) -> dict[str, Tensor]:
    """Return the matrix by which each layer's weight errors count, for the layers that have one.

    It is the covariance of the inputs where a bias or a normalisation behind the layer takes up
    a constant shift of its outputs, else their second moments; shape `(groups, fan_in, fan_in)`.
    """
    absorbed = {facts.name for facts in layers if facts.normalized or facts.has_bias}
    measured = measure_second_moments(network, layers, samples)
    return {
        name: found.covariance if name in absorbed else found.second
        for name, found in measured.items()
    }


def is_measured(module: nn.Module) -> bool:
    """Return whether moments are taken for such a layer."""
    if not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        return False
    return module.weight[0].numel() <= WIDEST


def _moments(second: Tensor, total: Tensor, count: int) -> InputMoments:
    return InputMoments((second / count).float(), (total / count).float())


def _recorder(sums: dict[str, tuple[Tensor, Tensor, int]], name: str) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        rows = input_rows(module, first_input(args, keywords)).float()  # float16 would overflow
        second = (rows.transpose(1, 2) @ rows).double()
        total = rows.sum(dim=1, dtype=torch.float64)
        known = sums.get(name)
        if known is not None:
            second, total = second + known[0], total + known[1]
        sums[name] = (second, total, rows.shape[1] + (0 if known is None else known[2]))

    return hook


def input_rows(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return what the layer multiplies its weights with, shape `(groups, rows, fan_in)`.

    A convolution has a row for each sample and position of its output.
    """
    if isinstance(module, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    if isinstance(module, nn.Conv1d):
        padded = padded[:, :, None]
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
    columns = functional.unfold(padded, kernel, dilation=dilation, stride=stride)
    samples, width, positions = columns.shape
    groups = module.groups
    split = columns.reshape(samples, groups, width // groups, positions)
    return split.permute(1, 0, 3, 2).reshape(groups, samples * positions, width // groups)
