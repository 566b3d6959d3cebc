"""The settings that measurements depend on, and the evaluator made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

from torch import nn

from rlquant.config import Fidelity
from rlquant.copying.network_copy import shared_copy
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.measure import run_batches, with_targets
from rlquant.evaluation.racing import Racing
from rlquant.evaluation.repeated import PASSES, RepeatedEvaluator, run_repeatedly
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.evaluation.weight_folder import WeightFolder
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.gguf.imatrix import digest
from rlquant.layers import LayerFacts
from rlquant.objective import Objective
from rlquant.problem.fingerprint import describe_objective, fingerprint
from rlquant.problem.training_plan import TrainingPlan
from rlquant.samples import Samples
from rlquant.training.trainer import Trainer
from rlquant.training.watching import FIGURES

EVALUATION_VERSION = 10
"""Raised whenever the same configuration would be measured differently; part of fingerprints."""
TRAINING_VERSION = 3
"""The same for what is trained first."""
LEAST_BYTES = 2**24
"""Float weights of a network whose quantized ones are kept on disk, where there is a folder."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measuring:
    """Network, samples and settings; see `QuantizationProblem` for what each means.

    A plan says how configurations are trained; without one they are calibrated only. Racing and
    the bytes for shared activations change how long a measurement takes, not what it gives.
    """

    network: nn.Module
    layers: tuple[LayerFacts, ...]
    calibration: Samples
    validation: Samples
    objective: Objective
    seed: int
    fidelity: Fidelity
    evaluation: EvaluationSettings
    plan: TrainingPlan | None
    racing: Racing | None

    @property
    def is_looked_at(self) -> bool:
        """Whether evaluations may end early, so that looks at them are kept."""
        return self.plan is not None or self.racing is not None

    def look_sizes(self) -> Iterator[int]:
        """Yield how many numbers the first look at an evaluation has, the second, ..."""
        if self.plan is not None:
            return repeat(1 + len(FIGURES))
        return iter(self._batch_looks)

    @cached_property
    def _batch_looks(self) -> tuple[int, ...]:
        return tuple(1 + len(batch) for batch in self._parts)

    @property
    def _parts(self) -> list[Samples]:
        assert self.evaluation.batch_size is not None  # a problem decides it
        return self.validation.batches(self.evaluation.batch_size)

    @cached_property
    def batches(self) -> list[Samples]:
        """The validation samples in batches, with the targets of the objective."""
        return with_targets(shared_copy(self.network), self._parts, self.objective)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "batches"}  # others make their own

    def evaluator(self) -> Evaluator | TrainingEvaluator:
        """Return a new evaluator."""
        quantizing: dict[str, Any] = {
            "seed": self.seed,
            "evaluation": self.evaluation,
        }
        stochastic = self.evaluation.stochastic
        if self.plan is None:
            kind = RepeatedEvaluator if stochastic else Evaluator
            return kind(
                self.network,
                self.layers,
                self.calibration,
                self.batches,
                self.objective,
                folder=self.weight_folder,
                **quantizing,
            )
        trainer = Trainer(
            self.network,
            self.layers,
            self.plan.samples,
            self.calibration,
            self.objective,
            self.plan.settings,
            teacher=self.plan.teacher,
            warm_start=self.plan.warm_start,
            **quantizing,
        )
        run = run_repeatedly if stochastic else run_batches
        return TrainingEvaluator(trainer, self.batches, self.objective, run)

    @property
    def weight_folder(self) -> WeightFolder | None:
        """Where quantized weights are kept, under a hash of all that they are made of.

        Networks of less than `LEAST_BYTES` are quantized again sooner than files are written.
        """
        folder = self.evaluation.weight_bank_folder
        sizes = (4 * facts.parameters for facts in self.layers)
        if folder is None or sum(sizes) < LEAST_BYTES:
            return None
        key = fingerprint(
            EVALUATION_VERSION,
            self.network,
            self.calibration.fingerprint(),
            self.seed,
            self.evaluation.calibrate,
            self.calibration.device.type,
            *self._importance,
        )
        return WeightFolder(folder, key)

    @property
    def _importance(self) -> tuple[str, ...]:
        """What stands for an importance matrix in hashes; nothing where there is none."""
        path = self.evaluation.imatrix
        return () if path is None else ("imatrix", digest(Path(path)))

    def fingerprint(self, float_loss: float) -> str:
        """Hash what a measurement depends on: network, samples, settings, version of the code.

        The float loss stands for what no description sees, such as another `forward` of the same
        class; three digits, as the last ones differ between machines.
        """
        return fingerprint(
            EVALUATION_VERSION,
            self.network,
            describe_objective(self.objective),
            f"{float_loss:.3g}",
            [facts.name for facts in self.layers],
            self.calibration.fingerprint(),
            self.validation.fingerprint(),
            self.seed,
            self.fidelity,
            self.evaluation.batch_size,
            self.evaluation.activation_range,
            self.evaluation.calibrate,
            self.calibration.device.type,
            *(() if self.plan is None else (TRAINING_VERSION, self.plan.described())),
            *(("stochastic", PASSES) if self.evaluation.stochastic else ()),
            *(() if self.evaluation.precision == "own" else (self.evaluation.precision,)),
            *self._importance,
        )
