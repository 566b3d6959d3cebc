"""Scores, objectives and rewards of evaluations."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rlquant.arguments import explained
from rlquant.config import Fidelity
from rlquant.documents import Count, parse_json, read_as, read_fields
from rlquant.errors import FileFormatError, SettingsError, unknown_name
from rlquant.escaping import html_table
from rlquant.precision import Precision


@dataclass(frozen=True, slots=True)
class Measurement:
    """What running a network on the validation samples gave.

    Attributes:
        loss: mean loss; infinite where the network gave no finite number.
        accuracy: mean of the objective's metric.
        samples: validation samples seen.
        standard_error: of the loss where it is an estimate; None where all samples were seen.
        metrics: further ones of the objective by name, such as "perplexity".
    """

    loss: float
    accuracy: float
    samples: int
    standard_error: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def partial(self) -> bool:
        """Whether the loss is an estimate from some of the validation samples."""
        return self.standard_error is not None


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
        partial: whether the evaluation was ended early, as it could not win: loss and accuracy are
            estimates then, and are never compared with those of whole evaluations.
        standard_error: of a partial score's loss.
        metrics: further ones of the objective by name, such as "perplexity" or "kl_99.9".
        precision: in which the network ran.

    Examples:
        >>> from rlquant.testing import ToyProblem
        >>> score = ToyProblem(3, 4.0).float_score
        >>> score.loss, score.average_bits > 30
        (0.25, True)
    """

    loss: float
    accuracy: float
    size_bytes: Count
    average_bits: float
    size_ratio: float
    bops: Count
    latency: float | None = None
    samples: Count = 0
    fidelity: Fidelity = "calibrated"
    partial: bool = False
    standard_error: float | None = None
    metrics: dict[str, float] = field(default_factory=dict, hash=False)
    precision: Precision = "own"

    def __str__(self) -> str:
        """Say in one line what people ask for first; `repr` has everything."""
        told = [
            f"loss {self.loss:.4g}",
            "" if math.isnan(self.accuracy) else f"accuracy {self.accuracy:.4f}",
            f"{self.average_bits:.3f} average bits",
            f"{self.size_bytes:,} bytes",
            "" if self.latency is None else f"{1000 * self.latency:.3g} ms",
            "an estimate: ended early" if self.partial else "",
        ]
        return ", ".join(part for part in told if part)

    def to_json(self, indent: int | None = None) -> str:
        """Write as JSON; what is infinite and an accuracy that is NaN are written as null."""
        document = asdict(self)
        for name in ("loss", "accuracy", "standard_error"):
            if document[name] is not None and not math.isfinite(document[name]):
                document[name] = None
        return json.dumps(document, indent=indent)

    def _repr_html_(self) -> str:
        """Return a row for a notebook; what was not measured is left out."""
        measured = {name: value for name, value in asdict(self).items() if value is not None}
        return html_table([name.replace("_", " ") for name in measured], [[*measured.values()]])

    @classmethod
    @explained
    def from_json(cls, text: str) -> Score:
        """Read what `to_json` wrote; `FileFormatError` for anything else."""
        try:
            return cls.from_document(parse_json(text))
        except FileFormatError as error:
            raise FileFormatError(f"not a score: {error}") from error

    @classmethod
    def from_document(cls, document: Any) -> Score:
        """Read what the JSON of `to_json` holds; `FileFormatError` for anything else."""
        values = read_as(dict[str, Any], document)
        partial = bool(values.get("partial"))
        absent = {"loss": math.inf, "accuracy": math.nan}
        absent |= {"standard_error": math.inf} if partial else {}
        for name, value in absent.items():
            if name in values and values[name] is None:
                values = {**values, name: value}
        return read_fields(cls, values)


Reward = Callable[[Score, Score], float]
"""A reward function: `reward(score, float_score) -> float`, larger is better."""

WORST_REWARD = -10.0
"""The reward of a network that gives no finite loss; no reward is below it."""


