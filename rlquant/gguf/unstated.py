"""What files of an architecture do not say, as llama.cpp takes it for granted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlquant.errors import NetworkError

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True)
class Unstated:
    """How llama.cpp computes an architecture in which most blocks attend to the last tokens alone.

    How many tokens these are is stated. Attention is scaled by the size of a head, and no logits
    are capped.

    Attributes:
        full_every: of so many blocks the last attends to all tokens.
        sliding_theta: base of the rotations in the other ones.
        activation: of the feed-forward layers, as transformers names it.
    """

    full_every: int
    sliding_theta: float
    activation: str

    def fields(self, blocks: int, head_size: int | None) -> dict[str, Any]:
        """Return what the configuration in transformers says of it, without its rotations.

        Args:
            blocks: how many the network has.
            head_size: rows of q that a head has.
        """
        kinds = [SLIDING if (block + 1) % self.full_every else FULL for block in range(blocks)]
        return {
            "layer_types": kinds,
            "query_pre_attn_scalar": head_size,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "hidden_activation": self.activation,
        }

    def rotations(self, full: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the rotations of both kinds of blocks, given those of blocks with all tokens."""
        return {FULL: dict(full), SLIDING: {**full, "rope_theta": self.sliding_theta}}

    def require(self, config: Any) -> None:
        """Raise `NetworkError` for what llama.cpp would compute in another way without a word."""
        for field, wanted in self.fields(config.num_hidden_layers, config.head_dim).items():
            found = getattr(config, field)
            if found != wanted:
                raise NetworkError(
                    f"llama.cpp computes such a network with {field}={wanted!r}, it has {found!r}"
                )
        theta = config.rope_parameters[SLIDING]["rope_theta"]
        if theta != self.sliding_theta:
            raise NetworkError(
                f"llama.cpp rotates in blocks with a window by the base {self.sliding_theta}, the "
                f"network by {theta}"
            )


GEMMA3 = Unstated(full_every=6, sliding_theta=10_000.0, activation="gelu_pytorch_tanh")
