"""Kinds of networks, by their normalisations: what rates and options suit them."""

from __future__ import annotations

from torch import nn

WIDEST = 2**14
"""The most weights per output channel for which a layer's Hessian is taken, which is 1 GiB then."""
ATTENTION = ("attention", "attn")
"""Words in the names or classes of modules that attend."""


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


def has_attention(network: nn.Module) -> bool:
    """Return whether some linear layer lies in a module that is named, or is, an attention."""
    return any(
        isinstance(part, nn.Linear)
        for name, module in network.named_modules()
        for part in module.modules()
        if _attends(name.rpartition(".")[2]) or _attends(type(module).__name__)
    )


def _attends(name: str) -> bool:
    return any(word in name.lower() for word in ATTENTION)


def is_measured(module: nn.Module) -> bool:
    """Return whether a layer Hessian can be taken, which roundings by outputs need."""
    if not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        return False
    return module.weight[0].numel() <= WIDEST
