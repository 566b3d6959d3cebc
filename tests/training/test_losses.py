"""The loss of a step: the distance from a teacher by hand, its gradients, its mix with labels."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softmax

from rlquant.errors import DataError
from rlquant.objective import Classification, Distillation, NextToken
from rlquant.samples import Samples
from rlquant.training.losses import TrainingLoss, distillation_loss, require_logits
from strategies import seeded

ONE_SURE = torch.log(torch.tensor([[0.7] + [0.3 / 9] * 9]))


def draw(seed: int, batch: int = 4, classes: int = 5) -> Tensor:
    return 2 * torch.randn(batch, classes, generator=seeded(seed))


def labelled(targets: Tensor) -> Samples:
    return Samples((torch.zeros(len(targets), 1),), targets)


def divergence(student: Tensor, teacher: Tensor, tau: float) -> float:
    """tau^2 KL(teacher || student), the mean over the batch, written out."""
    p, q = softmax(teacher.double() / tau, dim=1), softmax(student.double() / tau, dim=1)
    return tau**2 * float((p * (p.log() - q.log())).sum()) / len(student)


def test_the_vector() -> None:
    """The mean over the batch: the mean over classes too would be 0.1033."""
    uniform = torch.zeros(1, 10)
    assert float(distillation_loss(uniform, ONE_SURE, 1.0)) == pytest.approx(1.0326, abs=5e-5)
    three = distillation_loss(uniform.repeat(3, 1), ONE_SURE.repeat(3, 1), 1.0)
    assert float(three) == pytest.approx(1.0326, abs=5e-5)
    turned = float(distillation_loss(ONE_SURE, uniform, 1.0))
    assert turned == pytest.approx(0.1 * sum(math.log(0.1 / p) for p in [0.7] + [0.3 / 9] * 9))


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0, 5.0])
def test_it_is_the_divergence_at_the_temperature_times_its_square(tau: float) -> None:
    student, teacher = draw(0), draw(1)
    loss = float(distillation_loss(student, teacher, tau))
    assert loss == pytest.approx(divergence(student, teacher, tau), rel=1e-5)
    assert loss > 0


def test_the_square_keeps_the_size_of_the_gradients() -> None:
    """At high temperatures the gradient nears (z - v) / classes, whatever the temperature."""
    teacher = draw(1)
    gradients = []
    for tau in (50.0, 100.0):
        student = draw(0).requires_grad_()
        distillation_loss(student, teacher, tau).backward()
        assert student.grad is not None
        gradients.append(student.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0.1, atol=2e-3)
    difference = draw(0) - teacher
    centred = difference - difference.mean(dim=1, keepdim=True)
    torch.testing.assert_close(gradients[1], centred / 5 / 4, rtol=0.1, atol=2e-3)


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_equal_answers_have_no_distance_and_pull_nowhere(tau: float) -> None:
    student = draw(0).requires_grad_()
    loss = distillation_loss(student, draw(0) + 3.0, tau)
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    loss.backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, torch.zeros(4, 5), rtol=0, atol=1e-6)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = draw(0).requires_grad_(), draw(1).requires_grad_()
    distillation_loss(student, teacher, 2.0).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_of_sequences_the_positions_that_count_are_taken() -> None:
    """What the network and the teacher say where the mask is 0 changes nothing."""
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    ids = torch.tensor([[3, 1, 0], [2, 4, 0]])
    batch = Samples({"input_ids": ids, "attention_mask": mask}, {})
    student, teacher = (draw(seed, 6).reshape(2, 3, 5) for seed in (0, 1))
    rows = mask.bool()
    soft = distillation_loss(student[rows], teacher[rows], 2.0)
    following = torch.stack([student[0, 0], student[1, 0], student[1, 1]])
    hard = cross_entropy(following, torch.tensor([1, 4, 0]))
    loss, labels = TrainingLoss(NextToken(), 2.0, 0.25)(student, batch, teacher)
    assert float(labels) == pytest.approx(float(hard))
    assert float(loss) == pytest.approx(float(0.25 * soft + 0.75 * hard), rel=1e-5)
    own, _ = TrainingLoss(Distillation("kl"))(student, batch, teacher)
    assert float(own) == pytest.approx(divergence(student[rows], teacher[rows], 1.0), rel=2e-3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_the_teachers_part_and_the_labels_are_weighed(share: float) -> None:
    outputs, teacher, targets = draw(0), draw(1), torch.tensor([0, 4, 2, 2])
    loss, labels = TrainingLoss(Classification(), 3.0, share)(outputs, labelled(targets), teacher)
    plain = float(cross_entropy(outputs, targets))
    assert float(labels) == pytest.approx(plain)
    soft = divergence(outputs, teacher, 3.0)
    assert float(loss) == pytest.approx(share * soft + (1 - share) * plain, rel=1e-5)


def test_without_a_teacher_the_labels_are_all_and_one_report_has_no_gradient() -> None:
    outputs = draw(0).requires_grad_()
    loss, labels = TrainingLoss(Classification())(
        outputs, labelled(torch.tensor([0, 4, 2, 2])), None
    )
    assert float(loss.detach()) == float(labels)
    assert loss.requires_grad
    assert not labels.requires_grad


def test_the_mean_of_the_users_objective_is_taken_over_the_batch() -> None:
    def objective(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return (outputs.sum(dim=1) - targets).square().sum(), torch.zeros(())

    outputs, targets = draw(0), torch.tensor([0.5, 1.0, 2.0, -1.0])
    loss, _ = TrainingLoss(objective)(outputs, labelled(targets), None)  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(float((outputs.sum(dim=1) - targets).square().mean()))


def test_only_outputs_with_classes_can_follow_a_teacher() -> None:
    words = (
        r"here: method 'distilled' needs outputs \(batch, ..., classes\), the network gives \(2,\)"
    )
    with pytest.raises(DataError, match=words):
        require_logits(torch.ones(2), torch.ones(2, 3), "here")
    with pytest.raises(DataError, match="here needs a tensor of outputs, the network gives a dict"):
        require_logits({"a": [torch.ones(2)]}, torch.ones(2, 3), "here")
    require_logits(torch.ones(2, 3, 4), {"logits": torch.ones(2, 3, 4)}, "here")


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 1)])
def test_a_teacher_of_other_classes_is_refused(shape: tuple[int, ...]) -> None:
    words = "here: the teacher gives outputs of shape " + re.escape(str(shape))
    with pytest.raises(DataError, match=rf"{words}, the network \(2, 3\);"):
        require_logits(torch.ones(2, 3), torch.ones(*shape), "here")
    require_logits(torch.ones(2, 3), torch.ones(2, 3), "here")
