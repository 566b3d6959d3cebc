"""Parts of `masked-ppo` as searchers of their own: what gradients bring an agent in three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlquant_agents.searchers.ppo.searcher import MaskedPPO


@dataclass(frozen=True, kw_only=True)
class Plain(MaskedPPO):
    """Without side information."""

    name: ClassVar[str] = "masked-ppo-plain"

    warm_start: str = "uniform"
    shaping: bool = False
    encoder: bool = False
    greedy: bool = False


@dataclass(frozen=True, kw_only=True)
class WarmStart(MaskedPPO):
    """Fitted to knapsacks, likeliest configurations asked for."""

    name: ClassVar[str] = "masked-ppo-warm-start"

    shaping: bool = False
    encoder: bool = False


@dataclass(frozen=True, kw_only=True)
class Encoded(MaskedPPO):
    """Fitted to knapsacks, all layers seen."""

    name: ClassVar[str] = "masked-ppo-encoder"

    shaping: bool = False


@dataclass(frozen=True, kw_only=True)
class Shaped(MaskedPPO):
    """Fitted to knapsacks, rewards shaped."""

    name: ClassVar[str] = "masked-ppo-shaping"

    encoder: bool = False


@dataclass(frozen=True, kw_only=True)
class Imitation(MaskedPPO):
    """As it was fitted to knapsacks: nothing is learned from what it measures."""

    name: ClassVar[str] = "masked-ppo-imitation"

    learning_rate: float = 1e-12


@dataclass(frozen=True, kw_only=True)
class Sampled(MaskedPPO):
    """All but likeliest configurations."""

    name: ClassVar[str] = "masked-ppo-sampled"

    greedy: bool = False
