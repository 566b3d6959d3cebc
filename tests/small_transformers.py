"""A tiny transformer of the Llama kind in plain PyTorch, with outlier channels and tied weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

TOKENS, WIDTH, HIDDEN = 20, 12, 16


class Block(nn.Module):
    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = norm(WIDTH), norm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.output = nn.Linear(WIDTH, WIDTH)
        self.gate, self.up = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN)
        self.down = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention_norm(x)
        queries, keys, values = self.query(y), self.key(y), self.value(y)
        attended = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.output(attended)
        y = self.mlp_norm(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Transformer(nn.Module):
    def __init__(self, norm: Callable[[int], nn.Module] = nn.RMSNorm) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.ModuleList(Block(norm) for _ in range(2))
        self.norm = norm(WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


def transformer(norm: Callable[[int], nn.Module] = nn.RMSNorm) -> Transformer:
    """Return a random transformer whose norms have gains, one of them large."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Transformer(norm)
        for module in network.modules():
            if isinstance(module, nn.RMSNorm):
                module.weight.data.uniform_(0.5, 1.5)
                module.weight.data[3] = 20.0
    return network.eval()


def tokens_of(count: int, seed: int) -> Tensor:
    """Return `count` random sequences of 10 tokens."""
    return torch.randint(TOKENS, (count, 10), generator=torch.Generator().manual_seed(seed))
