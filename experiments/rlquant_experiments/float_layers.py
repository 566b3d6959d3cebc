"""Layers of pretrained networks that stay float in all measurements."""

from __future__ import annotations

from torch import nn


def float_layers(network: nn.Module) -> tuple[str, ...]:
    """Return the embeddings and a language model's head.

    What the literature calls a network of 4 bits leaves them alone.
    """
    embeddings = [n for n, m in network.named_modules() if isinstance(m, nn.Embedding)]
    head = [name for name, _ in network.named_children() if name == "lm_head"]
    return (*embeddings, *head)
