from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rlquant
from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.quantizers import quantize_integer
from small_transformers import WIDTH, Transformer, tokens_of, transformer


def error_at_4_bits(network: nn.Module) -> float:
    """Return the squared relative error of the Linear layers' weights."""
    weights = [m.weight.detach() for m in network.modules() if isinstance(m, nn.Linear)]
    errors = [quantize_integer(w, 4).dequantize() - w for w in weights]
    ratios = (e.square().sum() / w.square().sum() for e, w in zip(errors, weights, strict=True))
    return float(sum(ratios, torch.zeros(())) / len(weights))


@pytest.mark.parametrize("rotate", [True, "hadamard", False])
def test_the_copy_is_the_same_function_without_gains_and_ties(rotate: Any) -> None:
    network = transformer()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prepared = rlquant.prepare(network, rotate=rotate)
    tokens = tokens_of(4, seed=1)
    assert isinstance(prepared, Transformer)
    torch.testing.assert_close(prepared(tokens), network(tokens), rtol=1e-4, atol=1e-4)
    for module in prepared.modules():
        if isinstance(module, nn.RMSNorm):
            assert torch.equal(module.weight, torch.ones(WIDTH))
    assert prepared.head.weight is not prepared.embedding.weight
    assert all(parameter.requires_grad for parameter in prepared.parameters())
    assert network.head.weight is network.embedding.weight
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())


def test_a_rotation_spreads_outliers() -> None:
    network = transformer()
    folded = error_at_4_bits(rlquant.prepare(network, rotate=False))
    for rotate in (True, "hadamard"):
        assert error_at_4_bits(rlquant.prepare(network, rotate=rotate)) < 0.7 * folded


def test_the_seed_decides_the_rotation() -> None:
    one, again, other = (rlquant.prepare(transformer(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.head.weight, again.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_half_precision_stays() -> None:
    network = transformer().to(torch.bfloat16)
    prepared = rlquant.prepare(network, tokens_of(2, seed=0))
    assert {p.dtype for p in prepared.parameters()} == {torch.bfloat16}


def test_a_network_of_the_transformers_library_is_prepared() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen3Config(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    network = transformers.Qwen3ForCausalLM(config).eval()
    prepared = rlquant.prepare(network)
    assert not prepared.config.tie_word_embeddings
    assert network.config.tie_word_embeddings
    tokens = torch.arange(12).view(2, 6)
    torch.testing.assert_close(
        prepared(tokens).logits, network(tokens).logits, rtol=1e-4, atol=1e-4
    )


class ReadsTheStream(Transformer):
    """A transformer that looks at a channel of the stream itself."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) * self.embedding(tokens)[..., :1]


class TwoEmbeddings(Transformer):
    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(10, WIDTH)


class Wide(Transformer):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(WIDTH, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) + self.extra(self.embedding(tokens)).sum(-1, keepdim=True)


class Headless(Transformer):
    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.norm(self.blocks[1](self.blocks[0](self.embedding(tokens))))
        return output


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (transformer(nn.LayerNorm), r"'blocks.0.attention_norm' \(LayerNorm\) is not weight \* x"),
        (TwoEmbeddings(), "there are 2 embeddings: embedding, positions; it takes one"),
        (nn.Linear(3, 3), "there are 0 embeddings; it takes one"),
        (ReadsTheStream(), "the outputs would change by .* something reads the stream"),
        (Wide(), "'extra' takes no RMSNorm's outputs and gives 5 numbers, .* the 12 of the stream"),
        (Headless(), "no Linear layer takes the outputs of 'norm'"),
    ],
)
def test_other_networks_are_refused_with_the_reason(network: nn.Module, words: str) -> None:
    with pytest.raises(NetworkError, match=f"prepare: the residual stream cannot .*{words}"):
        rlquant.prepare(network)


def test_an_example_that_does_not_run_and_wrong_settings_are_named() -> None:
    with pytest.raises(DataError, match="example_input: the network does not run"):
        rlquant.prepare(transformer(), torch.ones(2, 3))
    with pytest.raises(SettingsError, match="rotate='diagonal', use True, False, orthogonal"):
        rlquant.prepare(transformer(), rotate="diagonal")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="seed=-1, use a whole number from 0"):
        rlquant.prepare(transformer(), seed=-1)
