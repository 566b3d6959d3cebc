"""Groups: which weights share a scale, and what a group that is larger than a layer means."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlquant.config import LARGEST_GROUP, PRESCRIBED_BITS, GroupSize, LayerChoice, Points
from rlquant.errors import QuantizationError
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor, quantize_integer
from rlquant.quantizers.formats import FORMATS
from rlquant.quantizers.groups import (
    from_rows,
    group_count,
    require_group_size,
    short_groups,
    spread,
    to_rows,
)
from strategies import seeded

HUGE = LARGEST_GROUP


@pytest.mark.parametrize("points", FORMATS)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_group_that_is_larger_than_a_channel_holds_the_channel(points: Points, axis: int) -> None:
    weight = torch.randn(3, 5, 2, generator=seeded(0))
    whole, larger = (
        quantize_weight(
            weight,
            LayerChoice("layer", PRESCRIBED_BITS.get(points, 3), points=points, group_size=size),
            channel_axis=axis,
        )
        for size in ("channel", HUGE)
    )
    assert torch.equal(whole.codes, larger.codes)
    assert torch.equal(whole.dequantize(), larger.dequantize())


@pytest.mark.parametrize("points", FORMATS)
def test_large_weights_are_quantized_alike_in_parts(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, counts = torch.randn(9, 512, generator=seeded(0)), torch.rand(512, generator=seeded(1))
    choice = LayerChoice("fc", PRESCRIBED_BITS.get(points, 3), points=points, group_size=16)

    def quantized() -> QuantizedTensor:
        return quantize_weight(weight, choice, moments=lambda: {"fc": torch.diag(counts)[None]})

    whole = quantized()
    monkeypatch.setattr("rlquant.quantizers.grouped_weights.AT_ONCE", 2 * 512 + 100)
    parted = quantized()
    assert torch.equal(whole.codes, parted.codes)
    assert torch.equal(whole.dequantize(), parted.dequantize())


def test_groups_do_not_reach_into_the_next_channel() -> None:
    weight = torch.arange(10.0).reshape(2, 5)
    rows = [[0, 1], [2, 3], [4, 4], [5, 6], [7, 8], [9, 9]]
    assert to_rows(weight, 2).tolist() == rows
    assert torch.equal(from_rows(to_rows(weight, 2), weight.shape, 2), weight)
    assert spread(torch.arange(6.0), weight.shape, 2).tolist() == [
        [0, 0, 1, 1, 2],
        [3, 3, 4, 4, 5],
    ]
    assert short_groups(weight.shape, 2) == (slice(2, None, 3), 1)
    assert to_rows(weight.T, 2, 1).tolist() == rows
    assert torch.equal(from_rows(to_rows(weight.T, 2, 1), weight.T.shape, 2, 1), weight.T)
    assert to_rows(weight.reshape(-1), 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]


@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4),
    size=st.sampled_from(("channel", "tensor", 1, 2, 3, 7, HUGE)),
    data=st.data(),
)
def test_rows_are_undone(shape: list[int], size: GroupSize, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, max(len(shape) - 1, 0)))
    weight = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    rows = to_rows(weight, size, axis)
    assert len(rows) == group_count(weight.shape, size, axis)
    assert torch.equal(from_rows(rows, weight.shape, size, axis), weight)
    numbers = torch.arange(float(len(rows)))
    wide = from_rows(numbers[:, None].expand_as(rows), weight.shape, size, axis)
    assert torch.equal(spread(numbers, weight.shape, size, axis).expand(weight.shape), wide)


def test_rows_are_no_longer_than_a_channel() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    assert to_rows(weight, HUGE).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("size", [0, -1, True, 2.0, 2**17, None, "row", torch.ones(2), [1], b"x"])
def test_other_sizes_are_refused(size: object) -> None:
    with pytest.raises(QuantizationError, match="use a whole number of consecutive weights"):
        require_group_size(size)


@pytest.mark.parametrize("axis", [2, -1, 10**30])
def test_an_axis_that_is_not_there_is_refused(axis: int) -> None:
    with pytest.raises(QuantizationError, match=r"channel_axis=.*, use 0\.\.1 for a tensor"):
        quantize_integer(torch.ones(2, 3), 4, channel_axis=axis)
