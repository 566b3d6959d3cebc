"""Which layers share a choice: patterns and mappings, and what is no division of the layers."""

from __future__ import annotations

from typing import Any

import pytest

from rlquant.errors import SettingsError, UnknownNameError
from rlquant.layer_groups import resolve_groups

LAYERS = ("stem", "stage1.0.conv1", "stage1.0.conv2", "stage2.0.conv1", "stage2.0.conv2", "head")


def test_patterns_name_their_groups() -> None:
    assert resolve_groups(("stem", "stage1.*", "stage2*", "head"), LAYERS) == {
        "stem": ("stem",),
        "stage1": ("stage1.0.conv1", "stage1.0.conv2"),
        "stage2": ("stage2.0.conv1", "stage2.0.conv2"),
        "head": ("head",),
    }


def test_a_pattern_that_matches_one_layer_is_named_after_the_layer() -> None:
    groups = resolve_groups(("ste*", "stage?.0.conv1", "stage?.0.conv2", "head"), LAYERS)
    assert list(groups) == ["stem", "stage?.0.conv1", "stage?.0.conv2", "head"]


def test_a_pattern_of_everything_keeps_its_star() -> None:
    assert resolve_groups(("*",), LAYERS) == {"*": LAYERS}


def test_groups_and_their_layers_are_in_execution_order() -> None:
    groups = {"end": ("head", "stem"), "middle": LAYERS[1:5][::-1]}
    found = resolve_groups(groups, LAYERS)
    assert list(found.items()) == [("end", ("stem", "head")), ("middle", LAYERS[1:5])]


def test_each_layer_may_be_a_group_of_its_own() -> None:
    assert resolve_groups(LAYERS, LAYERS) == {name: (name,) for name in LAYERS}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ((), "give a mapping of group names"),
        ("stage1.*", "give a mapping of group names"),
        (None, "give a mapping of group names"),
        (("*", "stag1.*"), r"pattern 'stag1.\*' matches no layer; the layers: stem, stage1"),
        (("stem", "stage*"), "head in no group"),
        (("*", "head"), "layer 'head' is in '\\*' and in 'head'; name it once"),
        ({"all": LAYERS, "again": ("stem",)}, "layer 'stem' is in 'all' and in 'again'"),
        ({"all": ("stem", "stem")}, "layer 'stem' is in 'all' and in 'all'"),
        ({"all": LAYERS, "empty": ()}, r"'empty' holds \(\), give a tuple of layer names"),
        ({"all": "stem"}, "'all' holds 'stem', give a tuple of layer names"),
    ],
)
def test_what_does_not_divide_the_layers_is_named(groups: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        resolve_groups(groups, LAYERS)


def test_a_layer_that_is_not_searched_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="layer in group 'a' 'haed'; did you mean 'head'"):
        resolve_groups({"a": ("haed",)}, LAYERS)


def test_two_patterns_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="two patterns give a group 'x1'; give a mapping"):
        resolve_groups(("x[1]", "x1.*"), ("x1", "x1.a", "x1.b"))
