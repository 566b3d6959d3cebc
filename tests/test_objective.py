"""Objectives: hand-computed losses, what counts, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rlquant.errors import DataError, SettingsError
from rlquant.evaluation.measure import score_outputs, with_targets
from rlquant.objective import (
    Classification,
    Distillation,
    FunctionObjective,
    NextToken,
    Regression,
    as_objective,
    main_output,
)
from rlquant.samples import Samples

# --- classification


def test_classification_sums_cross_entropy_and_correct_answers() -> None:
    outputs = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0], [math.log(3.0), 0.0]])
    loss, correct = Classification()(outputs, torch.tensor([1, 1, 1]))
    expected = math.log(4 / 3) + math.log(2) + math.log(4)  # probabilities 3/4, 1/2 and 1/4
    assert float(loss) == pytest.approx(expected)
    assert int(correct) == 1  # a tie goes to the first class


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_outputs_in_half_precision_are_judged_as_exactly_as_any(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(250, 3, generator=draw).to(dtype)
    targets = torch.randint(0, 3, (250,), generator=draw)
    judge = Classification()
    assert torch.equal(judge(outputs, targets)[0], judge(outputs.float(), targets)[0])
    assert torch.equal(judge.losses(outputs, targets), judge.losses(outputs.float(), targets))


def test_outputs_and_targets_of_wrong_shape_are_refused() -> None:
    check = Classification().check
    for outputs, targets in [
        (torch.zeros(4, 3, 2), torch.zeros(4).long()),
        (torch.zeros(4, 3), torch.zeros(4, 3).long()),
        (torch.zeros(4, 3), torch.zeros(5).long()),
    ]:
        with pytest.raises(DataError, match=r"needs outputs \(batch, classes\) and targets"):
            check(outputs, targets)


def test_labels_that_are_no_integers_are_refused() -> None:
    with pytest.raises(DataError, match=r"needs floating-point outputs, the network gives torch"):
        Classification().check(torch.zeros(2, 3).long(), torch.zeros(2).long())
    with pytest.raises(DataError, match=r"targets are torch.float32, classification needs integer"):
        Classification().check(torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool])
def test_labels_of_any_whole_type_are_judged(dtype: torch.dtype) -> None:
    outputs, labels = torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1])
    judge = Classification()
    judge.check(outputs, labels.to(dtype))
    expected = judge(outputs, labels)
    assert judge(outputs, labels.to(dtype)) == expected


@pytest.mark.parametrize("outputs", [(), {"a": torch.zeros(4, 3), "b": torch.zeros(4, 3)}, None])
def test_outputs_that_are_no_tensor_are_refused(outputs: Any) -> None:
    words = rf"the network gives a {type(outputs).__name__}.*; give an objective of your own"
    with pytest.raises(DataError, match=words):
        Classification().check(outputs, torch.zeros(4).long())


@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 2]])
def test_labels_that_no_output_stands_for_are_refused(labels: list[int]) -> None:
    low, high = min(labels), max(labels)
    words = rf"labels reach from {low} to {high}, the network has 3 outputs \(labels 0..2\)"
    with pytest.raises(DataError, match=words):
        Classification().check(torch.zeros(3, 3), torch.tensor(labels))


def test_right_labels_pass() -> None:
    Classification().check(torch.zeros(3, 3), torch.tensor([0, 2, 1]))


# --- objectives of users


def squares(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (outputs - targets).square().sum(), torch.zeros(())


def test_a_function_is_an_objective() -> None:
    made = as_objective(squares)
    assert made.name == "squares"
    loss, metric = made(torch.ones(3), torch.zeros(3))
    assert (float(loss), float(metric)) == (3.0, 0.0)
    made.check("anything", torch.zeros(3))


def test_a_callable_keeps_its_name_and_check() -> None:
    class Half:
        name = "half"

        def __call__(self, outputs: Any, targets: Any) -> Any:
            return squares(outputs, targets)

    class Checked(Half):
        name: Any = property(lambda self: "checked")

        def check(self, outputs: Any, targets: Any) -> None:
            raise DataError("checked")

    assert as_objective(Half()).name == "half"
    whole = Checked()
    assert as_objective(whole) is whole
    unnamed = FunctionObjective(whole)
    assert unnamed.name == "checked"
    with pytest.raises(DataError, match="checked"):
        unnamed.check(0, torch.zeros(1))


def test_no_objective_is_classification() -> None:
    assert as_objective(None) == Classification()
    assert as_objective(Classification("mine")) == Classification("mine")


@pytest.mark.parametrize("objective", [3, "classification", Classification])
def test_what_cannot_judge_is_refused(objective: Any) -> None:
    with pytest.raises(SettingsError, match=r"objective=.*, give a function \(outputs, targets\) "):
        as_objective(objective)


# --- outputs


def test_the_main_output_is_the_logits_or_the_only_or_the_first_tensor() -> None:
    one, other = torch.zeros(1), torch.ones(1)
    for outputs in (
        one,
        (one, other),
        {"loss": other, "logits": one},
        {"hidden": [other], "only": one},
    ):
        assert main_output(outputs, "x") is one


# --- tokens


def test_next_token_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0], [5.0, 0.0]]])
    targets = torch.tensor([[0, 1, 1]])
    objective = NextToken()
    loss, correct = objective(logits, targets)
    assert float(loss) == pytest.approx(math.log(4 / 3) + math.log(2))  # the last one predicts none
    assert (int(correct), objective.units(targets)) == (1, 2)
    values = objective.details(logits, targets)
    assert objective.metrics(values)["perplexity"] == pytest.approx(math.exp(float(loss) / 2))


def tokens(count: int, seed: int = 0) -> Samples:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 7, (count, 5), generator=draw)
    lengths = torch.randint(2, 6, (count, 1), generator=draw)
    return Samples({"input_ids": ids, "attention_mask": torch.arange(5)[None] < lengths}, {})


def embedded(ids: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(7, 11, generator=draw)[ids] + shift * torch.arange(11)


@given(seed=st.integers(0, 50))
def test_what_is_masked_changes_no_loss(seed: int) -> None:
    batch = tokens(3, seed)
    ids, mask = batch.inputs["input_ids"], batch.mask  # type: ignore[call-overload]
    assert mask is not None
    noise = torch.where(mask[..., None], 0.0, 100.0)
    for objective in (NextToken(), Distillation("kl"), Distillation("mse"), Distillation("cosine")):
        targets = objective.targets_of(batch, lambda: embedded(ids))
        outputs = embedded(ids, 0.1)
        plain, masked = (objective(o, targets) for o in (outputs, outputs + noise))
        assert [float(x) for x in plain] == [float(x) for x in masked]
        assert objective.units(targets) == int(
            mask[:, 1:].sum() if objective.name == "next-token" else mask.sum()
        )


def test_labels_of_minus_100_do_not_count() -> None:
    logits = embedded(torch.tensor([[0, 1, 2]]))
    whole = NextToken()(logits[:, :2], torch.tensor([[0, 1]]))
    assert NextToken()(logits, torch.tensor([[0, 1, -100]])) == whole


def test_tokens_out_of_range_and_none_at_all_are_refused() -> None:
    logits = torch.zeros(1, 3, 4)
    with pytest.raises(DataError, match="token numbers reach from 0 to 4, the network has 4"):
        NextToken().check(logits, torch.tensor([[0, 4, 1]]))
    with pytest.raises(DataError, match="of which 0 count"):
        NextToken().check(logits, torch.full((1, 3), -100))
    with pytest.raises(DataError, match="no input named 'input_ids'"):
        NextToken().targets_of(Samples((torch.zeros(1, 3),), {}), dict)


# --- distances to the float network


@given(seed=st.integers(0, 50))
def test_kl_is_that_of_torch(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    wanted, given_ = torch.randn(2, 6, 9, generator=draw).mul(2).unbind()
    batch = Samples((torch.zeros(6, 1),), {})
    targets = Distillation().targets_of(batch, lambda: wanted)
    loss, agreement = Distillation()(given_, targets)
    logs = (functional.log_softmax(t, dim=1) for t in (given_, wanted))
    expected = functional.kl_div(*logs, reduction="sum", log_target=True)
    assert float(loss) == pytest.approx(float(expected), rel=2e-3)  # p is kept in float16
    assert int(agreement) == int((given_.argmax(1) == wanted.argmax(1)).sum())


@pytest.mark.parametrize("kind", ["kl", "mse", "cosine"])
def test_the_float_network_is_at_no_distance(kind: Any) -> None:
    ids = tokens(4).inputs["input_ids"]  # type: ignore[call-overload]
    objective = Distillation(kind)
    (batch,) = with_targets(lambda **inputs: embedded(inputs["input_ids"]), [tokens(4)], objective)  # type: ignore[arg-type]
    measured = score_outputs([embedded(ids)], [batch], objective)
    assert measured.loss < 1e-6
    assert measured.accuracy == pytest.approx(1.0)
    assert measured.metrics["top1_agreement" if kind == "kl" else "cosine"] == pytest.approx(1.0)


def test_mse_and_cosine_by_hand() -> None:
    batch = Samples((torch.zeros(1, 1),), {})
    wanted, given_ = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    for kind, expected in (("mse", 1.0 / 12.5), ("cosine", 1.0 - 24.0 / 25.0)):
        objective = Distillation(kind)  # type: ignore[arg-type]
        loss, cosine = objective(given_, objective.targets_of(batch, lambda: wanted))
        assert (float(loss), float(cosine)) == (pytest.approx(expected), pytest.approx(24 / 25))


def test_a_distance_needs_the_float_network() -> None:
    with pytest.raises(SettingsError, match="give it as float_network"):
        with_targets(None, [tokens(2)], Distillation())
    with pytest.raises(SettingsError, match='kind=\'l1\', use "kl", "mse" or "cosine"'):
        Distillation("l1")  # type: ignore[arg-type]


# --- regression


def test_regression_by_hand() -> None:
    outputs, targets = (
        torch.tensor([[1.0, 2.0], [0.0, 0.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 2.0]]),
    )
    loss, metric = Regression()(outputs, targets)
    assert (float(loss), float(metric)) == (pytest.approx(2.5 + 2.0), pytest.approx(-1.5 - 1.0))
    assert Regression().losses(outputs, targets).tolist() == [2.5, 2.0]
    with pytest.raises(DataError, match="regression needs outputs and targets of one shape"):
        Regression().check(outputs, targets[:, :1])


def test_targets_that_are_missing_are_named() -> None:
    for objective in (Classification(), Regression()):
        with pytest.raises(DataError, match="batches have no targets; give"):
            objective.check(torch.zeros(2, 3), {})
