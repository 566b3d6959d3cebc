"""Fitting and assigning a layer's weight: taken apart, they make what the quantizers make whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.config import (
    ONE_SCALE,
    PRESCRIBED_BITS,
    STORED_CODEBOOKS,
    GroupSize,
    LayerChoice,
    Points,
    Rounding,
    widths_of,
)
from rlquant.cost.size import LayerStorage
from rlquant.network.weights import (
    assign_weight,
    fake_weight,
    fit_weight,
    quantize_weight,
)
from rlquant.quantizers import (
    QuantizedTensor,
    kmeans_points,
    quantile_points,
    quantize_affine,
    quantize_affine_step,
    quantize_integer,
    quantize_power_of_two,
    quantize_prescribed,
    quantize_signed_scale,
    quantize_super_blocks,
    quantize_ternary,
    quantize_to_points,
    quantize_zero_point,
    ternary_scales,
)
from rlquant.quantizers.formats import FORMATS, form_of
from rlquant.quantizers.groups import spread
from rlquant.quantizers.rounding import layer_generator
from strategies import laid_out, seeded, seeds, weights

group_sizes = st.sampled_from(("channel", 4, 2**16, "tensor"))
roundings = st.sampled_from(("nearest", "stochastic"))


def _quantiles(w: Tensor, bits: int, common: dict[str, Any]) -> QuantizedTensor:
    groups = {"group_size": common["group_size"]}
    return quantize_to_points(w, quantile_points(w, 2**bits, **groups), **common)


def _kmeans(w: Tensor, bits: int, common: dict[str, Any]) -> QuantizedTensor:
    groups = {"group_size": common["group_size"]}
    return quantize_to_points(w, kmeans_points(w, 2**bits, **groups), **common)


def _power(w: Tensor, bits: int, common: dict[str, Any]) -> QuantizedTensor:
    return quantize_power_of_two(w, bits, **{n: v for n, v in common.items() if n != "group_size"})


def _super_blocks(w: Tensor, bits: int, common: dict[str, Any], mirrored: bool) -> QuantizedTensor:
    common = {n: v for n, v in common.items() if n != "scale_dtype"}
    return quantize_super_blocks(w, bits, mirrored=mirrored, **common)


def _prescribed(kind: Any, w: Tensor, bits: int, common: dict[str, Any]) -> QuantizedTensor:
    return quantize_prescribed(w, kind, **common)


WHOLE: dict[str, Callable[[Tensor, int, dict[str, Any]], QuantizedTensor]] = {
    "symmetric": lambda w, bits, common: quantize_integer(w, bits, **common),
    "clipped": lambda w, bits, common: quantize_integer(w, bits, clip=True, **common),
    "fixed_point": _power,
    "affine": lambda w, bits, common: quantize_affine(w, bits, zero_point=True, **common),
    "quantile": _quantiles,
    "kmeans": _kmeans,
    "learned": _quantiles,
    "k_affine": partial(_super_blocks, mirrored=False),
    "k_symmetric": partial(_super_blocks, mirrored=True),
    "affine_step": lambda w, bits, common: quantize_affine_step(w, bits, **common),
    "signed_scale": lambda w, bits, common: quantize_signed_scale(w, bits, **common),
    "zero_point": lambda w, bits, common: quantize_zero_point(w, bits, **common),
    "linear": lambda w, bits, common: quantize_affine(w, bits, **common),
}
WHOLE |= {kind: partial(_prescribed, kind) for kind in PRESCRIBED_BITS}
"""Each kind of points as one call of the pure quantizers."""


def widths(points: Points) -> range:
    """Widths that are tried: those that points can have, without the widest."""
    known = widths_of(points)
    return known if len(known) == 1 else known[: 6 if points in STORED_CODEBOOKS else 12]


def same(a: QuantizedTensor, b: QuantizedTensor) -> bool:
    for name in ("codes", "scale", "offset", "zero_point", "values"):
        one, other = getattr(a, name), getattr(b, name)
        if (one is None) != (other is None):
            return False
        if one is not None and other is not None and one.dtype != other.dtype:
            return False
        if one is not None and other is not None and not torch.equal(one, other):
            return False
    return (a.kind, a.bits) == (b.kind, b.bits) and torch.equal(a.dequantize(), b.dequantize())


def test_every_kind_of_points_has_a_format() -> None:
    assert list(FORMATS) == list(get_args(Points))
    assert set(WHOLE) <= set(FORMATS)
    assert {n for n, each in FORMATS.items() if each.kind == "stored"} == STORED_CODEBOOKS
    assert {n for n, each in FORMATS.items() if each.per_tensor} == ONE_SCALE


@pytest.mark.parametrize("points", WHOLE)
@settings(max_examples=15, deadline=None)
@given(w=weights(), data=st.data(), group_size=group_sizes, rounding=roundings, seed=seeds)
def test_fitted_and_assigned_is_quantized_whole(
    points: Points,
    w: Tensor,
    data: st.DataObject,
    group_size: GroupSize,
    rounding: Rounding,
    seed: int,
) -> None:
    before = w.clone()
    bits = data.draw(st.sampled_from(widths(points)))
    choice = LayerChoice("any", bits, rounding, points=points, group_size=group_size)
    form = form_of(w, choice, 0, seed)
    made = assign_weight(w, fit_weight(w, form), form)
    common = {
        "group_size": group_size,
        "rounding": rounding,
        "generator": layer_generator(seed, "any"),
        "scale_dtype": LayerStorage(w).scale_dtype(choice),
    }
    assert same(made, WHOLE[points](w, bits, common))
    assert same(made, quantize_weight(w, replace(choice, method="distilled"), seed=seed))
    if points != "kmeans":  # whose groups have other ranges where training has no part
        assert same(made, quantize_weight(w, choice, seed=seed))
    assert torch.equal(w, before)


@settings(max_examples=15, deadline=None)
@given(w=weights(), group_size=group_sizes)
def test_a_ternary_weight_has_the_scales_of_least_error(w: Tensor, group_size: GroupSize) -> None:
    choice = LayerChoice("any", 2, method="ternary", group_size=group_size)
    dtype = form_of(w, choice).scale_dtype
    wanted = quantize_ternary(w, *ternary_scales(w), scale_dtype=dtype)
    assert same(quantize_weight(w, choice), wanted)


@pytest.mark.parametrize("points", FORMATS)
@settings(max_examples=15, deadline=None)
@given(w=weights(), data=st.data(), group_size=group_sizes, rounding=roundings, seed=seeds)
def test_the_values_of_a_training_step_are_those_that_would_be_stored(
    points: Points,
    w: Tensor,
    data: st.DataObject,
    group_size: GroupSize,
    rounding: Rounding,
    seed: int,
) -> None:
    bits = data.draw(st.sampled_from(widths(points)))
    choice = LayerChoice("any", bits, rounding, points=points, group_size=group_size)
    axis = data.draw(st.integers(0, w.dim() - 1))
    form = form_of(w, choice, axis)
    fitted = fit_weight(w, form)
    latent = w + 0.3 * torch.randn(w.shape, generator=seeded(seed))
    latent = laid_out(latent, data.draw(st.sampled_from(("plain", "channels_last"))))
    before = latent.clone()
    step = fake_weight(latent, fitted, form, seeded(seed))
    stored = assign_weight(latent, fitted, form, seeded(seed))
    assert torch.equal(step.values, stored.dequantize())
    assert step.values.stride() == latent.stride()
    if points in STORED_CODEBOOKS:
        assert step.codes is not None
        assert step.scale is not None
        assert stored.scale is not None
        assert torch.equal(step.codes.long(), stored.codes.long())
        scale = spread(stored.scale.float(), w.shape, group_size, axis)
        assert torch.equal(step.scale.expand(w.shape), scale.expand(w.shape))
    assert torch.equal(latent, before)


@pytest.mark.parametrize("points", FORMATS)
def test_what_is_fitted_stays_while_the_weights_move(points: Points) -> None:
    w = torch.randn(4, 9, generator=seeded(0))
    form = form_of(w, LayerChoice("any", PRESCRIBED_BITS.get(points, 3), points=points))
    fitted = fit_weight(w, form)
    first, later = (assign_weight(each, fitted, form) for each in (w, 2 * w))
    if points in ("clipped", "fixed_point"):
        assert first.scale is not None
        assert later.scale is not None
        assert torch.equal(first.scale, later.scale)
    elif points in STORED_CODEBOOKS:
        assert first.values is not None
        assert later.values is not None
        assert torch.equal(first.values, later.values)
    else:
        assert fitted is None
        assert torch.equal(later.dequantize(), 2 * first.dequantize())


@pytest.mark.parametrize("points", FORMATS)
def test_the_draw_that_is_stored_is_always_the_same_and_another_generator_goes_on(
    points: Points,
) -> None:
    w = torch.randn(8, 25, generator=seeded(0))
    form = form_of(
        w, LayerChoice("any", PRESCRIBED_BITS.get(points, 3), "stochastic", points=points)
    )
    fitted = fit_weight(w, form)
    assert same(assign_weight(w, fitted, form), assign_weight(w, fitted, form))
    draws = layer_generator(0, "any")
    first, second = (assign_weight(w, fitted, form, draws) for _ in "ab")
    assert same(first, assign_weight(w, fitted, form))
    assert not torch.equal(first.codes, second.codes)
    for other in (replace(form, seed=1), replace(form, choice=replace(form.choice, layer="b"))):
        assert not torch.equal(assign_weight(w, fitted, other).codes, first.codes)


def test_the_storage_type_is_that_of_the_float_weight() -> None:
    choice = LayerChoice("any", 4)
    small, huge = torch.ones(2, 2), torch.full((2, 2), 1e6)
    assert form_of(small, choice).scale_dtype == torch.float16
    assert form_of(huge, choice).scale_dtype == torch.float32
    form = form_of(small, choice)
    grown = assign_weight(300 * small, None, form)
    assert grown.scale is not None
    assert grown.scale.dtype == torch.float16


def test_channels_may_lie_on_another_axis() -> None:
    w = torch.randn(3, 5, generator=seeded(0))
    choice = LayerChoice("any", 3, points="clipped")
    turned = quantize_weight(w.T.contiguous(), choice)
    found = quantize_weight(w, choice, channel_axis=1)
    assert torch.equal(found.dequantize(), turned.dequantize().T)
