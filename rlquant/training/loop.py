"""The one loop that trains a mixed network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlquant.ambient import callers_generators, seeded
from rlquant.errors import DataError, QuantizationError
from rlquant.forward_pass import run as forward
from rlquant.training.batches import Batch, Batches
from rlquant.training.losses import Loss
from rlquant.training.mixed_network import MixedNetwork
from rlquant.training.settings import TrainOutcome, TrainSettings
from rlquant.training.watching import WATCH_EVERY, Watcher

RISE = 1.5
"""A last part of a run with so many times the loss before the first step is no training."""
PARTS = 10
"""Training losses are kept as the means of so many parts of a run."""


class Diverged(Exception):
    """The loss is no finite number any more."""


@dataclass
class Progress:
    """What a run has seen so far; losses stay on the device until they are asked for."""

    steps: int = 1
    taken: int = 0
    losses: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    least: float = math.inf

    @property
    def is_watched(self) -> bool:
        """Whether the step just taken is one of those that are looked at."""
        return self.taken == self.steps or self.taken % WATCH_EVERY == 0

    def add(self, loss: Tensor, labels: Tensor) -> None:
        """Note the losses of a step."""
        self.losses.append(loss)
        self.labels.append(labels)
        self.taken += 1

    def require_finite(self) -> None:
        """Raise `Diverged` unless the losses since the last look are finite."""
        if not torch.isfinite(torch.stack(self.losses[-WATCH_EVERY:])).all():
            raise Diverged

    def improves(self) -> bool:
        """Return whether the mean loss since the last look is the least so far.

        Raises:
            Diverged: one of these losses is not finite.
        """
        self.require_finite()
        mean = float(torch.stack(self.losses[-WATCH_EVERY:]).mean())
        better, self.least = mean < self.least, min(mean, self.least)
        return better

    def means(self) -> tuple[float, ...]:
        """Return the mean loss of each part of the run."""
        if not self.losses:
            return ()
        parts = torch.stack(self.losses).double().tensor_split(PARTS)
        return tuple(float(part.mean()) for part in parts if len(part))

    def figures(self, rate: float) -> Mapping[str, float]:
        """Return what a watcher is told."""
        recent = slice(-WATCH_EVERY, None)
        return {
            "loss": float(torch.stack(self.losses[recent]).mean()),
            "cross_entropy": float(torch.stack(self.labels[recent]).mean()),
            "learning_rate": rate,
            "steps_left": float(self.steps - self.taken),
        }


def steps_of(settings: TrainSettings, batches: Batches) -> int:
    """Return how many steps a run takes."""
    return settings.steps if settings.steps is not None else settings.epochs * len(batches)


@dataclass(frozen=True, eq=False)
class Run:
    """What the steps of a run work on.

    Attributes:
        mixed: what is trained.
        loss: of outputs, targets and the teacher's answers.
        settings: see there.
        teacher: gives the answers to a batch, None for labels alone.
        optimizer: of everything that trains.
    """

    mixed: MixedNetwork
    loss: Loss
    settings: TrainSettings
    teacher: Callable[[Batch], Any] | None
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(
        cls,
        mixed: MixedNetwork,
        loss: Loss,
        settings: TrainSettings,
        teacher: Callable[[Batch], Any] | None = None,
    ) -> Run:
        """Return a run at its beginning."""
        return cls(
            mixed, loss, settings, teacher, make_optimizer(mixed.parameter_groups(), settings)
        )


def train_mixed(
    run: Run, batches: Batches, *, seed: int, watch: Watcher | None = None
) -> TrainOutcome:
    """Train a mixed network in place.

    Every `WATCH_EVERY` steps the loss is looked at, and the best state is kept. A run ends with it
    where a loss is not finite, or the last ones are more than `RISE` times the first.

    Args:
        run: at its beginning.
        batches: the training data.
        seed: of what is random in the network itself, such as dropout.
        watch: told how far the run is.
    """
    progress = Progress(steps_of(run.settings, batches))
    good = Snapshot(run.mixed.state())
    start, diverged, stopped = time.perf_counter(), False, False
    with seeded(seed):
        try:
            for batch in take(batches, progress.steps):
                take_step(run, batch, progress, good)
                if progress.is_watched and watch is not None:
                    factor = run.settings.rate_at(progress.taken - 1, progress.steps)
                    rate = factor * run.settings.learning_rate
                    with callers_generators():
                        asked = watch(progress.taken, progress.figures(rate))
                    stopped = bool(asked) and progress.taken < progress.steps
                if stopped:
                    break
            run.mixed.require_storable()  # the losses say nothing yet of the last step
        except (Diverged, QuantizationError):  # weights that are NaN cannot be projected
            diverged = True
        means = progress.means()
        diverged = diverged or means[-1] > RISE * float(progress.losses[0])
        if diverged:
            good.restore()
    seconds = time.perf_counter() - start
    return TrainOutcome(progress.taken, means, diverged, stopped, None, seconds)


def take_step(run: Run, batch: Batch, progress: Progress, good: Snapshot | None = None) -> None:
    """Take one step: forward, a look at the loss now and then, backward, update.

    Args:
        run: what is trained.
        batch: on the device.
        progress: brought up to date.
        good: brought up to date when the loss is looked at.

    Raises:
        Diverged: a loss since the last look is not finite.
    """
    answers = None if run.teacher is None else run.teacher(batch)
    outputs = forward(run.mixed.network, batch.inputs)
    loss, labels = run.loss(outputs, batch, answers)
    progress.add(loss.detach(), labels)
    if good is not None and progress.is_watched and progress.improves():
        good.take()  # what gave this loss: the update that follows may already be too much
    factor = run.settings.rate_at(progress.taken - 1, progress.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = group["base"] * factor
    run.optimizer.zero_grad()
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    run.mixed.after_step(run.optimizer)


def make_optimizer(
    groups: Sequence[dict[str, Any]], settings: TrainSettings
) -> torch.optim.Optimizer:
    """Return the optimizer of the settings; a network with nothing to train gets one too."""
    chosen: Any = list(groups) or [{"params": [torch.zeros(0, requires_grad=True)], "base": 0.0}]
    if settings.optimizer == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(chosen, lr=0.0, momentum=momentum, nesterov=momentum > 0, fused=True)
    # The shorter memory of squared gradients suits runs of tens of steps.
    return torch.optim.AdamW(chosen, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0, fused=True)


def take(batches: Batches, steps: int) -> Iterator[Batch]:
    """Yield so many batches, epoch after epoch.

    Raises:
        DataError: an epoch gives no batch.
    """
    taken = 0
    while taken < steps:
        before = taken
        for batch in batches.epoch():
            yield batch
            taken += 1
            if taken == steps:
                return
        if taken == before:
            raise DataError("train_data gave no batch; can it be read only once?")


class Snapshot:
    """A copy of tensors, brought up to date or put back as a whole."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._kept = [tensor.clone() for tensor in self._tensors]

    def take(self) -> None:
        """Remember the tensors as they are."""
        for kept, tensor in zip(self._kept, self._tensors, strict=True):
            kept.copy_(tensor)

    def restore(self) -> None:
        """Put the tensors back as they were."""
        for kept, tensor in zip(self._kept, self._tensors, strict=True):
            tensor.copy_(kept)
