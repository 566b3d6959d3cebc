"""Networks of many kinds, from finding layers to a file that is loaded bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

import rlquant
from rlquant import Budget, Distillation, NextToken, SearchSpace
from rlquant.forward_pass import run
from rlquant_agents import search
from strategies import seeded

WORDS, POSITIONS, WIDTH = 60, 8, 16
Made = tuple[nn.Module, Callable[[int, int], Any], Any]
"""A network, its data by count and seed, and an objective."""


def made(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()


def texts(count: int, seed: int) -> dict[str, Tensor]:
    draw = seeded(seed)
    lengths = torch.randint(3, POSITIONS + 1, (count, 1), generator=draw)
    mask = (torch.arange(POSITIONS)[None] < lengths).long()
    ids = torch.randint(1, WORDS, (count, POSITIONS), generator=draw)
    return {"input_ids": ids * mask, "attention_mask": mask}


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    return torch.randn(count, 3, 16, 16, generator=draw), torch.arange(count) % 4


def llama() -> Made:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    return made(lambda: transformers.LlamaForCausalLM(config)), texts, NextToken()


def bert() -> Made:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=POSITIONS,
    )  # fmt: skip
    return made(lambda: transformers.BertModel(config)), texts, Distillation("cosine")


def gpt2() -> Made:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=POSITIONS
    )
    return made(lambda: transformers.GPT2LMHeadModel(config)), texts, Distillation("kl")


def vit() -> Made:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=16, patch_size=4, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_labels=4,
    )  # fmt: skip
    return made(lambda: transformers.ViTForImageClassification(config)), images, None


def timm_vit() -> Made:
    timm = pytest.importorskip("timm")

    def build() -> nn.Module:
        network: nn.Module = timm.models.VisionTransformer(
            img_size=16, patch_size=4, embed_dim=WIDTH, depth=2, num_heads=4, num_classes=4
        )
        return network

    return made(build), images, None


class Tagger(nn.Module):
    """A tag for every word, with a recurrent module."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(2 * WIDTH, 5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tags: Tensor = self.tags(self.lstm(self.words(input_ids))[0])
        return tags


class UNet(nn.Module):
    """Down and up again, with a skip connection and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.inner = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        high = self.down(image)
        low = functional.relu(self.inner(high))
        mask: Tensor = self.out(torch.cat([high, self.up(low)], dim=1))
        return mask


class Detector(nn.Module):
    """Boxes and scores by name, as detectors give them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, stride=2)
        self.boxes, self.scores = nn.Linear(8, 4), nn.Linear(8, 3)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = functional.relu(self.body(image)).mean(dim=(2, 3))
        return {"boxes": self.boxes(found), "logits": self.scores(found)}


def of_pixels(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Score a class for every pixel by the image's own."""
    pixels = targets[:, None, None].expand(-1, *outputs.shape[2:])
    each = functional.cross_entropy(outputs, pixels, reduction="none").mean(dim=(1, 2))
    return each.sum(), (outputs.argmax(dim=1) == pixels).float().mean(dim=(1, 2)).sum()


NETWORKS: dict[str, Callable[[], Made]] = {
    "llama": llama,
    "bert": bert,
    "gpt2": gpt2,
    "vit": vit,
    "timm-vit": timm_vit,
    "tagger": lambda: (made(Tagger), texts, Distillation("kl")),
    "u-net": lambda: (made(UNet), images, of_pixels),
    "detector": lambda: (made(Detector), images, Distillation("mse")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_searched_saved_and_loaded_bit_for_bit(name: str, tmp_path: Path) -> None:
    network, data, objective = NETWORKS[name]()
    space = SearchSpace(bits=(3, 4, 8), group_size=("channel", 8))
    result = search(
        network, data(12, 1), data(12, 2), budget=Budget.average_bits(6.0), space=space,
        objective=objective, evaluations=10, searcher="local-swap",
    )  # fmt: skip
    assert len(result.history) == 10
    assert result.score.average_bits <= 6.0
    inputs = data(6, 3)
    arguments = inputs if isinstance(inputs, dict) else (inputs[0],)
    expected = outputs(result.network, arguments)
    path = tmp_path / "model.rlq"
    size = rlquant.save(result.network, path)
    assert path.stat().st_size == result.score.size_bytes == size
    loaded = rlquant.load(path, made(lambda: NETWORKS[name]()[0]))
    plain = rlquant.dequantize(result.network)
    for other in (loaded, plain):
        found = outputs(other, arguments)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(rlquant.find_layers(network, arguments)) >= 2


def outputs(network: nn.Module, arguments: Any) -> list[Tensor]:
    with torch.no_grad():
        return [t for t in tree_leaves(run(network, arguments)) if isinstance(t, Tensor)]
