"""Reference results: what counts as the same, whatever options are called."""

from __future__ import annotations

from rlquant_experiments.reference.results import differences, neutral_layers


def test_a_configuration_is_the_same_under_old_and_new_names() -> None:
    old = {"bits": 3, "method": "post_training", "points": "uniform", "rounding": "error_feedback"}
    new = {"bits": 3, "method": "post_training", "points": "affine", "rounding": "gptq"}
    old, new = old | {"layer": "conv", "activation_bits": None}, new | {"layer": "conv"}
    assert neutral_layers({"layers": [old]}) == neutral_layers(
        {"layers": [new | {"group_size": "channel"}]}
    )


def test_what_a_float_or_ternary_layer_does_not_decide_is_left_out() -> None:
    kept = {"layer": "fc", "bits": 32, "method": "keep", "points": "symmetric"}
    ternary = {"layer": "conv", "bits": 2, "method": "ternary", "activation_bits": 8}
    assert neutral_layers({"layers": [kept, ternary]}) == {
        "fc": {"method": "float"},
        "conv": {"method": "ternary", "activation_bits": 8},
    }


def test_every_difference_is_named_with_its_place() -> None:
    old = {"a": {"loss": 1.0, "nan": float("nan")}, "gone": 1, "row": [1, float("nan")]}
    new = {"a": {"loss": 2.0, "nan": float("nan")}, "here": 1, "row": [1, float("nan")]}
    assert list(differences(old, new)) == [
        "a / loss: 1.0 became 2.0",
        "gone: only in the first",
        "here: only in the second",
    ]
    assert list(differences(old, old)) == []
