"""Choices: what is legal, what is the same, and what survives a file."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.config import (
    METHODS,
    POINTS,
    ROUNDINGS,
    Fidelity,
    LayerChoice,
    QuantizationConfig,
    widths_of,
)
from rlquant.errors import ChoiceError, ConfigFormatError, FileFormatError


@st.composite
def layer_choices(draw: st.DrawFn, layer: str = "conv") -> LayerChoice:
    points = draw(st.sampled_from(POINTS))
    return LayerChoice(
        layer,
        draw(st.sampled_from(widths_of(points))),
        draw(st.sampled_from(ROUNDINGS)),
        draw(st.sampled_from(METHODS)),
        points,
        draw(st.sampled_from(("channel", "tensor", 64))),
        draw(st.none() | st.integers(2, 16)),
    )


configs = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5).flatmap(
    lambda names: st.tuples(*(layer_choices(name) for name in names)).map(QuantizationConfig)
)
fidelities = st.sampled_from(("calibrated", "tuned", "trained"))


# --- one layer


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "prune"}, r"layer 'conv': method='prune', use one of \('float', "),
        ({"method": None}, "method=None, use one of"),
        ({"rounding": "up"}, r"rounding='up', use one of \('nearest', "),
        ({"points": "log"}, r"points='log', use one of \('symmetric', "),
        ({"bits": 0}, "bits=0, use a whole number in 1..16 with points='symmetric'"),
        ({"bits": 17}, "bits=17, use a whole number in 1..16"),
        ({"bits": 32}, "bits=32, use a whole number in 1..16"),
        ({"bits": 33, "method": "float"}, "bits=33, use a whole number in 1..16"),
        ({"bits": 9, "points": "kmeans"}, "bits=9, use a whole number in 1..8 with points='kmean"),
        ({"bits": 9, "points": "quantile"}, "use a whole number in 1..8"),
        ({"bits": 5, "points": "iq4_nl"}, "bits=5, use a whole number in 4..4 with points='iq4_nl"),
        ({"bits": 4, "points": "tied_ternary"}, "use a whole number in 2..2"),
        ({"bits": 9, "points": "learned"}, "use a whole number in 1..8"),
        ({"bits": 4.0}, "bits=4.0, use a whole number"),
        ({"bits": True}, "bits=True, use a whole number"),
        ({"bits": "4"}, "bits='4', use a whole number"),
        ({"bits": None}, "bits=None, use a whole number"),
        ({"activation_bits": 1}, "activation_bits=1, use a whole number in 2..16 or None"),
        ({"activation_bits": 17}, "activation_bits=17, use a whole number in 2..16 or None"),
        ({"activation_bits": 8.0}, "activation_bits=8.0, use a whole number"),
        ({"activation_bits": True}, "activation_bits=True, use a whole number"),
        ({"group_size": 0}, 'group_size=0, use "channel", "tensor" or a whole number in 1..65536'),
        ({"group_size": None}, "group_size=None, use"),
        ({"group_size": True}, "group_size=True, use"),
        ({"group_size": 64.0}, "group_size=64.0, use"),
        ({"group_size": "row"}, "group_size='row', use"),
    ],
)
def test_an_illegal_field_is_named_with_what_is_allowed(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words) as caught:
        LayerChoice(**{"layer": "conv", "bits": 4, **fields})
    assert isinstance(caught.value, ValueError)


def test_a_choice_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        LayerChoice("conv", 4).bits = 5  # type: ignore[misc]


def test_bit_operations_count_32_bits_for_float_and_2_for_ternary() -> None:
    assert LayerChoice("conv", 5).arithmetic_bits == 5
    assert LayerChoice("conv", 5, method="distilled").arithmetic_bits == 5
    assert LayerChoice("conv", 5, method="float").arithmetic_bits == 32
    assert LayerChoice("conv", 5, method="ternary").arithmetic_bits == 2


# --- canonical forms


@given(choice=layer_choices(), fidelity=fidelities)
def test_the_canonical_form_is_its_own(choice: LayerChoice, fidelity: Fidelity) -> None:
    canonical = choice.canonical(fidelity)
    assert canonical.canonical(fidelity) == canonical
    assert canonical.layer == choice.layer
    assert canonical.arithmetic_bits == choice.arithmetic_bits


@given(choice=layer_choices(), other=layer_choices(), fidelity=fidelities)
def test_a_kept_layer_has_nothing_else(
    choice: LayerChoice, other: LayerChoice, fidelity: Fidelity
) -> None:
    kept = replace(choice, method="float").canonical(fidelity)
    assert kept == LayerChoice("conv", 32, method="float")
    assert kept == replace(other, method="float").canonical(fidelity)


@given(choice=layer_choices(), fidelity=fidelities)
def test_a_ternary_layer_has_its_activation_bits_alone(
    choice: LayerChoice, fidelity: Fidelity
) -> None:
    ternary = replace(choice, method="ternary").canonical(fidelity)
    expected = LayerChoice("conv", 2, method="ternary", activation_bits=choice.activation_bits)
    assert ternary == expected


def test_without_a_training_step_training_choices_are_where_they_start() -> None:
    learned = LayerChoice("conv", 4, method="distilled", points="learned", activation_bits=8)
    assert learned.canonical("calibrated") == LayerChoice(
        "conv", 4, points="quantile", activation_bits=8
    )
    assert learned.canonical("tuned") == learned
    assert learned.canonical("trained") == learned


def test_what_has_an_effect_stays() -> None:
    choice = LayerChoice("conv", 4, "stochastic", points="kmeans", group_size=64, activation_bits=6)
    assert choice.canonical() == choice


@pytest.mark.parametrize("fidelity", ["calibrated", "trained"])
def test_fixed_point_has_no_groups(fidelity: Fidelity) -> None:
    choice = LayerChoice("conv", 4, method="distilled", points="fixed_point")
    for size in ("tensor", 64):
        assert replace(choice, group_size=size).canonical(fidelity) == choice.canonical(fidelity)


# --- a whole network


def test_a_configuration_holds_its_choices_in_order() -> None:
    a, b = LayerChoice("a", 4), LayerChoice("b", 2)
    config = QuantizationConfig([b, a])  # type: ignore[arg-type]
    assert config.choices == (b, a)
    assert list(config) == [b, a]
    assert len(config) == 2
    assert config["a"] == a
    assert hash(config) == hash(QuantizationConfig((b, a)))


def test_a_layer_without_a_choice_is_named() -> None:
    with pytest.raises(ChoiceError, match=r"no choice for layer 'c'; layers: \['a', 'b'\]"):
        QuantizationConfig((LayerChoice("a", 4), LayerChoice("b", 4)))["c"]


def test_two_choices_for_a_layer_are_refused() -> None:
    with pytest.raises(ChoiceError, match="layer 'a' has two choices; give one"):
        QuantizationConfig((LayerChoice("a", 4), LayerChoice("a", 2)))


@given(config=configs, fidelity=fidelities)
def test_a_configuration_is_canonical_where_its_choices_are(
    config: QuantizationConfig, fidelity: Fidelity
) -> None:
    assert list(config.canonical(fidelity)) == [c.canonical(fidelity) for c in config]


# --- files


@given(config=configs, indent=st.none() | st.integers(0, 4))
def test_json_gives_the_configuration_back(config: QuantizationConfig, indent: int | None) -> None:
    assert QuantizationConfig.from_json(config.to_json(indent)) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no configuration: it is not JSON"),
        ("{", "no configuration: it is not JSON"),
        ("[]", r"it is \[\], use an object"),
        ("{}", "version None, this rlquant reads 2"),
        ('{"version": 1, "layers": []}', "version 1, this rlquant reads 2"),
        ('{"version": 2}', "layers is missing"),
        ('{"version": 2, "layers": 7}', "layers is 7, use a list"),
        ('{"version": 2, "layers": [7]}', r"layers\[0\] is 7, use an object"),
        ('{"version": 2, "layers": [{"bits": 4}]}', r"layers\[0\].layer is missing"),
        (
            '{"version": 2, "layers": [{"layer": "a", "bits": 4, "x": 1}]}',
            r"\[0\].x is unknown",
        ),
        ('{"version": 2, "layers": [{"layer": "a", "bits": 40}]}', "layer 'a': bits=40"),
    ],
)
def test_a_text_that_is_no_configuration_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigFormatError, match=words) as caught:
        QuantizationConfig.from_json(text)
    assert isinstance(caught.value, ChoiceError)
    assert isinstance(caught.value, FileFormatError)


def test_the_file_carries_its_version() -> None:
    document = json.loads(QuantizationConfig((LayerChoice("a", 4),)).to_json())
    assert document["version"] == 2
    assert document["layers"][0]["layer"] == "a"


@given(a=configs, b=configs)
def test_keys_are_equal_where_configurations_are(
    a: QuantizationConfig, b: QuantizationConfig
) -> None:
    assert (a.key == b.key) == (a == b)


def test_a_key_is_the_same_in_every_process() -> None:
    config = QuantizationConfig((LayerChoice("a", 4), LayerChoice("b", 3, points="kmeans")))
    assert (
        config.key == "2f027eab41d39b9311c5ec8f0c5278e1"
    )  # noted once; stores would forget all under another


@pytest.mark.parametrize(
    ("choice", "decided"),
    [
        (LayerChoice("a", 32, method="float"), ("method",)),
        (LayerChoice("a", 2, method="ternary"), ("method", "activation_bits")),
        (
            LayerChoice("a", 4),
            ("method", "rounding", "points", "activation_bits", "group_size"),
        ),
        (
            LayerChoice("a", 4, points="fixed_point"),
            ("method", "rounding", "points", "activation_bits"),
        ),
    ],
)
def test_what_the_method_ignores_is_not_decided(
    choice: LayerChoice, decided: tuple[str, ...]
) -> None:
    assert choice.decided == decided


@pytest.mark.parametrize("name", [5, None, b"conv", ("conv",), 1.5])
def test_a_layer_is_named_by_a_text(name: Any) -> None:
    with pytest.raises(ChoiceError, match="use the name of a layer, a str"):
        LayerChoice(name, 4)


@pytest.mark.parametrize("choice", ["conv", 5, None, {"layer": "conv", "bits": 4}])
def test_a_configuration_holds_choices(choice: Any) -> None:
    with pytest.raises(ChoiceError, match="is no LayerChoice"):
        QuantizationConfig((choice,))
