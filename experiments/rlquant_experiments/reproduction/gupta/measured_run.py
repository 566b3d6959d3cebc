"""A measured training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from rlquant.samples import Samples
from rlquant.tasks.task import Samples as Pair
from rlquant.training.fixed_point.fixed_point import train_fixed_point
from rlquant.training.settings import FixedPoint, TrainSettings
from rlquant_experiments.reproduction.data import error_percent, splits_of
from rlquant_experiments.reproduction.gupta.per_product import per_product
from rlquant_experiments.reproduction.gupta.presets import Part
from rlquant_experiments.reproduction.runs import Measured, Progress
from rlquant_experiments.reproduction.watching import telling

Report = Mapping[str, float]
NOT_AVERAGED = {"loss", "cross_entropy", "learning_rate", "steps_left", "update_bias_error"}


def measured_run(
    part: Part,
    settings: TrainSettings,
    seed: int,
    device: str,
    product: FixedPoint | None,
    progress: Progress,
) -> Measured:
    """Train one network and measure it.

    Args:
        part: data and network.
        settings: how it is trained.
        seed: of first weights, order of images and draws.
        device: where.
        product: format of each product, where products are rounded one by one.
        progress: told of the steps taken.

    Returns:
        Errors in percent ("test_error", "validation_error", "start_error" of the test set before
        training), "train_losses" of each tenth of the steps, "diverged" (0 or 1), and for
        fixed-point runs the means over the run of what `Counts.take` counts.
    """
    splits = splits_of(part.data, device)
    inputs, targets = (tensor[: part.images] for tensor in splits.train)
    test, validation = (wide(data) for data in (splits.test, splits.validation))
    network = part.build(splits.input_shape, splits.classes, seed).to(device)
    if product is not None:
        network = per_product(network, product, seed)
    listener = _Listener(progress)
    start = error_percent(network.double(), test)
    trained, outcome = train_fixed_point(
        network, Samples((inputs,), targets), settings, seed=seed, watch=listener
    )
    return {
        "test_error": error_percent(trained, test),
        "validation_error": error_percent(trained, validation),
        "start_error": start,
        "train_losses": outcome.losses,
        "diverged": float(outcome.diverged),
        **listener.means(),
    }


class _Listener:
    """A watcher that tells of progress and keeps the reports."""

    def __init__(self, progress: Progress) -> None:
        self._tell = telling(progress)
        self._reports: list[Report] = []

    def __call__(self, step: int, figures: Report) -> None:
        self._tell(step, figures)
        self._reports.append(figures)

    def means(self) -> dict[str, float]:
        """Return the means over the run of what was counted; nothing for float."""
        reports = self._reports
        if not reports or "lost_updates" not in reports[0]:
            return {}
        means = {n: fmean(r[n] for r in reports) for n in reports[0] if n not in NOT_AVERAGED}
        squares = math.fsum(report["update_bias_error"] ** 2 for report in reports)
        return {**means, "update_bias_error": math.sqrt(squares) / len(reports)}


def wide(data: Pair) -> Pair:
    """Return samples with inputs in float64, as networks in fixed point take them."""
    return data[0].double(), data[1]
