"""What an evaluation measures, and how one number is made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional

from rlquant.choices import Fidelity
from rlquant.errors import DataError, FileFormatError, unknown_name


@dataclass(frozen=True, slots=True)
class Measurement:
    """What running a network on the validation samples gave.

    Attributes:
        loss: mean loss; infinite where the network gave no finite number.
        accuracy: mean of the objective's metric.
        samples: validation samples seen.
    """

    loss: float
    accuracy: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The measured quality and the exact cost of one configuration.

    Attributes:
        loss: mean validation loss; infinite where the network gave no finite number.
        accuracy: mean of the objective's metric on the validation samples (0..1 by default).
        size_bytes: bytes of the whole packed file without entropy coding.
        average_bits: bits of codes, scales, offsets and codebooks per searched weight.
        size_ratio: `size_bytes` over the bytes of the float network's tensors.
        bops: bit-operations of one sample (MACs x weight bits x activation bits).
        latency: seconds predicted by the latency table, if the budget has one.
        samples: validation samples seen.
        fidelity: how far the network was trained before it was measured.
    """

    loss: float
    accuracy: float
    size_bytes: int
    average_bits: float
    size_ratio: float
    bops: int
    latency: float | None = None
    samples: int = 0
    fidelity: Fidelity = "calibrated"

    def to_json(self, indent: int | None = None) -> str:
        """Write as JSON; an infinite loss is written as null."""
        document = asdict(self)
        document["loss"] = self.loss if math.isfinite(self.loss) else None
        return json.dumps(document, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Score:
        """Read what `to_json` wrote; `FileFormatError` for anything else."""
        try:
            document: dict[str, Any] = json.loads(text)
            if document["loss"] is None:
                document["loss"] = math.inf
            return cls(**document)
        except (ValueError, TypeError, KeyError) as error:
            raise FileFormatError(f"not a score: {text[:80]!r} ({error})") from error


class Objective(Protocol):
    """How outputs are judged: sums over a batch, so that batches can be added up."""

    @property
    def name(self) -> str:
        """Identify the objective in stores and reports."""

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch's summed loss and summed metric, each a scalar tensor."""

    def check(self, outputs: Any, targets: Tensor) -> None:
        """Raise `DataError` where outputs and targets do not belong together."""


@dataclass(frozen=True, slots=True)
class Classification:
    """Cross-entropy and accuracy; outputs `(batch, classes)`, integer targets `(batch,)`."""

    name: str = "classification"

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return summed cross-entropy and number of correct answers."""
        loss = functional.cross_entropy(outputs, targets, reduction="sum")
        return loss, (outputs.argmax(dim=1) == targets).sum()

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise `DataError` for wrong shapes and for labels that no output stands for."""
        if outputs.dim() != 2 or targets.dim() != 1 or len(outputs) != len(targets):
            raise DataError(
                f"classification needs outputs (batch, classes) and targets (batch,), got "
                f"{tuple(outputs.shape)} and {tuple(targets.shape)}; give your own objective"
            )
        if targets.is_floating_point():
            raise DataError(f"targets are {targets.dtype}, classification needs integer labels")
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= outputs.shape[1]:
            raise DataError(
                f"labels reach from {low} to {high}, the network has {outputs.shape[1]} outputs "
                f"(labels 0..{outputs.shape[1] - 1})"
            )


Reward = Callable[[Score, Score], float]
"""A reward function: `reward(score, float_score) -> float`, larger is better."""

WORST_REWARD = -10.0
"""The reward of a network that gives no finite loss; no reward is below it."""


def log_loss_reward(score: Score, reference: Score) -> float:
    """Return minus the log of the loss relative to the float network's: 0 is as good as float."""
    return -math.log(max(score.loss, 1e-12) / max(reference.loss, 1e-12))


def loss_reward(score: Score, reference: Score) -> float:
    """Return the float network's loss minus the loss."""
    return reference.loss - score.loss


def accuracy_reward(score: Score, reference: Score) -> float:
    """Return the accuracy minus the float network's."""
    return score.accuracy - reference.accuracy


REWARDS: dict[str, Reward] = {
    "log_loss": log_loss_reward,
    "loss": loss_reward,
    "accuracy": accuracy_reward,
}


def resolve_reward(reward: str | Reward) -> Reward:
    """Return the reward function of that name, or the callable itself, kept finite.

    Raises:
        UnknownNameError: no reward has that name.
    """
    if isinstance(reward, str):
        if reward not in REWARDS:
            raise unknown_name("reward", reward, REWARDS)
        function = REWARDS[reward]
    else:
        function = reward

    def bounded(score: Score, reference: Score) -> float:
        if not math.isfinite(score.loss):
            return WORST_REWARD
        return max(WORST_REWARD, float(function(score, reference)))

    return bounded
