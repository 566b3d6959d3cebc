"""The loss of a training step: a teacher's answers and the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from rlquant.errors import DataError
from rlquant.objective import Objective, main_output


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return tau^2 KL(teacher || student) at temperature tau, the mean over the batch.

    Args:
        student: logits, shape `(batch, classes)`.
        teacher: logits of the same shape; gets no gradient.
        temperature: tau, above 0.

    Source: Hinton et al. 2015; Polino et al. 2018, "Quantized distillation". (Their code takes
    the mean over classes too, which makes it smaller by the number of classes.)
    """
    divergence = kl_div(
        log_softmax(student / temperature, dim=1),
        log_softmax(teacher.detach() / temperature, dim=1),
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

    def __call__(self, outputs: Any, targets: Tensor, teacher: Any) -> tuple[Tensor, Tensor]:
        """Return the loss and, without gradient, the labels' mean loss alone."""
        soft = None  # comes first: an objective may write to the outputs
        if teacher is not None:
            student, answers = (main_output(o, "distillation") for o in (outputs, teacher))
            soft = distillation_loss(student, answers, self.temperature)
        labels = self.objective(outputs, targets)[0] / len(targets)
        if soft is None:
            return labels, labels.detach()
        share = self.distillation_weight
        return share * soft + (1.0 - share) * labels, labels.detach()


def require_logits(outputs: Any, teacher: Any, where: str) -> None:
    """Raise `DataError` unless a teacher's answers can be compared with the network's."""
    shapes = [tuple(t.shape) if isinstance(t, Tensor) else None for t in (outputs, teacher)]
    if shapes[0] is None or len(shapes[0]) != 2:
        raise DataError(
            f"{where}: method 'distilled' needs outputs of shape (batch, classes), the network "
            f"gives {shapes[0] or type(outputs).__name__}; use method 'ternary' or 'post_training'"
        )
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{where}: the teacher gives outputs of shape {shapes[1] or type(teacher).__name__}, "
            f"the network {shapes[0]}; give a teacher with the same classes"
        )


Loss = Callable[[Any, Tensor, Tensor | None], tuple[Tensor, Tensor]]
