"""The project's own quantizers keep what quantizers promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from rlquant.quantizers import (
    QuantizedTensor,
    kmeans_points,
    quantile_points,
    quantize_affine,
    quantize_integer,
    quantize_power_of_two,
    quantize_prescribed,
    quantize_signed_scale,
    quantize_ternary,
    quantize_to_points,
    quantize_zero_point,
    ternary_scales,
)
from rlquant.testing.conformance import Quantize, QuantizerConformance

HALF = torch.float16
POINTS = torch.tensor([0, 0.1, 0.5, 0.5, 1])


def these(**quantizers: Quantize) -> Callable[..., Quantize]:
    """A fixture: each of these quantizers in turn."""

    @pytest.fixture(params=quantizers)
    def quantizer(self: Any, request: pytest.FixtureRequest) -> Quantize:
        return quantizers[request.param]

    return quantizer


def integer(bits: int, **options: Any) -> Quantize:
    return lambda w, g: quantize_integer(w, bits, generator=g, **options)


def uniform(bits: int, **options: Any) -> Quantize:
    return lambda w, g: quantize_affine(w, bits, generator=g, **options)


def power_of_two(bits: int, **options: Any) -> Quantize:
    return lambda w, _: quantize_power_of_two(w, bits, **options)


def points(**options: Any) -> Quantize:
    return lambda w, g: quantize_to_points(w, POINTS, group_size=6, generator=g, **options)


def quantile(w: Tensor, _: Generator) -> QuantizedTensor:
    return quantize_to_points(w, quantile_points(w, 8, group_size="tensor"), group_size="tensor")


def kmeans(w: Tensor, _: Generator) -> QuantizedTensor:
    return quantize_to_points(w, kmeans_points(w, 4, group_size=4), group_size=4)


class TestIntegerGrids(QuantizerConformance):
    idempotent = covers = True
    quantizer = these(
        two=integer(2),
        four_groups_of_4=integer(4, group_size=4),
        eight_tensor=integer(8, group_size="tensor"),
        three_float16=integer(3, scale_dtype=HALF),
        three_last_axis=lambda w, _: quantize_integer(w, 3, channel_axis=max(w.dim() - 1, 0)),
    )


class TestIntegerGridsOfManyPoints(QuantizerConformance):
    idempotent = covers = True
    by_distance = False
    quantizer = these(sixteen=integer(16))


class TestOneBit(QuantizerConformance):
    idempotent = True
    quantizer = these(one=integer(1))


class TestStochasticIntegers(QuantizerConformance):
    covers = True
    nearest = False
    quantizer = these(three=integer(3, rounding="stochastic"))


class TestClippedGrids(QuantizerConformance):
    quantizer = these(
        clipped_1=integer(1, clip=True),
        clipped_3_groups_of_4=integer(3, clip=True, group_size=4),
        clipped_4_float16=integer(4, clip=True, scale_dtype=HALF),
        power_of_two_3=power_of_two(3),
        power_of_two_4_float16=power_of_two(4, scale_dtype=HALF),
        kmeans=kmeans,
    )


class TestLinearScaling(QuantizerConformance):
    idempotent = covers = keeps_extremes = True
    quantizer = these(
        one=uniform(1),
        three_groups_of_4=uniform(3, group_size=4),
        eight_tensor=uniform(8, group_size="tensor"),
    )


class TestLinearScalingOfManyPoints(QuantizerConformance):
    idempotent = covers = keeps_extremes = True
    by_distance = False
    quantizer = these(twelve=uniform(12, group_size="channel"))


class TestLinearScalingInFloat16(QuantizerConformance):
    quantizer = these(four=uniform(4, scale_dtype=HALF))


class TestStochasticLinearScaling(QuantizerConformance):
    covers = keeps_extremes = True
    nearest = False
    quantizer = these(two=uniform(2, rounding="stochastic"))


class TestZeroPoints(QuantizerConformance):
    idempotent = True
    quantizer = these(
        one=uniform(1, zero_point=True),
        three_groups_of_4=uniform(3, group_size=4, zero_point=True),
        eight_tensor=uniform(8, group_size="tensor", zero_point=True),
    )


class TestZeroPointsInFloat16(QuantizerConformance):
    quantizer = these(four=uniform(4, scale_dtype=HALF, zero_point=True))


class TestStochasticZeroPoints(QuantizerConformance):
    nearest = False
    quantizer = these(three=uniform(3, rounding="stochastic", zero_point=True))


class TestWholeZeroPoints(QuantizerConformance):
    quantizer = these(
        two=lambda w, g: quantize_zero_point(w, 2, generator=g),
        four_groups_of_4=lambda w, g: quantize_zero_point(w, 4, group_size=4, generator=g),
        four_float16=lambda w, g: quantize_zero_point(w, 4, scale_dtype=HALF, generator=g),
    )


class TestSignedScales(QuantizerConformance):
    quantizer = these(
        one=lambda w, g: quantize_signed_scale(w, 1, generator=g),
        five_float16=lambda w, g: quantize_signed_scale(w, 5, scale_dtype=HALF, generator=g),
    )


class TestPrescribedPoints(QuantizerConformance):
    quantizer = these(
        iq4_nl=lambda w, g: quantize_prescribed(w, "iq4_nl", generator=g),
        mxfp4=lambda w, g: quantize_prescribed(w, "mxfp4", group_size=4, generator=g),
    )


class TestPoints(QuantizerConformance):
    idempotent = keeps_extremes = True
    quantizer = these(given=points())


class TestStochasticPoints(QuantizerConformance):
    keeps_extremes = True
    nearest = False
    quantizer = these(given=points(rounding="stochastic"))


class TestQuantilePoints(QuantizerConformance):
    keeps_extremes = True
    quantizer = these(eight=quantile)


class TestTernary(QuantizerConformance):
    by_distance = False
    quantizer = these(threshold=lambda w, _: quantize_ternary(w, *ternary_scales(w)))
