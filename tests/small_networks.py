"""Small random networks and data with learnable labels: made in milliseconds, always the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 3
FEATURES = 6
WORDS = 12
IMAGE = (2, 6, 6)

Pair = tuple[Tensor, Tensor]
N = TypeVar("N", bound=nn.Module)


class Mlp(nn.Module):
    """Three Linear layers; the last one is registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, CLASSES)
        self.first = nn.Linear(FEATURES, 8)
        self.second = nn.Linear(8, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.second(torch.relu(self.first(inputs))))
        output: Tensor = self.last(hidden)
        return output


class ConvNet(nn.Module):
    """Convolutions with BatchNorm, one without, and a block with a convolution as shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(4, 6, 1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(6)
        self.stem = nn.Conv2d(IMAGE[0], 4, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.conv_norm = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 6, 3, groups=3)
        self.classifier = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.stem_norm(self.stem(images)))
        block = self.conv_norm(self.conv(hidden)) + self.shortcut_norm(self.shortcut(hidden))
        block = torch.relu(self.grouped(torch.relu(block)))
        output: Tensor = self.classifier(block.mean(dim=(2, 3)))
        return output


class TransposedNet(nn.Module):
    """A ConvTranspose2d, whose output channels lie on axis 1 of its weight, and a Linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(IMAGE[0], 5, 3, stride=2)
        self.classifier = nn.Linear(5, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.classifier(torch.relu(self.up(images)).mean(dim=(2, 3)))
        return output


class WordNet(nn.Module):
    """An Embedding, averaged over the sentence, and a Linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.classifier = nn.Linear(8, CLASSES)

    def forward(self, sentences: Tensor) -> Tensor:
        output: Tensor = self.classifier(self.words(sentences).mean(dim=1))
        return output


class SharedLayerNet(nn.Module):
    """One Linear layer and one BatchNorm, both run twice; the layer has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Linear(FEATURES, FEATURES)
        self.again = self.twice
        self.norm = nn.BatchNorm1d(FEATURES)
        self.classifier = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.twice(inputs)))
        hidden = torch.relu(self.norm(self.again(hidden)))
        output: Tensor = self.classifier(hidden)
        return output


class TiedNet(nn.Module):
    """Two layers that share one weight, as language models tie embedding and output."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.middle = nn.Linear(8, 8)
        self.logits = nn.Linear(8, WORDS, bias=False)
        self.logits.weight = self.words.weight

    def forward(self, sentences: Tensor) -> Tensor:
        output: Tensor = self.logits(self.middle(self.words(sentences).mean(dim=1)))
        return output


class TwoInputsNet(nn.Module):
    """A network of two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(FEATURES, 4)
        self.right = nn.Linear(FEATURES, 4)
        self.classifier = nn.Linear(4, CLASSES)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        output: Tensor = self.classifier(torch.tanh(self.left(left) - self.right(right)))
        return output


@dataclass(frozen=True, slots=True)
class Kind:
    """A network and the shape of one of its samples; words where the samples are word numbers."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: bool = False


NETWORKS: Mapping[str, Kind] = {
    "mlp": Kind(Mlp, (FEATURES,)),
    "conv": Kind(ConvNet, IMAGE),
    "transposed": Kind(TransposedNet, IMAGE),
    "words": Kind(WordNet, (5,), words=True),
    "shared": Kind(SharedLayerNet, (FEATURES,)),
}
"""The networks that a search takes as they are; `TiedNet` is not one of them."""


def fresh(build: Callable[[], N], seed: int = 0) -> N:
    """Build a network whose weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def samples(
    count: int, shape: tuple[int, ...] = (FEATURES,), *, seed: int = 0, words: bool = False
) -> Pair:
    """Draw inputs and labels: each class has a prototype, and noise around it."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=draw)
    if words:  # the words of a class are mostly those with its own remainder
        numbers = torch.randint(0, WORDS // CLASSES, (count, *shape), generator=draw)
        return CLASSES * numbers + labels[:, None], labels
    prototypes = torch.randn(CLASSES, *shape, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(count, *shape, generator=draw)
    return prototypes[labels] + noise, labels


def samples_of(name: str, count: int, seed: int = 0) -> Pair:
    """Draw samples for the network `name`."""
    kind = NETWORKS[name]
    return samples(count, kind.shape, seed=seed, words=kind.words)


def trained(name: str, seed: int = 0, steps: int = 40) -> nn.Module:
    """Return a copy of the network `name` after some steps of Adam, in eval mode."""
    return copy.deepcopy(_trained(name, seed, steps))


@cache
def _trained(name: str, seed: int, steps: int) -> nn.Module:
    network = fresh(NETWORKS[name].build, seed)
    inputs, labels = samples_of(name, 256, seed=1000 + seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()
