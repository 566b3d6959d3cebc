"""One layer's weight, quantized as its choice says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from layer_choices import CHOICES
from rlquant.config import HESSIAN_BASED, POINTS, PRESCRIBED_BITS, GroupSize, LayerChoice
from rlquant.cost.size import LayerStorage
from rlquant.errors import (
    QuantizationError,
)
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import (
    quantize_affine,
    quantize_integer,
    quantize_ternary,
    ternary_scales,
)
from rlquant.quantizers.rounding import layer_generator
from rlquant.rounding.output_error import reconstruction_error
from strategies import seeded

WEIGHT = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("choice", [c for c in CHOICES if c.method != "float"], ids=str)
@pytest.mark.parametrize("group_size", ["channel", 6, "tensor"])
@pytest.mark.parametrize("factor", [1.0, 1e-7, 1e6])
def test_a_quantized_weight_takes_the_bits_that_its_cost_says(
    choice: LayerChoice, group_size: GroupSize, factor: float
) -> None:
    weight, choice = WEIGHT * factor, replace(choice, group_size=group_size)
    quantized = quantize_weight(weight, choice)
    storage = LayerStorage(weight)
    assert quantized.size_bits() == storage.bits(choice)
    assert {t.dtype for t in quantized.numbers} == {storage.scale_dtype(choice)}
    assert quantized.dequantize().shape == weight.shape


def test_each_choice_calls_its_quantizer_with_scales_as_stored() -> None:
    half = torch.float16
    pairs = [
        (LayerChoice("", 3), quantize_integer(WEIGHT, 3, scale_dtype=half)),
        (
            LayerChoice("", 3, points="clipped"),
            quantize_integer(WEIGHT, 3, clip=True, scale_dtype=half),
        ),
        (
            LayerChoice("", 3, points="affine"),
            quantize_affine(WEIGHT, 3, group_size="channel", scale_dtype=half, zero_point=True),
        ),
        (
            LayerChoice("", 3, points="linear"),
            quantize_affine(WEIGHT, 3, group_size="channel", scale_dtype=half),
        ),
        (
            LayerChoice("", 2, method="ternary"),
            quantize_ternary(WEIGHT, *ternary_scales(WEIGHT), scale_dtype=half),
        ),
    ]
    for choice, expected in pairs:
        assert torch.equal(quantize_weight(WEIGHT, choice).dequantize(), expected.dequantize())


@pytest.mark.parametrize("points", [p for p in POINTS if p not in PRESCRIBED_BITS])
def test_more_bits_are_nearer_to_the_weight(points: Any) -> None:
    errors = [
        float(
            (
                quantize_weight(WEIGHT, LayerChoice("", b, points=points)).dequantize() - WEIGHT
            ).norm()
        )
        for b in (1, 3, 5, 8)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * float(WEIGHT.norm())


def test_sixteen_uniform_bits_are_finer_than_ten() -> None:
    errors = [
        float(
            (quantize_weight(WEIGHT, LayerChoice("", b, points="affine")).dequantize() - WEIGHT)
            .abs()
            .max()
        )
        for b in (10, 12, 14, 16)
    ]
    assert all(wide < narrow / 3 for narrow, wide in pairwise(errors))


def test_roundings_that_need_inputs_are_refused_without_them() -> None:
    for rounding in sorted(HESSIAN_BASED):
        choice = LayerChoice("fc", 3, rounding)  # type: ignore[arg-type]
        for moments in (None, dict[str, Tensor]):
            with pytest.raises(QuantizationError, match=r"layer 'fc': .* there are no moments"):
                quantize_weight(WEIGHT, choice, moments=moments)


@pytest.mark.parametrize("rounding", sorted(HESSIAN_BASED))
@pytest.mark.parametrize("points", [p for p in POINTS if p != "learned"])
@pytest.mark.parametrize("group_size", ["channel", 3, "tensor"])
def test_roundings_hessian_based_keep_the_grid_and_lower_the_error(
    group_size: GroupSize, points: Any, rounding: Any
) -> None:
    rows = torch.randn(60, 3, generator=seeded(1)) @ torch.randn(3, 7, generator=seeded(2))
    rows = rows + 0.2 * torch.randn(60, 7, generator=seeded(3))
    matrix = (rows.T @ rows / 60)[None]
    bits = PRESCRIBED_BITS.get(points, 2)
    choice = LayerChoice("fc", bits, rounding, points=points, group_size=group_size)
    plain = quantize_weight(WEIGHT, replace(choice, rounding="nearest"))
    found = quantize_weight(WEIGHT, choice, moments=lambda: {"fc": matrix})
    if found.values is None:
        assert torch.equal(found.codebook, plain.codebook)
    assert found.size_bits() == plain.size_bits()
    errors = [
        float(reconstruction_error(each.dequantize() - WEIGHT, matrix)) for each in (plain, found)
    ]
    # Else three weights lie on points of their own, or have scales that are not fitted to codes.
    if group_size != 3 or (found.values is None and points not in ("k_affine", "k_symmetric")):
        assert errors[1] < errors[0]


@pytest.mark.parametrize("points", ["clipped", "affine", "linear", "kmeans"])
@pytest.mark.parametrize("group_size", ["channel", 4, "tensor"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_errors_count_by_the_inputs_where_these_are_known(
    bits: int, group_size: GroupSize, points: Any
) -> None:
    weight = torch.randn(8, 40, generator=seeded(0)) ** 3
    counts = torch.rand(40, generator=seeded(1)) ** 6
    hessian = torch.diag(counts)[None]
    choice = LayerChoice("fc", bits, points=points, group_size=group_size)
    plain = quantize_weight(weight, choice)
    found = quantize_weight(weight, choice, moments=lambda: {"fc": hessian})
    assert found.size_bits() == plain.size_bits()
    errors = [float(((q.dequantize() - weight).square() * counts).sum()) for q in (plain, found)]
    if (points, group_size) != ("kmeans", "tensor"):  # few weights a point: Lloyd ends anywhere
        assert errors[1] < errors[0]
    elsewhere = quantize_weight(weight, choice, moments=lambda: {"other": hessian})
    assert torch.equal(elsewhere.dequantize(), plain.dequantize())


def test_draws_depend_on_the_seed_and_the_name() -> None:
    # Numbers noted once: the same in every process and every version.
    assert layer_generator(0, "conv1").initial_seed() == 11_935_767_055_427_520
    seeds = {layer_generator(s, n).initial_seed() for s in range(5) for n in ("a", "b", "")}
    assert len(seeds) == 15
