"""Small networks of 12 to 84 layers, of six families: none is one of the tasks' networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from rlquant.ambient import seeded
from rlquant.objective import Classification, Distillation, Objective
from rlquant.tasks.networks import resnet

VOCABULARY, LENGTH = 256, 48
"""Texts are bytes, so many at a time."""
SHAPE, CLASSES = (1, 8, 8), 10
"""Of the images, handwritten digits."""

Data = Literal["text", "masked", "images"]
KL = Distillation("kl")


@dataclass(frozen=True, slots=True)
class SmallNetwork:
    """A network to train briefly and to measure.

    Attributes:
        family: a key of `FAMILIES`.
        depth: blocks.
        width: channels or hidden units.
        seed: of weights, training and configurations.
        objective: of its evaluations.
        embeds: whether the mean of the last hidden states is its output, as of sentence encoders.
    """

    family: str
    depth: int
    width: int
    seed: int
    objective: Objective = KL
    embeds: bool = False

    @property
    def name(self) -> str:
        """Family, depth and width: the name of its folder."""
        return f"{self.family}-{self.depth}x{self.width}{'-embedding' if self.embeds else ''}"

    @property
    def data(self) -> Data:
        """What it is trained on."""
        return FAMILIES[self.family].data

    def build(self) -> nn.Module:
        """Return it with fresh weights; the global random state is left as it was."""
        with seeded(self.seed):
            return FAMILIES[self.family].build(self.depth, self.width)

    def measured(self, trained: nn.Module) -> nn.Module:
        """Return what is quantized and evaluated of the trained network."""
        return Embedder(trained).eval() if self.embeds else trained.eval()


class Embedder(nn.Module):
    """The mean of the last hidden states of an encoder, of length 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.encoder = network.get_submodule("bert")

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return embeddings `(texts, width)` of tokens `(texts, length)`."""
        hidden = self.encoder(input_ids=input_ids).last_hidden_state
        return functional.normalize(hidden.mean(dim=1), dim=1)


def _sizes(depth: int, width: int) -> dict[str, Any]:
    """Return what the configurations of all transformers here have."""
    return {
        "initializer_range": width**-0.5,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": 4,
    }


def _llama(depth: int, width: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            intermediate_size=round(8 / 3 * width / 32) * 32,
            **_sizes(depth, width),
            num_key_value_heads=2,
            max_position_embeddings=LENGTH,
            use_cache=False,
            **_NO_TOKENS,
        )
    )


def _neox(depth: int, width: int) -> nn.Module:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCABULARY,
            intermediate_size=4 * width,
            **_sizes(depth, width),
            max_position_embeddings=LENGTH,
            use_cache=False,
            **_NO_TOKENS,
        )
    )


def _bert(depth: int, width: int) -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY,
            intermediate_size=4 * width,
            **_sizes(depth, width),
            max_position_embeddings=LENGTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=None,
        )
    )


def _vit(depth: int, width: int) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    channels, side, _ = SHAPE
    return ViTForImageClassification(
        ViTConfig(
            intermediate_size=4 * width,
            **_sizes(depth, width),
            image_size=side,
            patch_size=2,
            num_channels=channels,
            id2label=dict(enumerate(map(str, range(CLASSES)))),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def _resnet(depth: int, width: int) -> nn.Module:
    return resnet(SHAPE, CLASSES, widths=(width, 2 * width), blocks=depth)


def _mobilenet(depth: int, width: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=ConvNorm(SHAPE[0], width, 3))
    layers["act"] = nn.ReLU6()
    channels = width
    for i in range(depth):
        wider = width if i < depth // 2 else 2 * width
        layers[f"blocks{i}"] = InvertedResidual(channels, wider, stride=1 + (i == depth // 2))
        channels = wider
    layers["head"] = ConvNorm(channels, 4 * channels, 1)
    layers["head_act"] = nn.ReLU6()
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(4 * channels, CLASSES)
    return nn.Sequential(layers)


class ConvNorm(nn.Sequential):
    """A convolution without bias and its BatchNorm."""

    def __init__(self, of: int, to: int, size: int, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(of, to, size, stride, size // 2, groups=groups, bias=False)
        super().__init__(OrderedDict(conv=conv, norm=nn.BatchNorm2d(to)))


class InvertedResidual(nn.Module):
    """Expansion by 4, a depthwise convolution of 3x3, projection (Sandler et al. 2018)."""

    def __init__(self, of: int, to: int, stride: int) -> None:
        super().__init__()
        inner = 4 * of
        self.expand = ConvNorm(of, inner, 1)
        self.depthwise = ConvNorm(inner, inner, 3, stride, groups=inner)
        self.project = ConvNorm(inner, to, 1)
        self.act = nn.ReLU6()
        self.is_residual = of == to and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Return `(n, channels, height, width)` of images of the same form."""
        found: Tensor = self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        return x + found if self.is_residual else found


_NO_TOKENS: Mapping[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


@dataclass(frozen=True, slots=True)
class Family:
    """How networks of a family are built, from depth and width, and on what they are trained."""

    build: Callable[[int, int], nn.Module]
    data: Data


FAMILIES: Mapping[str, Family] = {
    "llama": Family(_llama, "text"),
    "bert": Family(_bert, "masked"),
    "gpt-neox": Family(_neox, "text"),
    "vit": Family(_vit, "images"),
    "resnet": Family(_resnet, "images"),
    "mobilenet": Family(_mobilenet, "images"),
}
"""Families by name."""

COSINE, LABELS = Distillation("cosine"), Classification()
NETWORKS = (
    SmallNetwork("llama", 3, 48, 1),
    SmallNetwork("bert", 3, 48, 2),
    SmallNetwork("gpt-neox", 4, 48, 3),
    SmallNetwork("vit", 3, 48, 4),
    SmallNetwork("resnet", 3, 12, 5),
    SmallNetwork("mobilenet", 5, 12, 6),
    SmallNetwork("llama", 2, 64, 7),
    SmallNetwork("bert", 5, 32, 8, COSINE, embeds=True),
    SmallNetwork("gpt-neox", 3, 64, 9),
    SmallNetwork("vit", 2, 64, 10, LABELS),
    SmallNetwork("resnet", 5, 8, 11, LABELS),
    SmallNetwork("mobilenet", 4, 16, 12, LABELS),
    SmallNetwork("llama", 6, 32, 13),
    SmallNetwork("bert", 2, 64, 14, COSINE, embeds=True),
    SmallNetwork("gpt-neox", 9, 32, 15),
    SmallNetwork("vit", 6, 32, 16),
    SmallNetwork("resnet", 8, 8, 17),
    SmallNetwork("mobilenet", 8, 8, 18, LABELS),
    SmallNetwork("llama", 12, 32, 19),
    SmallNetwork("bert", 9, 32, 20),
    SmallNetwork("gpt-neox", 16, 32, 21),
    SmallNetwork("vit", 10, 32, 22),
    SmallNetwork("resnet", 4, 16, 23),
    SmallNetwork("mobilenet", 12, 8, 24),
)
"""In the order in which they are measured: the first six are one of each family."""
