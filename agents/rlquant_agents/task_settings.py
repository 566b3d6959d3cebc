"""A task, a space and a budget as a person types them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from rlquant import Budget, EvaluationStore, QuantizationProblem, SearchSpace, tasks
from rlquant.choices import BucketSize, Fidelity, Method, Points, Rounding
from rlquant.cost import Quantity
from rlquant.errors import BudgetError, SettingsError
from rlquant.tasks import Task


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What is searched: a task, the options of its layers, and what the budget limits.

    Attributes:
        task: name of the task, "<data set>/<network>", e.g. digits/mlp or fashion-mnist/resnet8.
        quantity: what the budget limits. average_bits: stored bits per weight of the searched
            layers; size_bytes: the packed file; size_ratio: that file over the float network's
            bytes; bops: bit-operations of one sample; latency: seconds by --latency-table.
        latency_table: CSV with the columns kind, shape, bits, seconds, for latency budgets.
        bits: bit-widths to choose from, 1..16.
        rounding: rules by which a weight goes to one of its two neighbouring points.
        method: how a quantized layer comes about.
        points: where the quantization points lie.
        activation_bits: widths of the layers' inputs to choose from; None leaves them float.
        keep: layers that stay in float32.
        bucket_size: weights that share a scale: a number, channel, or None for the whole tensor.
        fidelity: how far a network is trained before it is measured.
        validation_samples: at most so many validation samples are used.
        calibration_samples: so many training samples are used for calibration.
        device: where to evaluate, e.g. cpu or cuda.
        threads: threads of torch. For networks as small as these one is fastest, and it does not
            suffer from busy cores.
    """

    task: str = "digits/resnet8"
    quantity: Quantity = "average_bits"
    latency_table: Path | None = None
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    rounding: tuple[Rounding, ...] = ("nearest",)
    method: tuple[Method, ...] = ("post_training",)
    points: tuple[Points, ...] = ("clipped",)
    activation_bits: tuple[int | None, ...] = (None,)
    keep: tuple[str, ...] = ()
    bucket_size: BucketSize = "channel"
    fidelity: Fidelity = "calibrated"
    validation_samples: int = 2000
    calibration_samples: int = 512
    device: str = "cpu"
    threads: int = 1

    def space(self) -> SearchSpace:
        """Return the search space; `ChoiceError` names an option that cannot exist."""
        return SearchSpace(
            bits=self.bits,
            rounding=self.rounding,
            method=self.method,
            points=self.points,
            activation_bits=self.activation_bits,
            keep=self.keep,
            bucket_size=self.bucket_size,
        )

    def budget_of(self, limit: float) -> Budget:
        """Return the budget of `limit` units of the quantity.

        Raises:
            BudgetError: `limit` is no positive number, or the latency table is missing.
            StorageError: the latency table cannot be read.
        """
        if self.quantity != "latency":
            return Budget(self.quantity, limit)
        if self.latency_table is None:
            raise BudgetError("--quantity latency needs --latency-table, a CSV of measured layers")
        if not self.latency_table.is_file():
            raise BudgetError(f"--latency-table {self.latency_table}: there is no such file")
        return Budget.latency(limit, self.latency_table)

    def load(self) -> Task:
        """Load the task on the device, after setting the number of threads.

        Raises:
            UnknownNameError: no task has this name.
            SettingsError: threads or device cannot be had.
            DataError: the data are missing or damaged.
        """
        if self.threads < 1:
            raise SettingsError(f"--threads {self.threads}: use at least 1")
        torch.set_num_threads(self.threads)
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"--device {self.device} cannot be used: {reason}") from error
        return tasks.load(self.task, device=self.device)

    def problem(
        self, task: Task, budget: Budget, store: str | Path | EvaluationStore | None = None
    ) -> QuantizationProblem:
        """Return the problem of a loaded task."""
        return QuantizationProblem(
            task.network,
            task.train,
            task.validation,
            budget=budget,
            space=self.space(),
            fidelity=self.fidelity,
            validation_samples=self.validation_samples,
            calibration_samples=self.calibration_samples,
            store=store,
        )

    @property
    def file_name(self) -> str:
        """The task's name as part of a file name."""
        return self.task.replace("/", "-")

    def budget_name(self, limit: float) -> str:
        """Return a budget as part of a file name."""
        return str(limit) if self.quantity == "average_bits" else f"{self.quantity}-{limit:g}"
