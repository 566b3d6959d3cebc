"""The pretrained agent's first answers: within the budget, without an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlquant import Budget, TabularProblem, load_table, table_names
from rlquant.errors import FileFormatError, SettingsError
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.searchers.dyna_ppo.option_features import OptionFeatures
from rlquant_agents.searchers.dyna_ppo.pretrained import WEIGHTS, save_pretrained
from rlquant_experiments.pretraining.first_answer import first_answer, pretrained_policy


@pytest.mark.parametrize("name", table_names())
def test_every_shipped_table_gets_an_answer_within_the_budget(name: str) -> None:
    table = load_table(name)
    for bits in (2.3, 3.0, 4.0):
        problem = TabularProblem(table, Budget.average_bits(bits))
        for effects in (None, np.zeros((len(table.facts), len(table.options)))):
            config = first_answer(problem, effects)
            assert problem.evaluate(config).average_bits <= bits


def test_nothing_is_evaluated_and_nothing_is_random() -> None:
    problem = ToyProblem(6, 3.5)
    before = torch.random.get_rng_state()
    assert first_answer(problem) == first_answer(problem)
    assert problem.evaluated == []
    assert torch.equal(before, torch.random.get_rng_state())


def test_any_decisions_and_budgets_are_answered() -> None:
    problem = ToyProblem(5, space=MIXED)
    for fraction in (0.0, 0.3, 1.0):
        within = problem.with_budget(problem.within(fraction))
        assert within.feasible.fits(within.feasible.indices(first_answer(within)))


def test_effects_decide() -> None:
    """Of two large layers the one that matters gets more bits than when the other one does."""
    table = load_table("digits-resnet8")
    problem = TabularProblem(table, Budget.average_bits(3.0))
    harm = np.linspace(1, 0, len(table.options)) ** 2
    found = []
    for matters in (2, 3):
        effects = 1e-2 * np.tile(harm, (len(table.facts), 1))
        effects[matters] = harm
        found.append([choice.arithmetic_bits for choice in first_answer(problem, effects)])
    assert found[0][2] > found[1][2]
    assert found[1][3] > found[0][3]


@pytest.mark.parametrize(
    ("effects", "words"),
    [
        (np.zeros((4, 3)), r"effects of shape \(4, 3\), give one for each of 4 layers and 4 opt"),
        (np.full((4, 4), np.nan), "effects that are not finite"),
    ],
)
def test_effects_that_make_no_sense_are_refused(effects: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        first_answer(ToyProblem(4), effects)


def test_weights_may_be_others(tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(WEIGHTS.read_bytes())
    assert first_answer(ToyProblem(4), path=copy) == first_answer(ToyProblem(4))
    copy.write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match="damaged"):
        first_answer(ToyProblem(4), path=copy)


def test_a_policy_is_made_as_wide_as_the_weights(tmp_path: Path) -> None:
    made, path = pretrained_policy(OptionFeatures(ToyProblem())), tmp_path / "again.safetensors"
    save_pretrained(made, path, {})
    again = pretrained_policy(OptionFeatures(ToyProblem()), path)
    assert again.mlp_extractor.latent_dim_vf == made.mlp_extractor.latent_dim_vf
