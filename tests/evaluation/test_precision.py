"""Evaluations in bfloat16: named, repeatable, near those of the network's own precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlquant import Budget, Distillation, EvaluationSettings, QuantizationProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.score import Score
from small_transformers import TOKENS, transformer

DRAWS = torch.Generator().manual_seed(0)
TRAIN, VALIDATION = (torch.randint(0, TOKENS, (12, 6), generator=DRAWS) for _ in range(2))


def problem(**settings: Any) -> QuantizationProblem:
    return QuantizationProblem(
        transformer(),
        [(TRAIN, torch.zeros(12))],
        [(VALIDATION, torch.zeros(12))],
        budget=Budget.average_bits(4.5),
        space=SearchSpace(bits=(2, 4), exclude=("embedding", "head")),
        objective=Distillation("kl"),
        evaluation=EvaluationSettings(batch_size=5, **settings),
    )


def score(given: QuantizationProblem, row: list[int]) -> Score:
    return given.evaluate(given.feasible.config(row))


def test_scores_in_bfloat16_are_near_and_say_so() -> None:
    row = [0, 1] * 7
    own, brief = score(problem(), row), score(problem(precision="bfloat16"), row)
    assert (own.precision, brief.precision) == ("own", "bfloat16")
    assert own.loss != brief.loss
    assert brief.loss == pytest.approx(own.loss, rel=0.1)
    assert Score.from_json(brief.to_json()) == brief
    assert any("bfloat16" in note for note in problem(precision="bfloat16").notes)


def test_products_are_those_of_autocast_and_prefixes_change_nothing() -> None:
    given = problem(precision="bfloat16")
    whole = problem(precision="bfloat16", prefix_bytes=None)
    for row in ([0] * 14, [0] * 13 + [1], [0] * 7 + [1] * 7):
        assert score(given, row) == score(whole, row)
    row = [0, 1] * 7
    network = given.build(given.feasible.config(row))
    with torch.inference_mode():
        float_outputs = transformer()(VALIDATION)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = network(VALIDATION)
    logs, own = float_outputs.log_softmax(-1), outputs.float().log_softmax(-1)
    expected = (logs.exp() * (logs - own)).sum(-1).mean()
    assert score(given, row).loss == pytest.approx(float(expected), rel=1e-2)


def test_another_precision_has_another_fingerprint() -> None:
    assert problem().fingerprint != problem(precision="bfloat16").fingerprint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "float8"}, "precision='float8' is not one of 'own', 'bfloat16'"),
        ({"precision": "bfloat16", "stochastic": True}, "precision='bfloat16' with stochastic"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        EvaluationSettings(**settings)


def test_what_is_trained_has_its_own_precision() -> None:
    with pytest.raises(SettingsError, match="what is trained is measured in its own precision"):
        QuantizationProblem(
            transformer(),
            [(TRAIN, torch.zeros(12))],
            [(VALIDATION, torch.zeros(12))],
            budget=Budget.average_bits(6.0),
            space=SearchSpace(bits=(2, 4), exclude=("embedding", "head")),
            objective=Distillation("kl"),
            fidelity="tuned",
            evaluation=EvaluationSettings(precision="bfloat16"),
        )
