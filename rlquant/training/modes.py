"""The mode of a network in training: all of it, or BatchNorms alone."""

from __future__ import annotations

from torch import nn


def train_batch_norms_alone(network: nn.Module) -> None:
    """Have BatchNorms take the statistics of each batch, and all else be as in evaluation.

    So nothing is dropped.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
