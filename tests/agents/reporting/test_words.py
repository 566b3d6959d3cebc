"""Numbers and choices in words."""

from __future__ import annotations

import math

import pytest

from rlquant import LayerChoice
from rlquant_agents.reporting.words import decimal, duration, plain, share


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.05601, "0.0560"), (0.0, "0.0000"), (1.5e-5, "1.50e-05"), (math.inf, "not finite")],
)
def test_losses(value: float, words: str) -> None:
    assert decimal(value) == words
    assert decimal(math.nan) == "not finite"
    assert decimal(0.25, "+") == "+0.2500"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")],
)
def test_times(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_parts_and_plain_numbers() -> None:
    assert share(1, 3) == "33.3 %"
    assert share(0, 0) == "0.0 %"
    assert plain(3.0) == "3"
    assert plain(12345.67891) == "12,345.6789"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (LayerChoice("a", 3), "3 bits, symmetric, nearest"),
        (LayerChoice("a", 1, points="affine"), "1 bit, affine, nearest"),
        (LayerChoice("a", 32, method="float"), "float32"),
        (LayerChoice("a", 2, method="ternary", activation_bits=8), "ternary, 8-bit inputs"),
        (
            LayerChoice("a", 4, "gptq", "distilled", "fixed_point", activation_bits=6),
            "4 bits, fixed point, GPTQ, distilled, 6-bit inputs",
        ),
        (LayerChoice("a", 3, group_size=64), "3 bits, symmetric, nearest, groups of 64"),
        (LayerChoice("a", 3, group_size="tensor"), "3 bits, symmetric, nearest, per tensor"),
    ],
)
def test_choices(choice: LayerChoice, words: str) -> None:
    assert choice.in_words == words
