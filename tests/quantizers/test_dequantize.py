"""Dequantizing is `offset + scale * codebook[codes]`, bit for bit, however it is computed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.quantizers import QuantizedTensor, tensor
from rlquant.quantizers.groups import group_count, spread
from rlquant.quantizers.tensor import codes_dtype, strides_of
from strategies import SHAPES, laid_out, seeded, seeds

LAYOUTS = ("plain", "channels_last", "transposed")


@st.composite
def quantized(draw: st.DrawFn) -> QuantizedTensor:
    shape = torch.Size(draw(st.sampled_from((*SHAPES, (), (40, 9)))))
    kind = draw(st.sampled_from(("integer", "affine", "stored", "ternary")))
    bits = 2 if kind == "ternary" else draw(st.integers(1, 8 if kind == "stored" else 16))
    group_size = draw(st.sampled_from(("tensor", "channel", 1, 4, 1000)))
    axis = draw(st.integers(0, max(len(shape) - 1, 0)))
    number_type = draw(st.sampled_from((torch.float32, torch.float16)))
    random = seeded(draw(seeds))
    options = 3 if kind == "ternary" else 2**bits
    groups = group_count(shape, group_size, axis)

    def numbers(count: int) -> Tensor:
        return torch.randn(count, generator=random).to(number_type)

    return QuantizedTensor(
        torch.randint(options, shape, generator=random).to(codes_dtype(bits)),
        bits,
        kind,
        scale=numbers(groups) if draw(st.booleans()) else None,
        offset=numbers(groups) if draw(st.booleans()) else None,
        values=numbers(options) if kind in ("stored", "ternary") else None,
        group_size=group_size,
        channel_axis=axis,
        strides=strides_of(laid_out(torch.empty(shape), draw(st.sampled_from(LAYOUTS)))),
    )


def plainly(q: QuantizedTensor) -> Tensor:
    layout = (q.codes.shape, q.group_size, q.channel_axis)
    result = q.codebook[q.codes.long()]
    if q.scale is not None:
        result = result * spread(q.scale.float(), *layout)
    if q.offset is not None:
        result = result + spread(q.offset.float(), *layout)
    return result


def same_bits(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(
        one.contiguous().view(torch.int32), other.contiguous().view(torch.int32)
    )


@pytest.mark.parametrize("piece", [5, 2**17])
@settings(max_examples=150, deadline=None)
@given(q=quantized())
def test_it_is_the_formula_bit_for_bit(piece: int, q: QuantizedTensor) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor, "PIECE", piece)
        result = q.dequantize()
    assert result.stride() == q.strides
    assert same_bits(result, plainly(q))


@settings(max_examples=80, deadline=None)
@given(
    q=quantized(),
    layout=st.sampled_from((*LAYOUTS, "gaps")),
    dtype=st.sampled_from((torch.float32, torch.float16, torch.bfloat16, torch.float64)),
)
def test_it_goes_into_any_weight(q: QuantizedTensor, layout: str, dtype: torch.dtype) -> None:
    layout = layout if q.codes.dim() else "plain"
    weight = laid_out(torch.full(q.codes.shape, 7.0), layout).to(dtype)
    codes, strides = q.codes.clone(), weight.stride()
    q.dequantize_into(weight)
    assert weight.stride() == strides
    assert torch.equal(weight, plainly(q).to(dtype))
    assert torch.equal(q.codes, codes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_goes_to_a_gpu() -> None:
    codes = torch.randint(16, (50, 40), generator=seeded(0)).to(torch.uint8)
    q = QuantizedTensor(codes, 4, "stored", values=torch.randn(16, generator=seeded(1)))
    weight = torch.empty(50, 40, device="cuda")
    q.dequantize_into(weight)
    assert same_bits(weight.cpu(), plainly(q))
