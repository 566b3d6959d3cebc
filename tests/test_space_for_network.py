"""The space that suits a network: groups and GPTQ for transformers, nearest without a Hessian."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.space import TRAINING_SPACE


class Attention(nn.Module):
    """Attends to one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Return what each position attends to."""
        weights = (self.q_proj(x) @ self.k_proj(x).transpose(1, 2)).softmax(dim=-1)
        found: Tensor = weights @ self.v_proj(x)
        return found


class Encoder(nn.Module):
    """Classifies sequences of tokens; one embedding is never used."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.tokens, self.unused = nn.Embedding(11, width), nn.Embedding(3, width)
        self.norm, self.attention = nn.LayerNorm(width), Attention(width)
        self.head = nn.Linear(width, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits."""
        x = self.tokens(tokens)
        x = x + self.attention(self.norm(x))
        logits: Tensor = self.head(x.mean(dim=1))
        return logits


def test_transformers_have_groups_and_gptq() -> None:
    space = SearchSpace.for_network(Encoder())
    assert space.rounding == ("gptq",)
    assert space.group_size == ("channel", 128, 64, 32)
    assert space.of_layer("tokens").rounding == ("nearest",)
    assert space.of_layer("head").rounding == ("gptq",)
    assert SearchSpace.for_network(Encoder(), "tuned") == TRAINING_SPACE


def test_other_networks_have_the_plain_space() -> None:
    normed = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))  # no attention
    mixed = nn.Sequential(Attention(4), nn.LayerNorm(4), nn.BatchNorm1d(4))
    for network in (normed, mixed):
        assert SearchSpace.for_network(network) == SearchSpace()


def test_it_is_what_is_searched_where_no_space_is_given() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(11, (48, 5))
    labels = tokens[:, 0] % 3
    problem = QuantizationProblem(
        Encoder().eval(),
        (tokens[:24], labels[:24]),
        (tokens[24:], labels[24:]),
        budget=Budget.average_bits(6.0),
    )
    options = problem.feasible.options
    own = dict(zip(problem.feasible.names, problem.feasible.own, strict=True))
    assert "unused" not in own  # its override is idle
    for name, row in own.items():
        roundings = {o.rounding for o, is_own in zip(options, row, strict=True) if is_own}
        assert roundings == ({"nearest"} if name == "tokens" else {"gptq"})
    config = problem.feasible.config(problem.feasible.costs.argmin(axis=1))
    assert problem.evaluate(config).average_bits <= 6.0
