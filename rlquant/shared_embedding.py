"""A head that computes with the embedding's weight, as one layer that can be quantized."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class SharedHead(nn.Module):
    """The head of a language model whose weight is that of its embedding, quantized or not."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits, shape `(..., tokens)`, of states of shape `(..., features)`."""
        return functional.linear(hidden, self.embedding.weight)


def share_embedding(network: nn.Module) -> bool:
    """Have a head whose weight is tied to the embedding ask the embedding for it, in place.

    Two layers with one parameter are not quantized, as each of them would be on its own; the
    embedding alone is, and the head follows.

    Args:
        network: a language model of transformers.

    Returns:
        Whether the head was tied; else the network stays as it was.
    """
    known: Any = network
    head, embedding = known.get_output_embeddings(), known.get_input_embeddings()
    tied = isinstance(head, nn.Linear) and isinstance(embedding, nn.Embedding)
    if not tied or head.weight is not embedding.weight or head.bias is not None:
        return False
    known.set_output_embeddings(SharedHead(embedding))
    return True


def give_own_head(network: nn.Module) -> None:
    """Undo `share_embedding` in place, the weight of the head a copy of the embedding's."""
    known: Any = network
    for name, module in list(network.named_modules()):
        if isinstance(module, SharedHead):
            weight = module.embedding.weight.detach()
            head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
            head.weight = nn.Parameter(weight.clone(), module.embedding.weight.requires_grad)
            owner, _, own = name.rpartition(".")
            setattr(known.get_submodule(owner), own, head.train(module.training))
