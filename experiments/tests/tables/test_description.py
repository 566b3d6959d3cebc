"""A table in words: what is said of it is what stands in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlquant import Budget, LayerChoice, SearchSpace, Table, TabularProblem, load_table
from rlquant.space import HEADS
from rlquant.testing import random_table
from rlquant_experiments.tables.description import BUDGETS, describe_table, option_words
from tables import live_table


def rows(text: str) -> list[list[str]]:
    """The cells of the table's rows, without the two of its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (LayerChoice("a", 3), "3 symmetric"),
        (LayerChoice("a", 3, points="kmeans"), "3 kmeans"),
        (LayerChoice("a", 3, points="fixed_point"), "3 fixed point"),
        (LayerChoice("a", 5, "stochastic", points="clipped"), "5 clipped stochastic"),
        (LayerChoice("a", 5, "gptq", points="clipped"), "5 clipped gptq"),
        (LayerChoice("a", 2, method="distilled", points="learned"), "2 learned distilled"),
        (LayerChoice("a", 2, method="ternary"), "ternary"),
        (LayerChoice("a", 2, method="ternary", activation_bits=8), "ternary inputs 8"),
        (LayerChoice("a", 4, points="affine", activation_bits=4), "4 affine inputs 4"),
        (LayerChoice("a", 32, method="float"), "float"),
    ],
)
def test_a_choice_in_few_words(choice: LayerChoice, words: str) -> None:
    assert option_words(choice, HEADS) == words


def test_of_what_is_not_asked_nothing_is_said() -> None:
    choice = LayerChoice("a", 5, "stochastic", points="kmeans", activation_bits=8)
    assert option_words(choice, ("bits",)) == "5"
    assert option_words(choice, ("bits", "points")) == "5 kmeans"
    assert option_words(replace(choice, method="distilled"), ("method",)) == "5 distilled"


def test_every_option_of_every_space_has_words_of_its_own() -> None:
    spaces = [
        SearchSpace(
            bits=(2, 3, 8),
            rounding=("nearest", "stochastic", "gptq"),
            method=("post_training", "ternary", "float"),
            points=("clipped", "kmeans"),
            activation_bits=(None, 8),
        ),
        SearchSpace(bits=(2, 4), method=("post_training", "ternary")),
    ]
    for space in spaces:
        asked = [head.name for head in space.heads]
        words = [option_words(choice, asked) for choice in space.options()]
        assert len(set(words)) == len(words)


def test_the_rows_are_the_optimum_under_each_budget() -> None:
    table = live_table()
    limits = (4.3, 6.0, 13.0)  # scales count much in layers this small
    found = rows(describe_table(table, limits))
    assert [row[0] for row in found] == ["4.3", "6", "13"]
    assert len({row[1] for row in found}) == 3
    assert len({row[2] for row in found}) > 1
    for row, limit in zip(found, limits, strict=True):
        problem = TabularProblem(table, Budget.average_bits(limit))
        config, best = problem.optimum()
        assert row[1] == str(int(problem.feasible_mask().sum()))
        assert row[2:4] == [f"{best.loss:.4f}", f"{best.accuracy:.4f}"]
        assert row[4].split(" · ") == [f"{choice.bits} {choice.points}" for choice in config]


def test_the_heading_says_what_the_table_is() -> None:
    table = live_table()
    text = describe_table(table)
    assert text.startswith("**small**: none, calibrated, 2 groups with 6 options each, 36 config")
    front = TabularProblem(table, Budget.average_bits(64.0)).pareto()
    assert f"{len(front)} of them on the front of loss and average bits" in text
    score = table.float_score
    assert f"Float: loss {score.loss:.4f}, accuracy {score.accuracy:.4f} on 50 valid" in text
    assert "Made by `ask`." in text
    assert "| chosen for body, last |" in text
    assert "Where nothing is said" not in text


def test_what_the_words_leave_out_is_said_once() -> None:
    def said(**options: tuple[object, ...]) -> str:
        space = SearchSpace(bits=(2, 3), **options)  # type: ignore[arg-type]
        return describe_table(random_table(2, len(space.options()), space=space))

    both = said(rounding=("nearest", "stochastic"), activation_bits=(None, 8))
    words = "Where nothing is said, rounding is to the nearest point and inputs are float."
    assert both.count(words) == 1
    assert "Where nothing is said" not in said(rounding=("gptq", "stochastic"))


def test_budgets_that_nothing_keeps_are_left_out() -> None:
    table = random_table(3, 4)
    bits = TabularProblem(table, Budget.average_bits(64.0)).units() / table.costs.weights
    kept = [limit for limit in BUDGETS if limit >= bits.min()]
    assert 0 < len(kept) < len(BUDGETS)
    assert [row[0] for row in rows(describe_table(table))] == [f"{limit:g}" for limit in kept]
    assert rows(describe_table(table, (0.1,))) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits-cnn", "4 · 3 · 2 · 4"),
        ("digits-mlp", "2 clipped · 2 kmeans · 5 clipped"),
        ("digits-mlp-tuned", "2 · 2 distilled · 6 distilled"),
    ],
)
def test_shipped_tables_are_described_tidily(name: str, words: str) -> None:
    table: Table = load_table(name)
    (row,) = rows(describe_table(table, (2.5,)))
    assert row[4] == words
