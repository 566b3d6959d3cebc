"""The networks of the tasks, and the small ones: a search of hundreds of evaluations takes minutes.

In the networks of this file, convolutions have no bias and each is followed, in execution order,
by its BatchNorm. Nothing is done in place in any network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.errors import unknown_name
from rlquant.tasks.task import InputShape

Builder = Callable[[InputShape, int], nn.Module]


def build(name: str, input_shape: InputShape, classes: int, *, seed: int = 0) -> nn.Module:
    """Build the network `name` with fresh weights, in training mode, on the default device.

    The weights depend on `seed` alone; the global random state is left as it was.

    Raises:
        UnknownNameError: no network has this name.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    with seeded(seed):
        return NETWORKS[name](input_shape, classes)


def mlp(input_shape: InputShape, classes: int) -> nn.Module:
    """Build a network of three Linear layers, 64 and 32 units wide inside."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            hidden1=nn.Linear(prod(input_shape), 64),
            relu1=nn.ReLU(),
            hidden2=nn.Linear(64, 32),
            relu2=nn.ReLU(),
            classifier=nn.Linear(32, classes),
        )
    )


def cnn(input_shape: InputShape, classes: int) -> nn.Module:
    """Build three 3x3 convolutions (16, 32, 32 channels) with pooling, and a Linear layer."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(16),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(32),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(32, 32, 3, padding=1, bias=False),
            norm3=nn.BatchNorm2d(32),
            relu3=nn.ReLU(),
            pool3=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(32, classes),
        )
    )


def resnet(
    input_shape: InputShape, classes: int, *, widths: tuple[int, ...], blocks: int
) -> nn.Module:
    """Build a residual network for small images.

    Args:
        input_shape: channels, height, width.
        classes: outputs of the last layer.
        widths: channels of each stage; every stage but the first halves height and width.
        blocks: basic blocks a stage.

    Source: He et al. 2016, "CIFAR-10 and Analysis", with projection shortcuts.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(input_shape[0], widths[0], 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(widths[0]),
        relu=nn.ReLU(),
    )
    channels = widths[0]
    for stage, width in enumerate(widths, start=1):
        first = BasicBlock(channels, width, stride=1 if stage == 1 else 2)
        rest = [BasicBlock(width, width) for _ in range(blocks - 1)]
        layers[f"stage{stage}"] = nn.Sequential(first, *rest)
        channels = width
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(channels, width, 1, stride=stride, bias=False),
                    norm=nn.BatchNorm2d(width),
                )
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's output, shape `(n, width, height / stride, width / stride)`."""
        hidden = torch.relu(self.norm1(self.conv1(inputs)))
        residual = self.norm2(self.conv2(hidden))
        return torch.relu(residual + self.shortcut(inputs))


NETWORKS: dict[str, Builder] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet8": partial(resnet, widths=(8, 16, 32), blocks=1),
    "resnet14": partial(resnet, widths=(8, 16, 32), blocks=2),
    "resnet8-wide": partial(resnet, widths=(16, 32, 64), blocks=1),
    "resnet20": partial(resnet, widths=(16, 32, 64), blocks=3),
    "resnet32": partial(resnet, widths=(16, 32, 64), blocks=5),
    "resnet44": partial(resnet, widths=(16, 32, 64), blocks=7),
    "resnet56": partial(resnet, widths=(16, 32, 64), blocks=9),
}
"""Networks by name; `register_network` adds to them."""
