"""Wide residual networks, whose blocks normalise their input instead of their output."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from rlquant.tasks.task import InputShape

BASE_WIDTHS = (16, 32, 64)


def wide_resnet(input_shape: InputShape, classes: int, *, blocks: int, factor: int) -> nn.Module:
    """Build a wide residual network for small images, without dropout.

    Args:
        input_shape: channels, height, width.
        classes: outputs of the last layer.
        blocks: blocks a stage; the network's depth is 6 times as much and 4.
        factor: how much wider the stages are than 16, 32 and 64 channels; every stage but the
            first halves height and width.

    Source: Zagoruyko and Komodakis 2016, "Wide residual networks" (table 1).
    """
    channels = BASE_WIDTHS[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False)
    )
    for stage, base in enumerate(BASE_WIDTHS, start=1):
        width = base * factor
        first = WideBlock(channels, width, stride=1 if stage == 1 else 2)
        rest = [WideBlock(width, width) for _ in range(blocks - 1)]
        layers[f"stage{stage}"] = nn.Sequential(first, *rest)
        channels = width
    layers["norm"] = nn.BatchNorm2d(channels)
    layers["relu"] = nn.ReLU()
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each behind its BatchNorm and ReLU, and a shortcut around them.

    Where the shape changes, the shortcut is a 1x1 convolution of the normalised input.
    """

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Conv2d(channels, width, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's output, shape `(n, width, height / stride, width / stride)`."""
        active = torch.relu(self.norm1(inputs))
        kept = inputs if self.shortcut is None else self.shortcut(active)
        hidden: Tensor = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return hidden + kept
