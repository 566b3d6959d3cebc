"""Large layers are rounded part by part, as if all channels were rounded together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assigned_layers import layer
from rlquant.config import GroupSize, LayerChoice, Points
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding import parts
from rlquant.rounding.layer_hessians import LayerHessians

SIZES: list[GroupSize] = ["channel", 4, "tensor"]


def quantized(weight: Tensor, moments: Tensor, points: Points, size: GroupSize) -> QuantizedTensor:
    choice = LayerChoice("a", 3, rounding="gptq", points=points, group_size=size)
    hessians = LayerHessians.of({"a": moments})
    return quantize_weight(weight, choice, moments=lambda: hessians)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("points", ["symmetric", "affine", "linear"])
def test_parts_of_the_channels_give_what_all_give(
    points: Points, size: GroupSize, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, moments = layer(3)
    whole = quantized(weight, moments, points, size)
    monkeypatch.setattr(parts, "WEIGHTS_AT_ONCE", 2 * weight[0].numel())
    found = quantized(weight, moments, points, size)
    assert torch.equal(found.codes, whole.codes)
    assert torch.allclose(found.dequantize(), whole.dequantize(), rtol=1e-3)
    assert found.size_bits() == whole.size_bits()


def test_parts_are_as_large_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, moments = layer(3)
    seen: list[int] = []

    def work(some: Tensor, given: QuantizedTensor) -> QuantizedTensor:
        assert len(some) == len(given.codes)
        seen.append(len(some))
        return given

    plain = quantized(weight, moments, "symmetric", 4)
    monkeypatch.setattr(parts, "WEIGHTS_AT_ONCE", 5 * weight[0].numel())
    found = parts.in_parts(work, weight, plain)
    assert torch.equal(found.dequantize(), plain.dequantize())
    assert sum(seen) == len(weight)
    assert max(seen) == 5
