"""Stages of tokens, of losses made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from problems import problem
from rlquant import Budget, SearchSpace
from rlquant.errors import SettingsError
from rlquant.objective import Distillation
from rlquant_experiments.commands.token_stages import TokenStagesSettings, run, table
from rlquant_experiments.real_networks.stages import (
    KINDS,
    KeptLosses,
    race,
    sample_losses,
    stages,
)
from small_networks import trained


def test_stages_are_whole_samples_and_none_twice() -> None:
    losses = np.random.default_rng(0).random((20, 4)) + 1
    found = stages(losses, np.array([30, 20, 10, 40]))
    assert [(s.tokens, s.share) for s in found] == [(30, 0.3), (50, 0.5)]


def test_samples_that_agree_rank_as_all_and_a_race_by_them_finds_the_best() -> None:
    losses = np.outer(np.arange(1.0, 17.0), np.ones(8))
    first = stages(losses, np.ones(8, dtype=np.int64))[0]
    assert (first.correlation, first.raced) == (pytest.approx(1.0), pytest.approx(0.0))
    assert first.plain > 0


def test_a_race_by_noise_is_no_better_than_its_own_evaluations() -> None:
    """It evaluates 4 of 16, and as many tokens 4 + 16 x 0.25 = 8."""
    generator = np.random.default_rng(0)
    raced, plain = race(generator.random(40), generator.random(40) + 0.5, 0.25)
    assert raced > plain


def test_losses_of_samples_are_what_few_tokens_measure() -> None:
    space = SearchSpace(bits=(2, 4, 8), points=("symmetric",))
    made = problem(
        "mlp",
        trained("mlp"),
        space=space,
        budget=Budget.average_bits(5),
        objective=Distillation("kl"),
    )
    config = made.feasible.config(KINDS["children"](made, 1, 0)[0])
    losses = sample_losses(made, config)
    assert np.mean(losses) == pytest.approx(made.evaluate(config).loss, rel=1e-5)
    assert np.mean(losses[:7]) == pytest.approx(made.at_tokens(7).evaluate(config).loss, rel=1e-5)


def test_losses_are_kept_for_the_same_settings_alone(tmp_path: Path) -> None:
    kept = KeptLosses(tmp_path / "losses.json", {"seed": 0})
    assert kept.read() == ([], [])
    kept.write([5, 6], [[1.0, 2.0]])
    assert kept.read() == ([5, 6], [[1.0, 2.0]])
    assert KeptLosses(kept.path, {"seed": 1}).read() == ([], [])


def test_the_page_is_made_of_what_is_kept(tmp_path: Path) -> None:
    chosen = TokenStagesSettings(configurations=16, out=tmp_path, report=tmp_path / "page.md")
    for kind in KINDS:
        path = tmp_path / f"minilm-l6-{kind}.json"
        losses = np.outer(np.arange(1.0, 17.0), np.ones(8)).tolist()
        KeptLosses(path, {"budget": 3.0, "seed": 0}).write([10] * 8, losses)
    assert run(chosen, ["token_stages"]) == 0
    text = (tmp_path / "page.md").read_text()
    assert "## minilm-l6 at 3 bits, 16 random configurations" in text
    assert "| 10 | 0.125 | 1.000 | 0.0000 |" in text


def test_the_table_has_a_line_for_each_stage() -> None:
    losses = np.outer(np.arange(1.0, 17.0), np.ones(8))
    assert "| 1 | 0.125 | 1.000 | 0.0000 |" in table(stages(losses, np.ones(8, dtype=np.int64)))


def test_too_few_configurations_for_a_race_are_refused() -> None:
    with pytest.raises(
        SettingsError, match="--configurations=3, use a whole number of at least 16"
    ):
        TokenStagesSettings(configurations=3).check()
