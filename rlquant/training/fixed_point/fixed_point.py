"""Training in fixed-point arithmetic, as on hardware that has no other."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from rlquant.ambient import callers_generators, seeded
from rlquant.errors import DataError, SettingsError
from rlquant.forward_pass import mapped, run
from rlquant.objective import Classification
from rlquant.samples import Samples
from rlquant.training.batches import Batch, SampleBatches
from rlquant.training.fixed_point.arithmetic import Arithmetic
from rlquant.training.fixed_point.fixed_point_network import (
    Conversions,
    require_trainable,
    training_copy,
)
from rlquant.training.fixed_point.fixed_point_sgd import FixedPointSGD
from rlquant.training.loop import Progress, Snapshot, steps_of, take
from rlquant.training.memory_layout import training_layout
from rlquant.training.settings import TrainOutcome, TrainSettings
from rlquant.training.watching import Watcher


def train_fixed_point(
    network: nn.Module,
    train: Samples,
    settings: TrainSettings,
    *,
    seed: int,
    watch: Watcher | None = None,
) -> tuple[nn.Module, TrainOutcome]:
    """Train a copy of a classifier so that every number it keeps is a fixed-point number.

    Weights, biases and updates (the momentum buffer is the last update) are in the format
    <integer_bits, fraction_bits>; inputs, outputs of modules and back-propagated errors in
    `output_format`. Each is converted once, after a sum of products in float64, which is exact
    for words of up to 20 bits and sums of up to 2^15 products (for 16 bits, 2^23). There is no
    float copy of the weights. Softmax and loss are computed in float64. What a network computes
    outside of its modules, as the sum of two branches, is not converted.

    Errors are those of a single sample: the loss is summed over the batch, and 1/batch goes into
    the update. With a mean loss an error would be batch times smaller, and far more of them would
    round to 0.

    Of the settings these count: epochs or steps, batch_size, optimizer ("sgd"), learning_rate (of
    all parameters), momentum (plain, not Nesterov), weight_decay (of weights, not biases),
    schedule, milestones, augmentation, arithmetic.

    Args:
        network: Linear, convolution and embedding layers and modules without parameters; its
            weights are where training starts. It is left as it is.
        train: samples on the network's device; an incomplete last batch of an epoch is left out.
        settings: with `arithmetic=None` the same loop converts nothing: the float control.
        seed: of the order of the samples and all draws; the same seed gives the same network.
        watch: told every `WATCH_EVERY` steps of the figures named in `Watcher`, and of those in
            `Counts.take`, which are counted only for a watcher.

    Returns:
        The network in eval mode and float64, which converts its inputs (of any float type) and
        the outputs of its modules to the nearest number, so that an evaluation draws nothing; and
        what came of the run. Where the loss became NaN or infinite, the network is that of the
        last report before.

    Raises:
        NetworkError: a layer that the arithmetic has no format for (BatchNorm's statistics).
        SettingsError: another optimizer than "sgd".
        DataError: no sample, or labels that do not fit the network's outputs.

    Source: Gupta et al. 2015, "Limited precision arithmetic" and "Deep networks".
    """
    if settings.optimizer != "sgd":
        raise SettingsError(
            f"TrainSettings: optimizer={settings.optimizer!r}, but training in fixed point is "
            f"defined for SGD; use optimizer='sgd'"
        )
    if len(train) == 0:
        raise DataError("train is empty: give at least one sample")
    require_trainable(network)
    trained = training_copy(network)
    example = mapped(torch.Tensor.double, train.first(2).inputs)
    layout = training_layout(trained, example)
    batches = SampleBatches(train, settings, seed, layout)
    with seeded(seed):
        run = _Run(trained, batches, settings, seed, watch)
        return trained, run.train()


class _Run:
    """One run, and how far it has come."""

    def __init__(
        self,
        network: nn.Module,
        batches: SampleBatches,
        settings: TrainSettings,
        seed: int,
        watch: Watcher | None,
    ) -> None:
        self._network, self._batches, self._settings = network, batches, settings
        self._watch = watch
        self._arithmetic = Arithmetic(settings.arithmetic, seed, counting=watch is not None)
        self._conversions = Conversions(network, self._arithmetic)
        self._sgd = FixedPointSGD(network, self._arithmetic, settings)
        self._progress = Progress(steps_of(settings, batches))
        self._good = 0
        self._good_state = Snapshot(list(network.state_dict().values()))

    def train(self) -> TrainOutcome:
        """Take all steps, or as many as the loss and the watcher allow; finish the network."""
        progress, widened_at = self._progress, self._widened_at()
        start, going_on = perf_counter(), True
        for batch in take(self._batches, progress.steps):
            if progress.taken == widened_at:
                self._arithmetic.widen()
            self._step(batch)
            if progress.is_watched:
                going_on = self._is_good() and not self._is_stopped()
            if not going_on:
                break
        seconds = perf_counter() - start
        diverged = self._good < progress.taken
        stopped = not (going_on or diverged)
        del progress.losses[self._good :]
        self._good_state.restore()
        self._conversions.finish(self._arithmetic.passed)
        return TrainOutcome(progress.taken, progress.means(), diverged, stopped, None, seconds)

    def _widened_at(self) -> int:
        arithmetic, steps = self._settings.arithmetic, self._progress.steps
        return steps if arithmetic is None else steps - max(1, round(arithmetic.wide_share * steps))

    def _step(self, batch: Batch) -> None:
        outputs = run(self._network, batch.inputs)
        Classification().check(outputs, batch.targets)
        loss = cross_entropy(outputs, batch.targets.long(), reduction="sum")
        gradients = torch.autograd.grad(
            loss, list(self._sgd.parameters.values()), allow_unused=True, materialize_grads=True
        )
        self._sgd.step(gradients, self._rate(self._progress.taken), len(batch.targets))
        mean = loss.detach() / len(batch.targets)
        self._progress.add(mean, mean)

    def _rate(self, step: int) -> float:
        settings = self._settings
        return settings.learning_rate * settings.rate_at(step, self._progress.steps)

    def _is_good(self) -> bool:
        """Return whether all is finite since the last look; keep the state where it is."""
        recent = self._progress.losses[self._good :]
        weights = self._sgd.parameters.values()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (*recent, *weights)):
            return False
        self._good = self._progress.taken
        self._good_state.take()
        return True

    def _is_stopped(self) -> bool:
        if self._watch is None:
            return False
        figures = dict(self._progress.figures(self._rate(self._progress.taken - 1)))
        if self._arithmetic.counts is not None:
            figures |= self._arithmetic.counts.take()
        with callers_generators():
            return bool(self._watch(self._progress.taken, figures))
