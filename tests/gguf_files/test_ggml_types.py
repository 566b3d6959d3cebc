"""Blocks of ggml: the bytes of a file dequantize to exactly the weights that were evaluated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.gguf.ggml_types import (
    QUANTIZED,
    TYPES,
    GgmlType,
    encode_floats,
    float_type,
    refusal,
    type_of,
)
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.formats import FORMATS
from rlquant.quantizers.super_blocks import largest_multiple
from strategies import seeded

gguf = pytest.importorskip("gguf")
quants = pytest.importorskip("gguf.quants")

KNOWN = tuple(name for name in QUANTIZED if name in gguf.GGMLQuantizationType.__members__)
PAIRS = [(name, points) for name in QUANTIZED for points in TYPES[name].points]


def choice_of(name: str, points: Any = None, **fields: Any) -> LayerChoice:
    own = TYPES[name]
    chosen = own.points[0] if points is None else points
    return LayerChoice("fc", own.bits, points=chosen, group_size=own.group, **fields)


def read(data: np.ndarray[Any, Any], own: GgmlType) -> Tensor:
    """What the package gguf makes of the bytes; of Q2_0, where it is older, what ggml.h says."""
    if own.name in KNOWN:
        found = quants.dequantize(data, gguf.GGMLQuantizationType[own.name])
    else:
        assert own.name == "Q2_0"
        blocks = data.reshape(-1, own.block_bytes)
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        pairs = blocks[:, 2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        found = (pairs.reshape(len(blocks), -1).astype(np.float32) - 1) * d
        found = found.reshape(len(data), -1)
    return torch.from_numpy(np.ascontiguousarray(found))


@st.composite
def matrices(draw: st.DrawFn, block: int) -> Tensor:
    """Rows of one to three blocks: any values, zeros, denormals, outliers."""
    shape = (draw(st.integers(1, 3)), block * draw(st.integers(1, 3)))
    limit = draw(st.sampled_from((8.0, 2.0**-17, 2.0**-130, 2.0**13)))
    values = draw(hnp.arrays(np.float32, shape, elements=st.floats(-limit, limit, width=32)))
    found = torch.from_numpy(values)
    if draw(st.booleans()):
        found = torch.randn(shape, generator=seeded(draw(st.integers(0, 99)))) * limit
    if draw(st.booleans()):
        found[0, 0] *= 100
    return found.clamp(-1e4, 1e4)


@pytest.mark.parametrize(("name", "points"), PAIRS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_bytes_dequantize_to_the_weights_bit_for_bit(
    name: str, points: Any, data: st.DataObject
) -> None:
    own = TYPES[name]
    weight = data.draw(matrices(own.block))
    quantized = quantize_weight(weight, choice_of(name, points))
    assert quantized.scale is not None
    if quantized.scale.dtype != own.number_dtype:
        return  # refused: see test_export_gguf
    encoded = own.encode(quantized)
    assert encoded.size == own.bytes_of(weight.numel())
    assert torch.equal(read(encoded, own), quantized.dequantize())


@pytest.mark.parametrize("name", [name for name in QUANTIZED if not name.endswith("K")])
def test_every_code_and_number_has_its_place(name: str) -> None:
    own = TYPES[name]
    form = FORMATS[own.points[0]]
    count = form.code_count(own.bits)
    codes = torch.randint(count, (5, 3 * own.block), generator=seeded(0)).to(torch.uint8)
    scale, offset = torch.randn(2, 15, generator=seeded(1)).half()
    if form.restricted_scales:
        scale = torch.ldexp(torch.ones(15), torch.arange(15) * 17 - 119)
    made = QuantizedTensor(
        codes,
        own.bits,
        form.kind,
        scale=scale,
        offset=offset if form.has_offset else None,
        group_size=own.block,
    )
    assert torch.equal(read(own.encode(made), own), made.dequantize())


@pytest.mark.parametrize("name", KNOWN)
def test_sizes_are_those_of_the_package(name: str) -> None:
    own, kind = TYPES[name], gguf.GGMLQuantizationType[name]
    assert own.number == kind
    assert (own.block, own.block_bytes) == gguf.GGML_QUANT_SIZES[kind]


@pytest.mark.parametrize("name", [name for name in QUANTIZED if name.endswith("K")])
def test_every_code_and_multiple_of_a_super_block_has_its_place(name: str) -> None:
    own, groups = TYPES[name], 256 // TYPES[name].group
    steps = own.points == ("k_affine",)
    top = largest_multiple(own.bits, mirrored=not steps)
    codes = torch.randint(2**own.bits, (5, 768), generator=seeded(0)).to(torch.uint8)
    units = torch.rand(2, 15, 1, generator=seeded(1)).half().float()
    multiples = torch.randint(0 if steps else -top, top + 1, (2, 15, groups), generator=seeded(2))
    numbers = (units * multiples.float()).reshape(2, -1)
    made = QuantizedTensor(
        codes,
        own.bits,
        "steps" if steps else "integer",
        scale=numbers[0],
        offset=-numbers[1] if steps else None,
        group_size=own.group,
    )
    assert torch.equal(read(own.encode(made), own), made.dequantize())


CODED = [name for name in KNOWN if not name.endswith("K") and name != "IQ4_NL"]
"""Types that the package can encode."""


@pytest.mark.parametrize("name", CODED)
def test_what_the_package_reads_of_its_own_bytes_has_a_larger_error(name: str) -> None:
    """Its encoder takes whole ranges; ours, of the same size, narrows them for less error."""
    weight = torch.randn(16, 256, generator=seeded(3))
    theirs = quants.quantize(weight.numpy(), gguf.GGMLQuantizationType[name])
    known = torch.ones(256, 256).tril_().mul_(0.01).fill_diagonal_(1.0)[None]
    ours = quantize_weight(weight, choice_of(name), moments=lambda: {"fc": known})
    assert ours.scale is not None
    errors = [
        float((values - weight).square().sum())
        for values in (
            ours.dequantize(),
            torch.from_numpy(quants.dequantize(theirs, gguf.GGMLQuantizationType[name])),
        )
    ]
    assert errors[0] < 1.01 * errors[1]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([[1.0, -0.5]], "BF16"),
        ([[1.0, 1 / 3]], "F32"),
        ([[1.0, 1 + 2**-10]], "F16"),
        ([1.0, -0.5], "F32"),
    ],
)
def test_floats_are_stored_exactly_in_as_few_bytes_as_that_takes(values: Any, name: str) -> None:
    weight = torch.tensor(values)
    own = float_type(weight)
    assert own.name == name
    data = encode_floats(weight, own)
    found = quants.dequantize(data, gguf.GGMLQuantizationType[name])
    assert torch.equal(torch.from_numpy(found.reshape(weight.shape)), weight)


def test_choices_that_no_type_holds_are_refused_with_a_reason() -> None:
    good = choice_of("Q4_0")
    assert refusal(good, (8, 64)) is None
    assert type_of(good) is TYPES["Q4_0"]
    for fields in (
        {"bits": 3},
        {"group_size": "channel"},
        {"points": "kmeans"},
        {"activation_bits": 8},
        {"method": "ternary"},
    ):
        assert "no type of ggml" in str(refusal(replace(good, **fields), (8, 64)))
    assert "rows of 48 weights are no whole blocks" in str(refusal(good, (8, 48)))
    assert "3 axes" in str(refusal(good, (8, 2, 64)))
