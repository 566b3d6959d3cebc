"""Kinds of networks, by their normalisations: what rates and options suit them."""

from __future__ import annotations

from torch import nn


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether statistics over batches normalise any activations."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


def has_token_norm(network: nn.Module) -> bool:
    """Return whether any activations are normalised position by position, as in transformers.

    Root-mean-square norms have many classes; their names have "RMSNorm" in common.
    """
    return any(
        isinstance(module, nn.LayerNorm) or "RMSNorm" in type(module).__name__
        for module in network.modules()
    )


def is_transformer_like(network: nn.Module) -> bool:
    """Return whether a network has LayerNorms or RMSNorms and no BatchNorm."""
    return has_token_norm(network) and not has_batch_norm(network)
