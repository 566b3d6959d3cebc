"""Options that are quantized everywhere, and those that follow them."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant import LayerChoice
from rlquant.config import GroupSize
from rlquant.sensitivity.anchors import MOST_WEIGHTS, anchor_options, filled, profiled_layers

SIZES: tuple[GroupSize, ...] = ("channel", 128, 64, 32)
OPTIONS = [LayerChoice("", bits, group_size=size) for bits in (2, 3, 4, 5, 8) for size in SIZES]
SCALES = {"channel": 0.02, 128: 0.125, 64: 0.25, 32: 0.5}


def prices(budget: float) -> np.ndarray:
    return np.array([(o.bits + SCALES[o.group_size]) / budget for o in OPTIONS])


def test_of_few_weights_all_options_are_quantized() -> None:
    assert anchor_options(OPTIONS, prices(3.0), 1000) == list(range(len(OPTIONS)))


@pytest.mark.parametrize(
    ("budget", "widths"), [(3.0, {2, 3, 4}), (4.3, {3, 4, 5}), (9.0, {4, 5, 8})]
)
def test_of_many_weights_two_options_of_the_widths_around_the_budget(
    budget: float, widths: set[int]
) -> None:
    found = [OPTIONS[i] for i in anchor_options(OPTIONS, prices(budget), MOST_WEIGHTS)]
    assert {(o.bits, o.group_size) for o in found} == {
        (bits, size) for bits in widths for size in ("channel", 64)
    }


def test_layers_of_a_role_follow_the_one_in_the_middle() -> None:
    names = ["block.0.a", "block.0.b", "block.1.a", "block.1.b", "block.2.a", "block.2.b", "head"]
    found = profiled_layers(names)
    assert found["block.0.a"] == found["block.2.a"] == "block.1.a"
    assert found["head"] == "head"


def test_what_is_not_known_follows_the_nearest_anchor_in_proportion() -> None:
    nan = np.nan
    known = np.array([[8.0, 4.0, 1.0, 0.5], [80.0, nan, 5.0, nan]])
    # 4 of layer 0 is nearer to 8 (half of it), 0.5 nearer to 1 (half of it)
    assert filled(known, [0, 0])[1].tolist() == pytest.approx([80.0, 40.0, 5.0, 2.5])


def test_options_that_a_layer_does_not_have_are_zero() -> None:
    known = np.array([[8.0, np.nan], [80.0, np.nan]])
    assert filled(known, [0, 0])[:, 1].tolist() == [0.0, 0.0]
