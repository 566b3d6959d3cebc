"""P10: how long float networks of different depth take."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.copying.network_copy import copy_network
from rlquant.layers import count_macs
from rlquant_experiments.reproduction.polino.networks import quantized_layers
from rlquant_experiments.reproduction.runs import Measured, Progress


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Networks that differ in depth alone, and how they are timed.

    Attributes:
        layers: convolutions of each network, the deepest first.
        channels: of each convolution.
        pixels: height and width of their inputs.
        batch_size: images of a forward pass.
        rounds: forward passes of each network, taken in turns.
        seeds: repetitions of all.
    """

    layers: tuple[int, ...] = (16, 8, 4)
    channels: int = 32
    pixels: int = 14
    batch_size: int = 64
    rounds: int = 15
    seeds: int = 5

    def network(self, layers: int) -> nn.Module:
        """Return 3x3 convolutions, each with BatchNorm and ReLU, and a classifier."""
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for number in range(1, layers + 1):
            parts[f"conv{number}"] = nn.Conv2d(
                self.channels, self.channels, 3, padding=1, bias=False
            )
            parts[f"norm{number}"] = nn.BatchNorm2d(self.channels)
            parts[f"relu{number}"] = nn.ReLU()
        parts["pool"] = nn.AdaptiveAvgPool2d(1)
        parts["flatten"] = nn.Flatten()
        parts["classifier"] = nn.Linear(self.channels, 10)
        return copy_network(nn.Sequential(parts)).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def measure_depth(depth: Depth, seed: int, device: str, progress: Progress) -> Measured:
    """Time all networks in turns.

    Args:
        depth: see there.
        seed: of weights and inputs.
        device: where.
        progress: told of the rounds.

    Returns:
        For each number of layers L, "milliseconds of L layers", the median of a forward pass; and
        against the deepest network "times as fast with L layers", the median over rounds of the
        ratio within a round, and "times fewer operations with L layers".
    """
    with seeded(seed):
        networks = {count: depth.network(count).to(device) for count in depth.layers}
        inputs = torch.randn(depth.batch_size, depth.channels, depth.pixels, depth.pixels)
    inputs = inputs.to(device, memory_format=torch.channels_last)
    for network in networks.values():
        _seconds(network, inputs)  # the first pass takes memory
    times: dict[int, list[float]] = {count: [] for count in depth.layers}
    for _ in range(depth.rounds):
        for count, network in networks.items():
            times[count].append(_seconds(network, inputs))
        progress(1)
    operations = {
        count: sum(count_macs(network, inputs[:1], quantized_layers(network)).values())
        for count, network in networks.items()
    }
    deepest = depth.layers[0]
    figures = {f"milliseconds of {c} layers": 1000 * median(times[c]) for c in depth.layers}
    for count in depth.layers[1:]:
        ratios = [a / b for a, b in zip(times[deepest], times[count], strict=True)]
        figures[f"times as fast with {count} layers"] = median(ratios)
        fewer = operations[deepest] / operations[count]
        figures[f"times fewer operations with {count} layers"] = fewer
    return figures


def _seconds(network: nn.Module, inputs: Tensor) -> float:
    with torch.inference_mode():
        start = perf_counter()
        network(inputs)
        if inputs.is_cuda:
            torch.cuda.synchronize()
        return perf_counter() - start
