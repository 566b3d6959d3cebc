"""The data of a reproduction, loaded once, and the errors that networks make on them."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from rlquant.evaluation.measure import measure
from rlquant.tasks.registry import load_data
from rlquant.tasks.task import Samples, Splits


@cache
def splits_of(name: str, device: str) -> Splits:
    """Return the data of that name, on a device."""
    return load_data(name).to(torch.device(device))


def error_percent(network: nn.Module, data: Samples) -> float:
    """Return the share of wrong answers in percent."""
    with torch.no_grad():
        return 100.0 * (1.0 - measure(network, data).accuracy)
