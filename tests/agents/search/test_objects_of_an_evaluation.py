"""What the last action of an episode costs on its way to a score, in objects and JSON texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from rlquant import Budget, LayerChoice, Problem, QuantizationProblem, SearchSpace, TabularProblem
from rlquant.testing.random_table import random_table
from rlquant_agents.search.session import Session
from rlquant_envs.layerwise import LayerwiseQuantization

LAYERS = 10
LOOSE = Budget.average_bits(40.0)


def table() -> TabularProblem:
    return TabularProblem(random_table(LAYERS, 3), LOOSE)


def live(**other: Any) -> QuantizationProblem:
    draw = torch.Generator().manual_seed(0)
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(LAYERS)))
    inputs, labels = torch.randn(60, 4, generator=draw), torch.arange(60) % 4
    space = SearchSpace(bits=(2, 3, 4))
    data = (inputs[:30], labels[:30]), (inputs[30:], labels[30:])
    return QuantizationProblem(network, *data, budget=LOOSE, space=space, **other)


@dataclass
class Made:
    choices: int = 0
    texts: int = 0


@contextmanager
def counted() -> Iterator[Made]:
    """Count the layer choices and the JSON texts that are made."""
    made, check, dumps = Made(), LayerChoice.__post_init__, json.dumps

    def checked(choice: LayerChoice) -> None:
        made.choices += 1
        check(choice)

    def dumped(*args: Any, **kwargs: Any) -> str:
        made.texts += 1
        return dumps(*args, **kwargs)

    counting_choices = mock.patch.object(LayerChoice, "__post_init__", checked)
    with counting_choices, mock.patch.object(json, "dumps", dumped):
        yield made


def last_action(problem: Problem, row: list[int]) -> Made:
    """Play an episode through a session; count at its last action."""
    env = LayerwiseQuantization(Session(problem, 9))
    env.reset()
    for option in row[:-1]:
        env.step(np.array([option]))
    with counted() as made:
        *_, done, _, info = env.step(np.array(row[-1:]))
    assert done
    assert info["score"] == problem.evaluate(info["config"])
    return made


@pytest.mark.parametrize("make", [table, live])
def test_an_action_makes_no_more_choices_than_layers_and_no_json(
    make: Callable[[], Problem],
) -> None:
    made = last_action(make(), [0, 1] * 5)
    assert made.choices <= LAYERS
    assert made.texts == 0


def test_a_store_makes_one_json_text_of_a_configuration(tmp_path: Path) -> None:
    problem = live(store=tmp_path / "s.sqlite")
    last_action(problem, [0] * LAYERS)  # opens the file
    assert last_action(problem, [0, 1] * 5).texts <= 1


def test_what_is_known_is_answered_without_making_anything() -> None:
    session = Session(table(), 9)
    session.ask_indices([0, 1] * 5)
    with counted() as made:
        known = session.ask_indices([0, 1] * 5)
        assert session.recall(np.array([0, 1] * 5)) is known
        assert session.ask(known.config) is known
    assert made == Made()
