"""Next-token prediction: cross-entropy, accuracy and perplexity of language models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rlquant.errors import DataError
from rlquant.objective.drawn import loss_of_drawn_classes
from rlquant.objective.outputs import IGNORED, in_cache, main_output, require_targets, wide
from rlquant.samples import Samples, Targets


@dataclass(frozen=True, slots=True)
class NextToken:
    """Cross-entropy and accuracy of the next token; logits `(batch, positions, vocabulary)`.

    Targets are token numbers `(batch, positions)`, by default the inputs `input_ids`; those of -100
    and masked positions do not count. Means are over tokens; `perplexity` is among the metrics.
    """

    name: str = "next-token"

    def targets_of(self, batch: Samples, float_outputs: Callable[[], Any]) -> Targets:
        """Return the token numbers of the batch, -100 where they do not count."""
        inputs, given = batch.inputs, batch.targets
        if not isinstance(given, Tensor):
            if not isinstance(inputs, dict) or "input_ids" not in inputs:
                raise DataError(
                    "next-token: batches have no targets and no input named 'input_ids'; give "
                    "(inputs, token numbers)"
                )
            given = inputs["input_ids"]
        mask = batch.mask
        if mask is None or mask.shape != given.shape:
            return given
        masked: Tensor = given.masked_fill(~mask, IGNORED)
        return masked

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return summed cross-entropy and number of tokens that were the likeliest."""
        values = self.details(outputs, targets)
        return values["loss"].sum(), values["agreement"].sum()

    def units(self, targets: Tensor) -> int:
        """Return how many tokens count."""
        return int((targets[:, 1:] != IGNORED).sum())

    def details(self, outputs: Any, targets: Tensor) -> Mapping[str, Tensor]:
        """Return loss and agreement, 1 or 0, of each token that counts."""
        logits, following = main_output(outputs, self.name), targets[:, 1:].long()
        found = [
            {"loss": _cross_entropy(rows, tokens), "agreement": rows.argmax(dim=1) == tokens}
            for sample, wanted in zip(logits[:, :-1], following, strict=True)
            for rows, tokens in in_cache(wide(sample), wanted)
        ]
        counts = (following != IGNORED).flatten()
        return {name: torch.cat([part[name] for part in found])[counts] for name in found[0]}

    def metrics(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the perplexity."""
        return {"perplexity": float(values["loss"].double().mean().exp())}

    def sampled_loss(self, outputs: Any, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy of tokens drawn from the outputs themselves; see `Curved`."""
        logits = wide(main_output(outputs, self.name))[:, :-1]
        return loss_of_drawn_classes(logits[targets[:, 1:] != IGNORED], generator)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for wrong shapes and for tokens that no output stands for."""
        logits = main_output(outputs, self.name)
        require_targets(targets, self.name)
        if logits.dim() != 3 or targets.shape != logits.shape[:2]:
            raise DataError(
                f"next-token needs outputs (batch, positions, vocabulary) and targets (batch, "
                f"positions), got {tuple(logits.shape)} and {tuple(targets.shape)}"
            )
        tokens = targets[targets != IGNORED]
        if targets.is_floating_point() or not self.units(targets):
            raise DataError(
                f"next-token needs token numbers to predict, got {targets.dtype} of which "
                f"{len(tokens)} count"
            )
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= logits.shape[2]:
            raise DataError(
                f"token numbers reach from {low} to {high}, the network has {logits.shape[2]} "
                f"outputs a position (tokens 0..{logits.shape[2] - 1})"
            )


def _cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    return functional.cross_entropy(logits, tokens, reduction="none", ignore_index=IGNORED)
