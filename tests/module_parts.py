"""Small networks with weights that are parts of a module: attentions and recurrent layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from strategies import seeded

FEATURES, WIDTH, STEPS = 6, 16, 5


class Encoder(nn.Module):
    """A transformer encoder, whose layers take PyTorch's fused path where nothing watches them."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Linear(FEATURES, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 24, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.inputs(x)).mean(1))
        return out


class Block(nn.Module):
    """A block of a vision transformer as torchvision has it."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.self_attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Vit(nn.Module):
    """Two blocks in a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Linear(FEATURES, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.inputs(x))[:, 0])
        return out


class CrossAttention(nn.Module):
    """Keys and values of another width than the queries: three projections, sequence first."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.memory = nn.Linear(FEATURES, WIDTH), nn.Linear(FEATURES, 12)
        self.attention = nn.MultiheadAttention(WIDTH, 4, kdim=12, vdim=12)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.transpose(0, 1)
        memory = self.memory(steps)
        seen = self.attention(self.queries(steps[:2]), key=memory, value=memory)[0]
        out: Tensor = self.head(seen.mean(0))
        return out


class Tagger(nn.Module):
    """A tag for every step, by a recurrent module."""

    def __init__(self, recurrent: Callable[[], nn.RNNBase], outputs: int) -> None:
        super().__init__()
        self.rnn = recurrent()
        self.tags = nn.Linear(outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        tags: Tensor = self.tags(self.rnn(x)[0])
        return tags


def lstm() -> nn.Module:
    return Tagger(
        lambda: nn.LSTM(FEATURES, 8, num_layers=2, bidirectional=True, batch_first=True), 16
    )


def projected_lstm() -> nn.Module:
    return Tagger(lambda: nn.LSTM(FEATURES, 8, proj_size=5, batch_first=True), 5)


def gru() -> nn.Module:
    return Tagger(lambda: nn.GRU(FEATURES, 8, batch_first=True), 8)


def rnn() -> nn.Module:
    return Tagger(lambda: nn.RNN(FEATURES, 8, batch_first=True, bias=False), 8)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "encoder": Encoder,
    "vit": Vit,
    "cross-attention": CrossAttention,
    "lstm": lstm,
    "projected-lstm": projected_lstm,
    "gru": gru,
    "rnn": rnn,
}


def made(name: str) -> nn.Module:
    """Return a network of that name, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[name]().eval()


def samples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs, and targets that nobody needs."""
    return torch.randn(count, STEPS, FEATURES, generator=seeded(seed)), torch.zeros(count)
