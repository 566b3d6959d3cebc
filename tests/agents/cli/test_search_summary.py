"""Summaries say what was chosen, and final networks keep the budget."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from rlquant import (
    Budget,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    Score,
    SearchSpace,
)
from rlquant.errors import SettingsError
from rlquant_agents.cli.final_training import final_networks, references
from rlquant_agents.cli.search_summary import Row, choices_table, describe, mix
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.search.uniform import best_uniform
from tuned_problems import mixed_mlp, tuned

CONFIG = QuantizationConfig(
    (
        LayerChoice("a", 2, method="ternary"),
        LayerChoice("b", 3, "stochastic", "distilled", "learned"),
        LayerChoice("c", 8, points="clipped"),
        LayerChoice("d", 32, method="float"),
    )
)


def test_a_choice_is_described_by_what_it_decides() -> None:
    words = [describe(CONFIG, name) for name in "abcd"]
    assert words == [
        "ternary",
        "3 bits, learned, distilled, stochastic",
        "8 bits, clipped, post-training",
        "float",
    ]


def test_the_mix_counts_what_layers_have() -> None:
    assert mix(CONFIG) == (
        "1 ternary, 1 distilled, 1 post_training, 1 float; 1 learned, 1 clipped; "
        "1 stochastic, 1 nearest"
    )


def test_choices_stand_layer_by_layer() -> None:
    lines = choices_table({"tpe": CONFIG, "random": CONFIG}).splitlines()
    assert lines[0] == "| layer | tpe | random |"
    assert lines[2] == "| a | ternary | ternary |"
    assert len(lines) == 6


def test_a_row_without_a_finite_loss_is_still_json() -> None:
    score = Score(
        loss=math.inf, accuracy=0.1, size_bytes=1, average_bits=2.0, size_ratio=0.1, bops=1
    )
    document = Row("broken", score, math.inf, 0.1).document()
    assert json.loads(json.dumps(document, allow_nan=False))["test_loss"] is None


def test_small_losses_can_be_told_apart() -> None:
    def shown(loss: float) -> str:
        costs = {"size_bytes": 1, "average_bits": 2.0, "size_ratio": 0.1, "bops": 1}
        return Row("any", Score(loss=loss, accuracy=1.0, **costs), loss, 1.0).cells()[1]

    assert [shown(loss) for loss in (0.0123, 2e-5, 3e-5)] == ["0.0123", "2.00e-05", "3.00e-05"]


def within_three_bits() -> QuantizationProblem:
    """A trained problem whose budget is that of three bits everywhere."""
    problem = tuned(fidelity="trained")
    choice = LayerChoice("", 3, points="clipped")
    three_bits = QuantizationConfig.uniform(choice, [facts.name for facts in problem.layers])
    limit = problem.unmeasured(three_bits).average_bits
    return problem.with_budget(Budget.average_bits(limit))


def test_references_keep_the_budget_and_are_the_best_of_their_kind() -> None:
    problem = within_three_bits()
    found = references(problem)
    for config in found.values():
        assert problem.unmeasured(config).average_bits <= problem.budget.limit
    names = list(found)
    assert names[0].endswith(" bits, post-training")
    assert names[1].endswith(" bits, distilled")
    assert names[-1] == "all ternary"
    best = best_uniform(problem.at_fidelity("calibrated"), 1, method="post_training")
    assert best is not None
    assert found[names[0]] == best[0]
    assert found[names[1]]["first"] == replace(best[0]["first"], method="distilled")


def test_where_nothing_of_a_kind_fits_it_is_no_reference() -> None:
    problem = tuned(
        fidelity="trained", space=SearchSpace(bits=(2,), method=("ternary", "distilled"))
    )
    ternary = references(problem)["all ternary"]
    limit = problem.unmeasured(ternary).average_bits
    tight = problem.with_budget(Budget.average_bits(limit))
    assert list(references(tight)) == ["all ternary"]


def test_final_networks_are_those_that_were_scored() -> None:
    problem = within_three_bits()
    finals = list(final_networks(problem, {"tpe": mixed_mlp()}))
    assert finals[-1].name == "tpe, trained"
    assert [f.score.fidelity for f in finals] == ["calibrated", *["trained"] * (len(finals) - 1)]
    for final in finals:
        loss, _ = problem.objective(
            final.network(*problem.validation.inputs), problem.validation.targets
        )
        assert float(loss) / len(problem.validation) == pytest.approx(final.score.loss, rel=1e-5)


# --- as a person types it


def test_the_space_follows_the_fidelity_unless_it_is_given() -> None:
    assert TaskSettings().space().method == ("post_training",)
    space = TaskSettings(fidelity="tuned", bits=(2, 4)).space()
    assert space.method == ("post_training", "ternary", "distilled")
    assert space.bits == (2, 4)


def test_steps_and_epochs_become_settings() -> None:
    assert TaskSettings(fidelity="tuned").training() is None
    tuned_for = TaskSettings(fidelity="tuned", steps=7).training()
    assert tuned_for is not None
    assert tuned_for.steps == 7
    trained_for = TaskSettings(fidelity="trained", epochs=3).training()
    assert trained_for is not None
    assert (trained_for.steps, trained_for.epochs) == (None, 3)
    with pytest.raises(SettingsError, match="give one"):
        TaskSettings(fidelity="tuned", steps=7, epochs=3).training()
    with pytest.raises(SettingsError, match="--fidelity tuned or trained"):
        TaskSettings(steps=7).training()
