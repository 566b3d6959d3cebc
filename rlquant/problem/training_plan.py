"""The training plan of a problem's configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rlquant.config import Fidelity
from rlquant.copying.network_copy import copy_network
from rlquant.data import Data, take_samples
from rlquant.errors import SettingsError
from rlquant.forward_pass import outputs_of
from rlquant.network_kind import is_transformer_like
from rlquant.objective import Objective
from rlquant.plain_network import require_network
from rlquant.samples import Samples
from rlquant.training.losses import require_logits
from rlquant.training.settings import TRAINED, TUNED, TrainSettings
from rlquant.training.training_data import require_trainable

ALL_SAMPLES = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPlan:
    """What decides a training run besides the configuration.

    Attributes:
        settings: how to train.
        samples: the training samples, on the device.
        teacher: what distilled layers learn from; None for the float network.
        warm_start: whether runs begin at layers that were adapted on their own.
    """

    settings: TrainSettings
    samples: Samples
    teacher: nn.Module | None
    warm_start: bool

    @classmethod
    def of(
        cls,
        fidelity: Fidelity,
        settings: TrainSettings | None,
        data: Data,
        teacher: nn.Module | None,
        device: torch.device,
        *,
        warm_start: bool,
        distils: bool,
        network: nn.Module,
        objective: Objective,
    ) -> TrainingPlan | None:
        """Take the samples and check everything; None where nothing is trained.

        A run of `steps` is given no more samples than it can look at.

        Raises:
            SettingsError: settings or a teacher where nothing is trained, or settings that do not
                suit a search.
            DataError: wrong data, labels, or a teacher with other outputs.
        """
        if fidelity == "calibrated":
            if settings is not None or teacher is not None:
                raise SettingsError(
                    "training and teacher mean nothing at fidelity='calibrated'; leave them out, "
                    "or use fidelity='tuned' or 'trained'"
                )
            return None
        chosen = default_settings(fidelity, network) if settings is None else settings
        if not isinstance(chosen, TrainSettings):
            raise SettingsError(f"training={chosen!r} is no TrainSettings")
        if chosen.arithmetic is not None:
            raise SettingsError(
                "training: arithmetic=FixedPoint(...) trains a network without a configuration; "
                "use rlquant.train for it"
            )
        count = ALL_SAMPLES if chosen.steps is None else chosen.steps * chosen.batch_size
        samples = take_samples(data, count, name="train_data", device=device)
        require_trainable(network, objective, samples, chosen.batch_size)
        followed = None
        if teacher is not None:
            followed = copy_network(require_network(teacher)).to(device)
        if distils:
            require_teacher(network, followed or network, samples)
        return cls(chosen, samples, followed, warm_start)

    def lowered(self, fidelity: Fidelity, network: nn.Module) -> TrainingPlan | None:
        """Return the plan of a lower fidelity with its default settings, from the same samples."""
        if fidelity == "calibrated":
            return None
        settings = default_settings(fidelity, network)
        assert settings.steps is not None
        samples = self.samples.first(settings.steps * settings.batch_size)
        return TrainingPlan(settings, samples, self.teacher, self.warm_start)

    def described(self) -> tuple[Any, ...]:
        """Return what belongs into a fingerprint."""
        return self.settings, self.samples.fingerprint(), self.teacher, self.warm_start


def default_settings(fidelity: Fidelity, network: nn.Module) -> TrainSettings:
    """Return the settings of a fidelity that trains, as suits the kind of the network."""
    chosen = TUNED if fidelity == "tuned" else TRAINED
    return chosen.for_transformer() if is_transformer_like(network) else chosen


def require_teacher(network: nn.Module, teacher: nn.Module, samples: Samples) -> None:
    """Raise `DataError` unless the teacher's answers can be compared with the network's."""
    first = samples.first(2)
    with torch.no_grad():
        outputs = outputs_of(copy_network(network), first.inputs, "train_data")
        answers = outputs_of(copy_network(teacher), first.inputs, "train_data", role="teacher")
    require_logits(outputs, answers, "teacher")