def log_loss_reward(score: Score, reference: Score) -> float:
    """Return minus the log of the loss relative to the float network's: 0 is as good as float.

    Where the float network's loss is 0, as in distillation, it is -log(1 + loss).
    """
    shift = log_shift(reference.loss)
    return -math.log(max(score.loss + shift, 1e-12) / max(reference.loss + shift, 1e-12))


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


NO_LOSS = 1e-4
"""A float network's loss below this is 0 but for rounding, as a distance to itself is."""
WORST_LOG_LOSS = 20.0
"""Stands for the log of an infinite loss."""


def log_loss(loss: float, shift: float = 0.0) -> float:
    """Return the log of a loss, bounded below at that of 1e-12 and where it is not finite.

    Args:
        loss: of a configuration.
        shift: what is added to it, see `log_shift`.
    """
    return math.log(max(loss + shift, 1e-12)) if math.isfinite(loss) else WORST_LOG_LOSS


def log_shift(float_loss: float) -> float:
    """Return what is added to losses before their log is taken: 1 where the float network has 0.

    The log of a distance to the float network says nothing near 0; log(1 + loss) is the loss there.
    """
    return 1.0 if abs(float_loss) < NO_LOSS else 0.0


def bind_reward(reward: str | Reward, reference: Score) -> Callable[[Score], float]:
    """Return the reward of a score on the problem whose float network has the score `reference`.

    Args:
        reward: a name in `REWARDS`, or `reward(score, float_score) -> float`.
        reference: the float network's score.

    Returns:
        A function that gives `WORST_REWARD` for a loss that is not finite and nothing below it;
        it raises `SettingsError` where the reward is no finite number.

    Raises:
        UnknownNameError: no reward has that name.
        SettingsError: `reward` is no function, or it is the log of the loss and the float
            network's loss is not finite or below 0.
    """
    bounded = resolve_reward(reward)
    relative = reward in ("log_loss", log_loss_reward)
    if relative and not 0 <= reference.loss < math.inf:
        raise SettingsError(
            f"reward='log_loss' takes the log of the loss over the float network's, which is "
            f"{reference.loss:g} and must be finite and not below 0; give reward='loss' or a "
            f"function of your own"
        )
    return _Bound(bounded, reference)


def resolve_reward(reward: str | Reward) -> _Bounded:
    """Return the reward function of that name, or the callable itself, kept finite.

    Raises:
        UnknownNameError: no reward has that name.
        SettingsError: `reward` is no function; when called, a reward that is NaN, +inf or no
            number.
    """
    if isinstance(reward, str):
        if reward not in REWARDS:
            raise unknown_name("reward", reward, REWARDS)
        function = REWARDS[reward]
    elif callable(reward) and not isinstance(reward, type):
        function = reward
    else:
        raise SettingsError(
            f"reward={reward!r}, give a name out of {tuple(REWARDS)} or a function "
            f"(score, float_score) -> float"
        )

    return _Bounded(function)


@dataclass(frozen=True, slots=True)
class _Bounded:
    """A reward that is kept finite; a value rather than a closure, which no process could send."""

    function: Reward

    def __call__(self, score: Score, reference: Score) -> float:
        if not math.isfinite(score.loss):
            return WORST_REWARD
        return max(WORST_REWARD, _number(self.function(score, reference), score))


@dataclass(frozen=True, slots=True)
class _Bound:
    """A reward on the problem whose float network has this score."""

    reward: _Bounded
    reference: Score

    def __call__(self, score: Score) -> float:
        return self.reward(score, self.reference)


def _number(value: Any, score: Score) -> float:
    """Return a reward as a float; `SettingsError` for NaN, +inf and what is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) or number == math.inf:
        raise SettingsError(
            f"the reward of loss={score.loss:g}, accuracy={score.accuracy:g} is {value!r}; it must "
            f"be a finite number, the larger the better"
        )
    return number
