"""Random functions of outputs: their gradients vary as the loss curves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rlquant import Classification, Distillation, NextToken, Regression
from rlquant.objective import IGNORED, Curved, Objective, targets_of
from rlquant.samples import Samples

DRAWS = 20_000
ROW = torch.tensor([0.3, -1.2, 0.8, 0.1])


def hessian(objective: Objective, row: Tensor, targets: Any) -> Tensor:
    """Return the Hessian of the loss of one unit by its outputs."""

    def loss(outputs: Tensor) -> Tensor:
        return objective(outputs[None], targets)[0]

    found = torch.autograd.functional.hessian(loss, row.double())
    assert isinstance(found, Tensor)
    return found


def covariance(objective: Objective, outputs: Tensor, targets: Any) -> Tensor:
    """Return the covariance of the gradients of many units with the same outputs."""
    assert isinstance(objective, Curved)
    given = outputs.double().requires_grad_()
    loss = objective.sampled_loss(given, targets, torch.Generator().manual_seed(0))
    (rows,) = torch.autograd.grad(loss, given)
    rows = rows.reshape(-1, outputs.shape[-1])
    assert rows.mean(dim=0).abs().max() < 5 * rows.std() / DRAWS**0.5
    return rows.T @ rows / len(rows)


def made(objective: Objective, outputs: Tensor) -> Any:
    """Return what the objective makes of the float outputs, where it does."""
    return targets_of(objective, Samples(outputs, None), lambda: outputs)


@pytest.mark.parametrize("kind", ["kl", "mse", "cosine"])
def test_distances_curve_as_their_samples_say(kind: Any) -> None:
    objective = Distillation(kind)
    many = ROW.expand(DRAWS, -1)
    expected = hessian(objective, ROW, made(objective, ROW[None].double()))
    found = covariance(objective, many, made(objective, many))
    assert torch.allclose(found, expected, atol=0.03 * float(expected.abs().max()))


def test_classes_curve_as_their_samples_say() -> None:
    labels = torch.zeros(DRAWS, dtype=torch.int64)
    expected = hessian(Classification(), ROW, labels[:1])
    found = covariance(Classification(), ROW.expand(DRAWS, -1), labels)
    assert torch.allclose(found, expected, atol=0.03 * float(expected.abs().max()))


def test_numbers_curve_as_their_samples_say() -> None:
    wanted = torch.zeros(DRAWS, len(ROW))
    expected = hessian(Regression(), ROW, wanted[:1])
    found = covariance(Regression(), ROW.expand(DRAWS, -1), wanted)
    assert torch.allclose(found, expected, atol=0.03 * float(expected.abs().max()))


def test_tokens_that_do_not_count_have_no_gradient() -> None:
    logits = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    targets = torch.tensor([[1, 2, IGNORED, 3, 0]])
    loss = NextToken().sampled_loss(logits, targets, torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(loss, logits)
    # a position predicts the next: the one before what is ignored, and the last, predict nothing
    assert (found[0].abs().sum(dim=1) > 0).tolist() == [True, False, True, True, False]
