"""A network of two layers, trained in milliseconds, with its data."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[Tensor, Tensor]
CLASSES, FEATURES, HIDDEN = 3, 8, 16


def toy_network(samples: int = 96, seed: int = 0) -> tuple[nn.Module, Pair, Pair]:
    """Return a trained classifier with the layers "hidden" and "last", and its data.

    Returns:
        The network, the samples it was trained on, and as many for validation: inputs
        `(samples, 8)` with labels `(samples,)` in 0..2.

    Examples:
        >>> from rlquant.testing import toy_network
        >>> network, train_data, validation_data = toy_network()
        >>> network(validation_data[0]).shape
        torch.Size([96, 3])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        labels = torch.arange(samples) % CLASSES
        centres = torch.randn(CLASSES, FEATURES)[labels]
        inputs, others = (centres + torch.randn(samples, FEATURES) for _ in range(2))
        layers = OrderedDict(
            hidden=nn.Linear(FEATURES, HIDDEN), relu=nn.ReLU(), last=nn.Linear(HIDDEN, CLASSES)
        )
        network = nn.Sequential(layers)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval(), (inputs, labels), (others, labels)
