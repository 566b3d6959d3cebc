"""Settings and outcomes of training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from rlquant.arguments import explained
from rlquant.config import Rounding
from rlquant.errors import SettingsError, require_finite, require_not_negative, whole_number
from rlquant.quantizers.fixed_point import WIDEST_WORD
from rlquant.quantizers.rounding import PURE_ROUNDINGS
from rlquant.score import Measurement
from rlquant.training.augmentation import CropAndFlip

Optimizer = Literal["adam", "sgd"]
Schedule = Literal["cosine", "constant", "steps"]

PLACE = "TrainSettings"
SEQUENCES = 16
"""Samples of a step that suit a transformer: some thousand tokens."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Arithmetic on `<IL, FL>`: every number of training is a multiple of 2^-FL and saturates.

    Attributes:
        integer_bits: IL, the sign included, at least 1.
        fraction_bits: FL, at least 0; IL + FL at most 32.
        rounding: "nearest" (a tie goes down) or "stochastic".
        output_integer_bits: IL of layer outputs and back-propagated errors, with the same word
            length; `integer_bits` where it is None.
        wide_fraction_bits: FL of the last steps, where the word is widened; None for never.
        wide_share: share of the steps that are trained with the wide word, above 0, below 1.

    Source: Gupta et al. 2015, "Limited precision arithmetic".
    """

    integer_bits: int
    fraction_bits: int
    rounding: Rounding = "stochastic"
    output_integer_bits: int | None = None
    wide_fraction_bits: int | None = None
    wide_share: float = 0.15

    @explained
    def __post_init__(self) -> None:
        whole_number("FixedPoint: integer_bits", self.integer_bits, 1, WIDEST_WORD)
        most = WIDEST_WORD - self.integer_bits
        whole_number("FixedPoint: fraction_bits", self.fraction_bits, 0, most)
        if self.rounding not in PURE_ROUNDINGS:
            raise SettingsError(
                f"FixedPoint: rounding={self.rounding!r}, use one of {PURE_ROUNDINGS}"
            )
        if self.output_integer_bits is not None:
            word = self.integer_bits + self.fraction_bits
            whole_number("FixedPoint: output_integer_bits", self.output_integer_bits, 1, word)
        if self.wide_fraction_bits is not None:
            least = self.fraction_bits + 1
            whole_number("FixedPoint: wide_fraction_bits", self.wide_fraction_bits, least, most)
        if not 0.0 < self.wide_share < 1.0:
            raise SettingsError(
                f"FixedPoint: wide_share={self.wide_share!r}, use a number above 0 and below 1"
            )

    @property
    def output_format(self) -> tuple[int, int]:
        """(IL, FL) of layer outputs and back-propagated errors."""
        if self.output_integer_bits is None:
            return self.integer_bits, self.fraction_bits
        word = self.integer_bits + self.fraction_bits
        return self.output_integer_bits, word - self.output_integer_bits

    def widened(self) -> FixedPoint:
        """Return the format of the last steps; itself where the word is never widened."""
        if self.wide_fraction_bits is None:
            return self
        return replace(self, fraction_bits=self.wide_fraction_bits, wide_fraction_bits=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a mixed network is trained.

    With "adam" the rates of latent weights and scales are relative to what they move: a latent
    weight moves by about `learning_rate` times the root mean square of its layer's weights a
    step, a scale by `scale_rate` times its start; points by `point_rate` of their group's range.
    With "sgd" every rate is an ordinary one.

    Attributes:
        epochs: passes over the training data.
        steps: number of steps instead of `epochs`, where it is not None.
        batch_size: samples a step; an incomplete last batch of an epoch is left out.
        optimizer: "adam", or "sgd" with Nesterov momentum.
        momentum: of "sgd", at least 0 and below 1.
        learning_rate: of latent weights.
        scale_rate: of a ternary layer's two scales.
        point_rate: of learned points.
        bias_rate: of biases and BatchNorm's affine parameters.
        weight_decay: of latent weights alone, decoupled from the gradient with "adam".
        schedule: "cosine" to 0, "constant", or "steps": a tenth of it at each of `milestones`.
        milestones: shares of all steps, ascending, for "steps".
        warmup: share of the steps in which rates rise to the schedule's, from 0 to below 1.
        temperature: tau of the distillation loss.
        distillation_weight: weight of its first term; the labels' is the rest.
        ternary_threshold: zero zone of ternary layers, as a share of max |w|.
        ternary_sparsity: share of zeros of ternary layers instead of the threshold.
        train_kept: train the weights of kept layers too, as a float control does.
        dropout: whether the network drops what it drops in training, or nothing.
        augmentation: of the images of each batch; the teacher then sees the same images.
        arithmetic: train in fixed point, without a configuration.
    """

    epochs: int = 5
    steps: int | None = None
    batch_size: int = 128
    optimizer: Optimizer = "adam"
    momentum: float = 0.9
    learning_rate: float = 0.01
    scale_rate: float = 0.01
    point_rate: float = 0.002
    bias_rate: float = 0.01
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    milestones: tuple[float, ...] = ()
    warmup: float = 0.0
    temperature: float = 2.0
    distillation_weight: float = 0.7
    ternary_threshold: float = 0.05
    ternary_sparsity: float | None = None
    train_kept: bool = False
    dropout: bool = True
    augmentation: CropAndFlip | None = None
    arithmetic: FixedPoint | None = None

    @explained
    def __post_init__(self) -> None:
        for field, least in (("epochs", 1), ("batch_size", 1)):
            whole_number(f"{PLACE}: {field}", getattr(self, field), least)
        if self.steps is not None:
            whole_number(f"{PLACE}: steps", self.steps, 1)
        for field in ("learning_rate", "scale_rate", "point_rate", "bias_rate", "weight_decay"):
            require_not_negative(PLACE, field, getattr(self, field))
        if not 0.0 <= self.momentum < 1.0:
            raise SettingsError(f"{PLACE}: momentum={self.momentum!r}, use at least 0, below 1")
        if not 0.0 <= self.warmup < 1.0:
            raise SettingsError(f"{PLACE}: warmup={self.warmup!r}, use at least 0, below 1")
        require_finite(PLACE, "temperature", self.temperature, above=0.0)
        for field in ("distillation_weight", "ternary_threshold", "ternary_sparsity"):
            value = getattr(self, field)
            absent = value is None and field == "ternary_sparsity"
            if not absent and (value is None or not 0.0 <= value <= 1.0):
                raise SettingsError(f"{PLACE}: {field}={value!r}, use a number in 0..1")
        self._require_known("optimizer", get_args(Optimizer))
        self._require_known("schedule", get_args(Schedule))
        object.__setattr__(self, "milestones", tuple(self.milestones))
        inside = all(0.0 < share < 1.0 for share in self.milestones)
        if not inside or list(self.milestones) != sorted(self.milestones):
            raise SettingsError(
                f"{PLACE}: milestones={self.milestones!r}, use ascending shares above 0 and below 1"
            )

    def rate_at(self, step: int, steps: int) -> float:
        """Return the factor of every learning rate at a step, by the schedule.

        Args:
            step: the step about to be taken, 0 for the first.
            steps: steps of the whole run.
        """
        rising = self.warmup * steps
        factor = min(1.0, (step + 1) / (rising + 1)) if rising else 1.0
        share = step / steps
        if self.schedule == "cosine":
            return factor * 0.5 * (1.0 + math.cos(math.pi * share))
        if self.schedule == "steps":
            return factor * 0.1 ** sum(share >= milestone for milestone in self.milestones)
        return factor

    def for_transformer(self) -> TrainSettings:
        """Return the same with a tenth of the rates, biases' a hundredth, after a warm-up.

        Without BatchNorm nothing takes up a change of scale, and residual streams add up the
        changes of all layers. A sample is a sequence of a hundred tokens or more, so a step takes
        at most `SEQUENCES` of them. Nothing is dropped: in short runs dropout is noise. On
        all-MiniLM-L6-v2, 4 bits a channel, 32 distilled steps take 1 - cosine from 0.0335 to 0.0290
        without and to 0.0316 with it.
        """
        return replace(
            self,
            batch_size=min(self.batch_size, SEQUENCES),
            learning_rate=0.1 * self.learning_rate,
            scale_rate=0.1 * self.scale_rate,
            point_rate=0.1 * self.point_rate,
            bias_rate=0.01 * self.bias_rate,
            warmup=0.1,
            dropout=False,
        )

    def _require_known(self, field: str, known: tuple[str, ...]) -> None:
        if getattr(self, field) not in known:
            raise SettingsError(f"{PLACE}: {field}={getattr(self, field)!r}, use one of {known}")


TUNED = TrainSettings(steps=50, bias_rate=0.03)
"""The short run of fidelity "tuned": so few steps need faster biases."""
TRAINED = TrainSettings(epochs=10)
"""The long run of fidelity "trained"."""


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """What came of a training run.

    Attributes:
        steps: steps taken.
        losses: mean training loss of each tenth of the steps taken; not finite where it diverged.
        diverged: whether the loss became NaN or infinite, or ended more than 1.5 times as high as
            before the first step; the network is then that of the best state seen.
        stopped: whether a watcher ended the run early.
        validation: of the returned network, where validation data were given.
        seconds: wall-clock time of the steps.
    """

    steps: int
    losses: tuple[float, ...]
    diverged: bool
    stopped: bool
    validation: Measurement | None
    seconds: float

    @property
    def finite(self) -> bool:
        """Whether every training loss is a finite number."""
        return all(map(math.isfinite, self.losses))
