"""The space: which decisions are asked, and what an action means."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.config import METHODS, POINTS, PRESCRIBED_BITS, ROUNDINGS, Fidelity, LayerChoice
from rlquant.errors import ChoiceError
from rlquant.space import HEADS, Head, SearchSpace, for_layer


def some(values: Any, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)
    return chosen.map(tuple)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    return SearchSpace(
        bits=draw(some(range(1, 9))),
        rounding=draw(some(ROUNDINGS)),
        method=draw(some(METHODS)),
        points=draw(some([p for p in POINTS if p not in PRESCRIBED_BITS])),
        activation_bits=draw(some((None, 4, 8))),
    )


fidelities = st.sampled_from(("calibrated", "tuned", "trained"))


# --- heads and actions


def test_decisions_with_one_option_are_not_asked() -> None:
    assert SearchSpace().heads == (Head("bits", (2, 3, 4, 5, 6, 8)),)
    space = SearchSpace(bits=(4,), points=("kmeans", "affine"), activation_bits=(None, 8))
    assert [head.name for head in space.heads] == ["points", "activation_bits"]
    assert [head.name for head in SearchSpace(bits=(4,)).heads] == ["bits"]  # at least one


@given(space=spaces())
def test_actions_are_all_combinations_in_order(space: SearchSpace) -> None:
    sizes = [len(head.options) for head in space.heads]
    assert space.actions.shape == (np.prod(sizes), len(sizes))
    assert [head.name for head in space.heads] == sorted(
        (head.name for head in space.heads), key=HEADS.index
    )
    expected = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    assert np.array_equal(space.actions, expected)


@given(space=spaces())
def test_an_action_means_the_options_it_points_at(space: SearchSpace) -> None:
    for action in space.actions.tolist():
        choice = space.choice("conv", action)
        if choice is None:
            continue
        assert choice.layer == "conv"
        for head, index in zip(space.heads, action, strict=True):
            if head.name != "points" or choice.method not in ("ternary", "float"):
                assert getattr(choice, head.name) == head.options[index]


@pytest.mark.parametrize("action", [[0], [0, 0, 0], [0, 2], [-1, 0], [0.5, 0], ["0", 0], []])
def test_an_action_has_one_index_for_each_head(action: Any) -> None:
    with pytest.raises(ChoiceError, match=r"use one index below each of \[2, 2\]"):
        SearchSpace(bits=(2, 4), activation_bits=(None, 8)).choice("conv", action)


def test_combinations_that_cannot_exist_are_none() -> None:
    space = SearchSpace(bits=(8, 12), points=("clipped", "kmeans"))
    assert space.choice("conv", [1, 0]) == LayerChoice("conv", 12, points="clipped")
    assert space.choice("conv", [1, 1]) is None
    assert space.option_of_action().tolist() == [0, 1, 2, -1]
    assert len(space.options()) == 3


def test_ternary_does_not_ask_for_legal_points() -> None:
    space = SearchSpace(
        bits=(12,), method=("ternary", "post_training"), points=("kmeans", "clipped")
    )
    ternary = LayerChoice("", 2, method="ternary")
    assert space.options() == (ternary, LayerChoice("", 12, points="clipped"))
    assert space.option_of_action().tolist() == [0, 0, -1, 1]


# --- options


@given(space=spaces(), fidelity=fidelities)
def test_options_are_canonical_and_distinct(space: SearchSpace, fidelity: Fidelity) -> None:
    options = space.options(fidelity)
    assert options
    assert len(set(options)) == len(options)
    assert all(option.canonical(fidelity) == option for option in options)
    assert all(option.layer == "" for option in options)


@given(space=spaces(), fidelity=fidelities)
def test_every_legal_action_leads_to_its_option(space: SearchSpace, fidelity: Fidelity) -> None:
    options = space.options(fidelity)
    indices = space.option_of_action(fidelity)
    assert set(indices.tolist()) - {-1} == set(range(len(options)))
    for action, index in zip(space.actions.tolist(), indices.tolist(), strict=True):
        choice = space.choice("conv", action)
        assert (choice is None) == (index == -1)
        if choice is not None:
            assert choice.canonical(fidelity) == for_layer(options[index], "conv")


def test_options_keep_the_order_of_the_actions() -> None:
    assert [option.bits for option in SearchSpace(bits=(8, 2, 4)).options()] == [8, 2, 4]


# --- fidelity


def test_a_calibrated_space_offers_nothing_that_needs_training() -> None:
    space = SearchSpace(
        method=("distilled", "post_training", "ternary"), points=("learned", "quantile", "kmeans")
    )
    calibrated = space.at("calibrated")
    assert calibrated.method == ("post_training", "ternary")
    assert calibrated.points == ("quantile", "kmeans")
    assert space.at("trained") is space
    assert SearchSpace(points=("learned",)).at("calibrated").points == ("quantile",)


@given(space=spaces())
def test_a_calibrated_space_has_the_same_options(space: SearchSpace) -> None:
    calibrated = space.at("calibrated")
    assert set(calibrated.options()) == set(space.options())
    assert calibrated.at("calibrated") == calibrated
    assert len(calibrated.actions) <= len(space.actions)


# --- a value


def test_a_space_is_a_value() -> None:
    space = SearchSpace(bits=[2, 4], exclude=["conv1"])  # type: ignore[arg-type]
    assert space == SearchSpace(bits=(2, 4), exclude=("conv1",))
    assert SearchSpace(bits=range(2, 5)) == SearchSpace(bits=(2, 3, 4))  # type: ignore[arg-type]
    assert space.heads  # cached, and no part of the value
    assert pickle.loads(pickle.dumps(space)) == space


@pytest.mark.parametrize("field", HEADS)
def test_an_empty_field_is_refused(field: str) -> None:
    with pytest.raises(ChoiceError, match=f"SearchSpace: {field} is empty, give at least one"):
        SearchSpace(**{field: ()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bits": 4}, "SearchSpace: bits=4, give a tuple of options"),
        ({"points": "kmeans"}, "SearchSpace: points='kmeans', give a tuple of options"),
        ({"exclude": "conv1"}, "SearchSpace: exclude='conv1', give a tuple of options"),
        ({"bits": {2, 4}}, "give a tuple of options"),
        ({"bits": (2, 4, 2)}, r"SearchSpace: bits=\(2, 4, 2\) names an option twice"),
        ({"exclude": ("a", "a")}, r"exclude=\('a', 'a'\) names an option twice"),
        ({"bits": (4, 32)}, "bits=32, use a whole number in 1..16"),
        ({"bits": (4, 0)}, "bits=0, use a whole number"),
        ({"rounding": ("nearest", "up")}, "rounding='up', use one of"),
        ({"method": ("prune",)}, "method='prune', use one of"),
        ({"points": ("log",)}, "points='log', use one of"),
        ({"activation_bits": (None, 1)}, "activation_bits=1, use a whole number in 2..16 or None"),
        ({"bits": (9, 12), "points": ("kmeans",)}, "SearchSpace: no combination of the options is"),
    ],
)
def test_an_impossible_space_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        SearchSpace(**fields)


@pytest.mark.parametrize("group_size", [0, -1, 2.5, "row", True, None, 2**17])
def test_an_impossible_group_size_is_refused(group_size: Any) -> None:
    with pytest.raises(ChoiceError, match=r"group_size=.*, use \"channel\", \"tensor\" or a whole"):
        SearchSpace(group_size=(group_size,))


@pytest.mark.parametrize("name", [3, None, b"conv", ("conv",)])
def test_what_is_kept_is_named(name: Any) -> None:
    with pytest.raises(ChoiceError, match="exclude names layers by their str"):
        SearchSpace(exclude=(name,))
