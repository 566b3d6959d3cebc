"""The loss of a training step: a teacher's answers and the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from rlquant.errors import DataError
from rlquant.objective import Distillation, Objective, main_output, targets_of, units_of
from rlquant.samples import Samples, counted


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return tau^2 KL(teacher || student) at temperature tau, the mean over the batch.

    Args:
        student: logits, shape `(batch, classes)`, or `(batch, ..., classes)`: the mean is over all
            vectors of logits then.
        teacher: logits of the same shape; gets no gradient.
        temperature: tau, above 0.

    Source: Hinton et al. 2015; Polino et al. 2018, "Quantized distillation". (Their code takes
    the mean over classes too, which makes it smaller by the number of classes.)
    """
    given, wanted = (t.reshape(-1, t.shape[-1]) for t in (student, teacher.detach()))
    divergence = kl_div(
        log_softmax(given / temperature, dim=1),
        log_softmax(wanted / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * temperature**2


@dataclass(frozen=True, slots=True)
class TrainingLoss:
    """What a step minimises: the objective, with a teacher's part where one is followed.

    Attributes:
        objective: scores outputs by the labels.
        temperature: tau of the teacher's part.
        distillation_weight: weight of the teacher's part, the labels' is the rest.
    """

    objective: Objective
    temperature: float = 2.0
    distillation_weight: float = 0.7

    def __call__(self, outputs: Any, batch: Samples, teacher: Any) -> tuple[Tensor, Tensor]:
        """Return the loss and, without gradient, the labels' mean loss alone.

        Args:
            outputs: of the network.
            batch: with its targets; positions that it masks do not count.
            teacher: its outputs, None where none is followed.
        """
        soft = None  # comes first: an objective may write to the outputs
        if teacher is not None and not isinstance(self.objective, Distillation):
            soft = self._soft(outputs, batch, teacher)
        targets = targets_of(self.objective, batch, lambda: teacher)
        labels = self.objective(outputs, targets)[0] / units_of(self.objective, batch, targets)
        if soft is None:
            return labels, labels.detach()
        share = self.distillation_weight
        return share * soft + (1.0 - share) * labels, labels.detach()

    def _soft(self, outputs: Any, batch: Samples, teacher: Any) -> Tensor:
        student, answers = (
            counted(main_output(each, "distillation"), batch.mask) for each in (outputs, teacher)
        )
        return distillation_loss(student, answers, self.temperature)


def require_logits(outputs: Any, teacher: Any, where: str) -> None:
    """Raise `DataError` unless a teacher's answers can be compared with the network's."""
    found = [main_output(each, where) for each in (outputs, teacher)]
    shapes = [tuple(tensor.shape) for tensor in found]
    if shapes[0] is None or len(shapes[0]) < 2:
        raise DataError(
            f"{where}: method 'distilled' needs outputs (batch, ..., classes), the network "
            f"gives {shapes[0] or type(outputs).__name__}; use method 'ternary' or 'post_training'"
        )
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{where}: the teacher gives outputs of shape {shapes[1] or type(teacher).__name__}, "
            f"the network {shapes[0]}; give a teacher with the same classes"
        )


Loss = Callable[[Any, Samples, Any], tuple[Tensor, Tensor]]
