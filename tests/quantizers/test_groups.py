"""Groups: which weights share a scale, and what a group that is larger than a layer means."""

from __future__ import annotations

import pytest
import torch

from rlquant.config import LayerChoice, Points
from rlquant.errors import QuantizationError
from rlquant.network.weights import QUANTIZERS, quantize_weight
from rlquant.quantizers import quantize_integer
from rlquant.quantizers.groups import require_group_size, spread, to_rows
from strategies import seeded

HUGE = 10**30


@pytest.mark.parametrize("points", QUANTIZERS)
def test_a_group_that_is_larger_than_the_layer_holds_the_whole_layer(points: Points) -> None:
    weight = torch.randn(3, 5, generator=seeded(0))
    choice = LayerChoice("layer", 3, points=points).canonical()
    whole, larger = (quantize_weight(weight, choice, group_size=size) for size in (15, HUGE))
    assert torch.equal(whole.codes, larger.codes)
    assert torch.equal(whole.dequantize(), larger.dequantize())


def test_rows_are_no_longer_than_the_layer() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    assert to_rows(weight, HUGE).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert to_rows(weight, 4).tolist() == [[0, 1, 2, 3], [4, 5, 5, 5]]
    assert spread(torch.tensor([2.0]), weight.shape, HUGE).tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "row", torch.ones(2), [1], b"x"])
def test_other_sizes_are_refused(size: object) -> None:
    with pytest.raises(QuantizationError, match="use a positive whole number"):
        require_group_size(size)


@pytest.mark.parametrize("axis", [2, -1, 10**30])
def test_an_axis_that_is_not_there_is_refused(axis: int) -> None:
    with pytest.raises(QuantizationError, match=r"channel_axis=.*, use 0\.\.1 for a tensor"):
        quantize_integer(torch.ones(2, 3), 4, channel_axis=axis)
