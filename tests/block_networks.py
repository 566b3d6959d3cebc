"""Networks of blocks that torch.fx cannot trace, by hand and of Hugging Face, tiny and random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.samples import Samples

WIDTH, WORDS, POSITIONS, CLASSES = 8, 11, 5, 3


class Untraced(nn.Module):
    """Branches on its inputs, which torch.fx does not trace."""

    def embedded(self, words: Tensor) -> Tensor:
        if int(words.max()) < 0:
            raise ValueError("negative words")
        found: Tensor = self.embedding(words)
        return found


class Block(nn.Module):
    """A residual block with a norm; gives its outputs in a tuple, with a number."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 12)
        self.down = nn.Linear(12, WIDTH, bias=False)

    def forward(self, hidden: Tensor, *, gate: Tensor) -> tuple[Tensor, int]:
        return hidden + gate * self.down(torch.relu(self.up(self.norm(hidden)))), 3


class Stack(Untraced):
    """An embedding, blocks in a list, a head; what a block is given is made before all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.gate = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.embedded(words)
        gate = torch.sigmoid(self.gate(hidden.mean(dim=1, keepdim=True)))
        for block in self.blocks:
            hidden, number = block(hidden, gate=gate)
            assert number == 3
        output: Tensor = self.head(hidden.mean(dim=1))
        return output


class InPlace(Untraced):
    """Adds to what a block gave, in place, and has blocks in sequences of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.stages = nn.Sequential(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True)),
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, WIDTH)),
        )
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.embedded(words)
        for stage in self.stages:
            hidden = stage(hidden)
            hidden += 1
        output: Tensor = self.head(hidden.mean(dim=1))
        return output


class TwoLists(Untraced):
    """An encoder, and a decoder that needs what the encoder gave in each of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.encoder = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.decoder = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        encoded = self.embedded(words)
        for block in self.encoder:
            encoded = torch.tanh(block(encoded))
        hidden = self.embedded(words)
        for block in self.decoder:
            hidden = torch.tanh(block(hidden)) + encoded
        output: Tensor = self.head(hidden.mean(dim=1))
        return output


class EveryBlock(Stack):
    """Adds up what all blocks gave."""

    def forward(self, words: Tensor) -> Tensor:
        hidden = total = self.embedded(words)
        for block in self.blocks:
            hidden, _ = block(hidden, gate=torch.ones(()))
            total = total + hidden
        output: Tensor = self.head(total.mean(dim=1))
        return output


class Repeated(Stack):
    """Runs its blocks twice."""

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.embedded(words)
        for block in (*self.blocks, *self.blocks):
            hidden, _ = block(hidden, gate=torch.ones(()))
        output: Tensor = self.head(hidden.mean(dim=1))
        return output


def llama() -> nn.Module:
    """Return a language model with grouped queries."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=12,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def bert() -> nn.Module:
    """Return an encoder whose pooler reads its last block."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    return BertModel(config)


HAND_MADE: dict[str, Callable[[], nn.Module]] = {
    "stack": Stack,
    "in-place": InPlace,
    "two lists": TwoLists,
}
HUGGING_FACE: dict[str, Callable[[], nn.Module]] = {"llama": llama, "bert": bert}
REFUSED: dict[type[nn.Module], str] = {
    EveryBlock: "its pieces give something else than the whole",
    Repeated: "it has no blocks (in an nn.ModuleList or nn.Sequential) that run once each",
}


def words(count: int, *, named: bool) -> Samples:
    """Return samples of random words, by name with a mask where a network takes them so."""
    generator = torch.Generator().manual_seed(count)
    drawn = torch.randint(WORDS, (count, POSITIONS), generator=generator)
    targets = torch.randint(CLASSES, (count,), generator=generator)
    if not named:
        return Samples((drawn,), targets)
    mask = torch.ones_like(drawn)
    mask[:, 3:] = torch.randint(2, (count, 1), generator=generator)
    return Samples({"input_ids": drawn, "attention_mask": mask}, targets)


def main(outputs: Any) -> Tensor:
    """Return the tensor of a network's outputs that is looked at."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]
