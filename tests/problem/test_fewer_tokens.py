"""The same problem on fewer tokens: the first samples, scores of their own, shared weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from problems import bits, problem
from rlquant import Budget, QuantizationConfig, QuantizationProblem, SearchSpace
from rlquant.data import take_samples
from rlquant.errors import SettingsError
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.network import weights
from rlquant.objective import NextToken
from rlquant.samples import Samples
from small_transformers import tokens_of, transformer


def padded(count: int, seed: int) -> dict[str, torch.Tensor]:
    """Return sequences of 10 tokens, every second one with 4 of padding."""
    tokens, mask = tokens_of(count, seed), torch.ones(count, 10, dtype=torch.int64)
    mask[1::2, 6:] = 0
    return {"input_ids": tokens, "attention_mask": mask}


class Masked(torch.nn.Module):
    """A language model that is called by name."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = transformer()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(input_ids)
        return logits


def language(**other: Any) -> QuantizationProblem:
    settings = {
        "space": SearchSpace(bits=(2, 4, 8), points=("symmetric",), exclude=("inner.head",)),
        "budget": Budget.average_bits(5),
        "objective": NextToken(),
        "evaluation": EvaluationSettings(batch_size=4),
        **other,
    }
    return QuantizationProblem(Masked(), [padded(12, 1)], [padded(9, 2)], **settings)


def samples(data: Any) -> Samples:
    return take_samples([data], 100, name="data", device=torch.device("cpu"))


def test_tokens_are_what_counts_of_samples_and_one_for_what_has_none() -> None:
    assert samples(padded(4, 0)).tokens.tolist() == [10, 6, 10, 6]
    assert samples((tokens_of(3, 0), torch.zeros(3))).tokens.tolist() == [10, 10, 10]
    assert samples((torch.rand(2, 5), torch.zeros(2))).tokens.tolist() == [1, 1]


@pytest.mark.parametrize(("tokens", "taken"), [(1, 1), (15, 1), (16, 2), (25, 2), (32, 4), (99, 4)])
def test_samples_within_tokens_are_whole_and_at_least_one(tokens: int, taken: int) -> None:
    assert len(samples(padded(4, 0)).within(tokens)) == taken


def test_scores_on_fewer_tokens_are_those_of_the_first_samples_alone() -> None:
    whole = language()
    assert whole.tokens == 5 * 10 + 4 * 6
    few = whole.at_tokens(35)
    short = language(evaluation=EvaluationSettings(batch_size=4, validation_samples=4))
    config = whole.feasible.config([1] * len(whole.feasible))
    score = few.evaluate(config)
    assert (score, few.tokens, score.samples) == (short.evaluate(config), 32, 4)
    assert few.fingerprint == short.fingerprint != whole.fingerprint
    assert few.float_score == short.float_score
    assert whole.at_tokens(whole.tokens) is whole


def test_looks_change_no_whole_score_and_the_store_keeps_both_apart(tmp_path: Path) -> None:
    store = tmp_path / "evaluations.sqlite"
    made, rows = language(store=store), ([1] * 14, [0, 1] * 7)
    configs = [made.feasible.config(row) for row in rows]
    few = made.at_tokens(20)
    looks = [few.evaluate(configs[0]), made.evaluate(configs[0]), few.evaluate(configs[1])]
    plain = language()
    assert [looks[1], made.evaluate(configs[1])] == plain.evaluate_many(configs)
    again = language(store=store)
    with mock.patch("rlquant.evaluation.evaluator.Evaluator.measure") as measure:
        assert again.at_tokens(20).evaluate_many(configs) == [looks[0], looks[2]]
        assert again.evaluate(configs[0]) == looks[1]
    measure.assert_not_called()


def test_a_weight_is_quantized_once_for_all_stages() -> None:
    made = language()
    config = made.feasible.config([1] * len(made.feasible))
    made.evaluate(config)
    with mock.patch.object(weights, "quantize_weight") as quantize:
        made.at_tokens(20).evaluate(config)
        made.at_tokens(10).evaluate(config)
    quantize.assert_not_called()


def test_tokens_that_an_evaluation_does_not_have_are_refused() -> None:
    made = language()
    for tokens in (0, 75, 1.5, True, "many"):
        with pytest.raises(SettingsError, match=r"tokens=.*, use a whole number from 1 to 74"):
            made.at_tokens(tokens)  # type: ignore[arg-type]


def test_what_is_trained_first_is_refused() -> None:
    with pytest.raises(SettingsError, match="cost nothing beside the training of fidelity 'tuned'"):
        problem(fidelity="tuned").at_tokens(3)


def test_images_race_on_samples() -> None:
    made = problem()
    few = made.at_tokens(5)
    assert (made.tokens, few.tokens, few.evaluate(bits(4, 4, 4)).samples) == (50, 5, 5)
    assert isinstance(few.evaluate(QuantizationConfig(())).loss, float)
