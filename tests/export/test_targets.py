"""Targets: what they refuse, and what they leave of a space."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from rlquant import TARGETS, TRAINING_SPACE, LayerChoice, SearchSpace
from rlquant.config import PRESCRIBED_BITS, Points
from rlquant.errors import ChoiceError, UnknownNameError
from rlquant.export.targets import refusals, target_named

INT8, INT4, PACKED = (TARGETS[n] for n in ("onnxruntime-int8", "onnxruntime-int4", "packed"))
GROUPS = SearchSpace(group_size=("tensor", 64, "channel", 32))


@pytest.mark.parametrize("space", [SearchSpace(), TRAINING_SPACE, GROUPS])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_is_left_of_a_space_can_be_expressed(target, space) -> None:
    if target.name in ("gguf", "onnxruntime-matmulnbits") and 32 not in space.group_size:
        with pytest.raises(ChoiceError, match=r"use some of \(32, "):
            target.restrict(space)
        return
    left = target.restrict(space)
    assert left.options()
    assert not any(target.refusal(choice) for choice in left.options("trained"))


def test_a_space_loses_nothing_that_can_be_expressed() -> None:
    assert PACKED.restrict(TRAINING_SPACE) == TRAINING_SPACE
    left = INT4.restrict(TRAINING_SPACE)
    assert left.bits == (2, 3, 4)
    assert left.points == ("symmetric", "clipped", "fixed_point")  # in the space's order
    assert left.method == ("post_training", "distilled")
    assert left.activation_bits == (None,)
    assert INT8.restrict(SearchSpace(bits=(2, 8))).activation_bits == (8,)
    assert INT8.restrict(SearchSpace(activation_bits=(None, 8))).activation_bits == (None, 8)
    assert INT8.restrict(SearchSpace(activation_bits=(4, 8))).activation_bits == (8,)
    assert INT8.restrict(SearchSpace(group_size=("tensor", 64, "channel"))).group_size == (
        "tensor",
        "channel",
    )


@pytest.mark.parametrize(
    ("target", "space", "said"),
    [
        (INT4, SearchSpace(bits=(5, 6)), r"bits=\(5, 6\).*'onnxruntime-int4'.*\(4, 3, 2, 1\)"),
        (INT4, SearchSpace(bits=(8,)), r"bits=\(8,\)"),
        (INT8, SearchSpace(points=("kmeans",)), r"points=\('kmeans',\)"),
        (INT8, SearchSpace(activation_bits=(4,)), r"activation_bits=\(4,\)"),
        (INT8, SearchSpace(group_size=(64,)), r"group_size=\(64,\).*\('channel', 'tensor'\)"),
    ],
)
def test_what_was_asked_for_is_never_replaced(target, space, said) -> None:
    with pytest.raises(ChoiceError, match=said):
        target.restrict(space)


@pytest.mark.parametrize("points", get_args(Points))
def test_the_8_bit_target_takes_grids_of_integers(points: Points) -> None:
    bits = PRESCRIBED_BITS.get(points, 4)
    choice = LayerChoice("a", bits, points=points, activation_bits=8)
    refusal = INT8.refusal(choice)
    assert (refusal is None) == (points in ("symmetric", "clipped", "fixed_point"))


def test_refusals_name_the_decision_and_what_is_allowed() -> None:
    choices = (
        LayerChoice("fits", 8, activation_bits=8),
        LayerChoice("kept", 32, method="float"),
        LayerChoice("wide", 9, activation_bits=8),
        LayerChoice("third", 8, method="ternary", activation_bits=8),
        LayerChoice("half", 8, activation_bits=4),
    )
    found = refusals(INT8, choices)
    assert set(found) == {"wide", "third", "half"}
    assert found["wide"].startswith("bits=9, use one of (8, 7,")
    assert "method='ternary'" in found["third"]
    assert found["half"] == "activation_bits=4, use one of (8, None)"
    blocks = refusals(INT8, [replace(choices[0], group_size=64)])
    assert blocks == {"fits": "group_size=64, use one of ('channel', 'tensor')"}
    assert not refusals(PACKED, [replace(choice, group_size=64) for choice in choices])


def test_unknown_targets_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'packed'"):
        target_named("pakced")
