"""The networks that Gupta et al. 2015 and Polino et al. 2018 ran their experiments on.

They keep the papers' widths and take images of any size that the tasks have. First weights are
PyTorch's defaults, and nothing is done in place.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import prod

from torch import nn

from rlquant.tasks.task import InputShape


def gupta_mlp(input_shape: InputShape, classes: int) -> nn.Module:
    """Build a network of three Linear layers, 1000 and 1000 units wide inside.

    Source: Gupta et al. 2015, "MNIST", fully connected.
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            hidden1=nn.Linear(prod(input_shape), 1000),
            relu1=nn.ReLU(),
            hidden2=nn.Linear(1000, 1000),
            relu2=nn.ReLU(),
            classifier=nn.Linear(1000, classes),
        )
    )


def gupta_cnn_mnist(input_shape: InputShape, classes: int) -> nn.Module:
    """Build two 5x5 convolutions (8 and 16 channels) with pooling, and 128 units behind them.

    Convolutions are padded, so that images of 8x8 pass as well.

    Source: Gupta et al. 2015, "MNIST", convolutional.
    """
    channels, height, width = input_shape
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 8, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 16, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            hidden=nn.Linear(16 * (height // 4) * (width // 4), 128),
            relu3=nn.ReLU(),
            classifier=nn.Linear(128, classes),
        )
    )


def gupta_cnn_cifar(input_shape: InputShape, classes: int) -> nn.Module:
    """Build three 5x5 convolutions (64 channels) with overlapping pooling, and a Linear layer.

    Source: Gupta et al. 2015, "CIFAR10".
    """
    channels, height, width = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in (1, 2, 3):
        layers[f"conv{number}"] = nn.Conv2d(channels, 64, 5, padding=2)
        layers[f"relu{number}"] = nn.ReLU()
        layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2, padding=1)
        channels, height, width = 64, (height + 1) // 2, (width + 1) // 2
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(channels * height * width, classes)
    return nn.Sequential(layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plain network of convolutions and Linear layers, with a BatchNorm behind each.

    Attributes:
        convolutions: channels of each.
        kernel: height and width of their kernels.
        pooled: numbers of the convolutions, from 1, with 2x2 max-pooling behind them.
        hidden: units of each Linear layer before the last.
        pool_dropout: share of channels dropped behind each pooling; none where it is empty.
        hidden_dropout: share of units dropped behind each Linear layer but the last.
    """

    convolutions: tuple[int, ...]
    kernel: int
    pooled: tuple[int, ...]
    hidden: tuple[int, ...]
    pool_dropout: tuple[float, ...] = ()
    hidden_dropout: float = 0.0


TEACHER = Plan(
    convolutions=(76, 76, 126, 126, 148, 148, 148, 148),
    kernel=3,
    pooled=(2, 4, 8),
    hidden=(1200, 1200),
    pool_dropout=(0.2, 0.3, 0.35),
    hidden_dropout=0.4,
)
STUDENT1 = Plan(convolutions=(75, 50, 50, 25), kernel=5, pooled=(2, 4), hidden=(500,))
STUDENT2 = Plan(convolutions=(50, 25, 25, 10), kernel=5, pooled=(2, 4), hidden=(400,))
STUDENT3 = Plan(convolutions=(25, 10, 10, 5), kernel=5, pooled=(2, 4), hidden=(300,))


def plain_cnn(input_shape: InputShape, classes: int, *, plan: Plan) -> nn.Module:
    """Build a teacher or a student of quantized distillation.

    The order is layer, BatchNorm, ReLU, pooling, dropout, and the last layer's outputs are
    logits; the released code has the BatchNorm behind the ReLU, and a ReLU behind the last layer.
    As each layer's BatchNorm has an offset, the layer has no bias.

    Args:
        input_shape: channels, height, width.
        classes: outputs of the last layer.
        plan: widths, pooling and dropout.

    Source: Polino et al. 2018, "CIFAR-10"; the places of pooling and dropout are those of the code
        that was released with it, and give the paper's 5.3, 1.0, 0.3 and 0.1 million parameters.
    """
    channels, height, width = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    poolings = 0
    for number, filters in enumerate(plan.convolutions, start=1):
        padding = plan.kernel // 2
        conv = nn.Conv2d(channels, filters, plan.kernel, padding=padding, bias=False)
        layers |= {f"conv{number}": conv, f"norm{number}": nn.BatchNorm2d(filters)}
        layers[f"relu{number}"] = nn.ReLU()
        channels = filters
        if number in plan.pooled:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
            if plan.pool_dropout:
                layers[f"dropout{number}"] = nn.Dropout2d(plan.pool_dropout[poolings])
            height, width, poolings = height // 2, width // 2, poolings + 1
    layers["flatten"] = nn.Flatten()
    features = channels * height * width
    for number, units in enumerate(plan.hidden, start=1):
        layers[f"hidden{number}"] = nn.Linear(features, units, bias=False)
        layers[f"hidden_norm{number}"] = nn.BatchNorm1d(units)
        layers[f"hidden_relu{number}"] = nn.ReLU()
        if plan.hidden_dropout:
            layers[f"hidden_dropout{number}"] = nn.Dropout(plan.hidden_dropout)
        features = units
    layers["classifier"] = nn.Linear(features, classes)
    return nn.Sequential(layers)
