"""What every quantizer promises, whatever its points and rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from torch import Generator, Tensor

from rlquant.config import Rounding
from rlquant.errors import QuantizationError
from rlquant.quantizers import (
    QuantizedTensor,
    kmeans_points,
    quantile_points,
    quantize_affine,
    quantize_integer,
    quantize_power_of_two,
    quantize_ternary,
    quantize_to_points,
    ternary_scales,
)
from rlquant.quantizers.groups import spread
from rlquant.quantizers.tensor import strides_of
from strategies import seeded, seeds, weights

FLOAT_ERROR = 2.0**-20  # a few roundings of float32, relative to the largest weight
EXAMPLES = settings(max_examples=12, deadline=None)


@dataclass(frozen=True)
class Case:
    name: str
    quantize: Callable[[Tensor, Generator], QuantizedTensor]
    nearest: bool = True  # a weight takes the nearest point of its group, else a neighbour
    by_distance: bool = True  # False: ternary goes by its threshold, and 16 bits are too many
    idempotent: bool = False  # deterministic, and the grid of the result is the same grid
    keeps_extremes: bool = False
    covers: bool = False  # the grid covers each group in equal steps


def _integer(bits: int, **options: object) -> Callable[[Tensor, Generator], QuantizedTensor]:
    return lambda w, g: quantize_integer(w, bits, generator=g, **options)  # type: ignore[arg-type]


def _uniform(bits: int, **options: object) -> Callable[[Tensor, Generator], QuantizedTensor]:
    return lambda w, g: quantize_affine(w, bits, generator=g, **options)  # type: ignore[arg-type]


def _kmeans(w: Tensor, _: Generator) -> QuantizedTensor:
    return quantize_to_points(w, kmeans_points(w, 4, group_size=4), group_size=4)


def _quantile(w: Tensor, _: Generator) -> QuantizedTensor:
    return quantize_to_points(w, quantile_points(w, 8, group_size="tensor"), group_size="tensor")


def _points(rounding: Rounding = "nearest") -> Callable[[Tensor, Generator], QuantizedTensor]:
    points = torch.tensor([0, 0.1, 0.5, 0.5, 1])
    return lambda w, g: quantize_to_points(w, points, group_size=6, rounding=rounding, generator=g)


def _last_axis(w: Tensor, _: Generator) -> QuantizedTensor:
    return quantize_integer(w, 3, channel_axis=max(w.dim() - 1, 0))


def _ternary(w: Tensor, _: Generator) -> QuantizedTensor:
    return quantize_ternary(w, *ternary_scales(w))


HALF = torch.float16
COVERING = {"idempotent": True, "covers": True}
SCALED = {"idempotent": True, "covers": True, "keeps_extremes": True}
RANDOM = {"nearest": False, "covers": True}
CASES = (
    Case("integer-1", _integer(1), idempotent=True),
    Case("integer-2", _integer(2), **COVERING),
    Case("integer-4-groups-of-4", _integer(4, group_size=4), **COVERING),
    Case("integer-8-tensor", _integer(8, group_size="tensor"), **COVERING),
    Case("integer-16", _integer(16), by_distance=False, **COVERING),
    Case("integer-3-float16", _integer(3, scale_dtype=HALF), **COVERING),
    Case("integer-3-last-axis", _last_axis, **COVERING),
    Case("integer-3-stochastic", _integer(3, rounding="stochastic"), **RANDOM),
    Case("clipped-1", _integer(1, clip=True)),
    Case("clipped-3-groups-of-4", _integer(3, clip=True, group_size=4)),
    Case("clipped-4-float16", _integer(4, clip=True, scale_dtype=HALF)),
    Case("power-of-two-3", lambda w, _: quantize_power_of_two(w, 3)),
    Case("power-of-two-4-float16", lambda w, _: quantize_power_of_two(w, 4, scale_dtype=HALF)),
    Case("uniform-1", _uniform(1), **SCALED),
    Case("uniform-3-groups-of-4", _uniform(3, group_size=4), **SCALED),
    Case("uniform-8-tensor", _uniform(8, group_size="tensor"), **SCALED),
    Case("uniform-12", _uniform(12, group_size="channel"), by_distance=False, **SCALED),
    Case("uniform-4-float16", _uniform(4, scale_dtype=HALF)),
    Case("uniform-2-stochastic", _uniform(2, rounding="stochastic"), keeps_extremes=True, **RANDOM),
    Case("points", _points(), idempotent=True, keeps_extremes=True),
    Case("points-stochastic", _points("stochastic"), nearest=False, keeps_extremes=True),
    Case("quantile-3", _quantile, keeps_extremes=True),
    Case("kmeans-2", _kmeans),
    Case("ternary", _ternary, by_distance=False),
)


def tolerance(w: Tensor) -> float:
    """Float32's error on these weights; scales below its normal numbers have few bits."""
    return FLOAT_ERROR * float(w.abs().max()) + torch.finfo(torch.float32).tiny


def points_of_groups(q: QuantizedTensor) -> Tensor:
    """The values that each weight could have taken, shape `(*weights, points)`."""
    layout = (q.codes.shape, q.group_size, q.channel_axis)
    values = q.codebook.expand(*q.codes.shape, -1)
    if q.scale is not None:
        values = values * spread(q.scale.float(), *layout)[..., None]
    if q.offset is not None:
        values = values + spread(q.offset.float(), *layout)[..., None]
    return values


def those(wanted: Callable[[Case], bool]) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if wanted(case)]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


@those(lambda case: True)
class TestEveryQuantizer:
    @EXAMPLES
    @given(w=weights(), seed=seeds)
    def test_is_a_pure_function_of_values_and_seed(self, case: Case, w: Tensor, seed: int) -> None:
        before = w.clone()
        first, second = (case.quantize(w, seeded(seed)) for _ in range(2))
        assert torch.equal(w, before)
        assert torch.equal(first.codes, second.codes)
        assert torch.equal(first.dequantize(), second.dequantize())
        contiguous = case.quantize(w.contiguous(), seeded(seed))
        assert torch.equal(first.codes, contiguous.codes)

    @EXAMPLES
    @given(w=weights(), seed=seeds)
    def test_keeps_the_form_and_stays_on_the_grid(self, case: Case, w: Tensor, seed: int) -> None:
        q = case.quantize(w, seeded(seed))
        values = q.dequantize()
        assert values.shape == w.shape == q.codes.shape
        assert values.dtype == torch.float32
        assert values.device == w.device
        assert values.stride() == strides_of(w)
        assert torch.isfinite(values).all()
        assert q.codes.is_contiguous()
        assert q.codes.dtype == (torch.uint8 if q.bits <= 8 else torch.int32)
        assert int(q.codes.min()) >= 0
        assert int(q.codes.max()) < q.codebook.numel() <= 2**q.bits
        if q.bits <= 8:
            chosen = points_of_groups(q).gather(-1, q.codes.long()[..., None])[..., 0]
            assert torch.equal(chosen, values)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_takes_any_float_type(self, case: Case, dtype: torch.dtype) -> None:
        w = torch.linspace(-1, 1, 24, dtype=dtype).reshape(4, 6)
        values = case.quantize(w, seeded(0)).dequantize()
        assert torch.equal(values, case.quantize(w.float(), seeded(0)).dequantize())
        assert values.dtype == torch.float32

    def test_takes_a_scalar_and_zeros(self, case: Case) -> None:
        assert case.quantize(torch.tensor(-0.5), seeded(0)).dequantize().shape == ()
        assert not case.quantize(torch.zeros(3, 4), seeded(0)).dequantize().any()

    def test_detaches_parameters(self, case: Case) -> None:
        w = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
        assert not case.quantize(w, seeded(0)).dequantize().requires_grad

    def test_survives_tiny_and_huge_weights(self, case: Case) -> None:
        for factor in (1e-44, 1e-30, 1e4):
            w = torch.tensor([[-1.0, -0.3, 0.0], [0.2, 0.6, 1.0]]) * factor
            values = case.quantize(w, seeded(0)).dequantize()
            assert torch.isfinite(values).all()

    def test_refuses_what_is_not_a_finite_float_tensor(self, case: Case) -> None:
        for bad, words in (
            (torch.tensor([1.0, float("nan")]), "1 of 2 weights are NaN or infinite"),
            (torch.tensor([float("inf")]), "NaN or infinite"),
            (torch.tensor([1e300], dtype=torch.float64), "NaN or infinite"),
            (torch.tensor([1, 2]), "only float tensors"),
            (torch.empty(2, 0), "no element"),
            (torch.empty(2, device="meta"), "meta"),
        ):
            with pytest.raises(QuantizationError, match=words):
                case.quantize(bad, seeded(0))


@those(lambda case: case.by_distance)
@EXAMPLES
@given(w=weights(), seed=seeds)
def test_a_weight_takes_the_nearest_point_or_a_neighbour(case: Case, w: Tensor, seed: int) -> None:
    q = case.quantize(w, seeded(seed))
    values, points = q.dequantize(), points_of_groups(q)
    if case.nearest:
        least = (points - w[..., None]).abs().min(dim=-1).values
        assert ((values - w).abs() <= least + tolerance(w)).all()
    low = torch.minimum(values, w)[..., None] + tolerance(w)
    high = torch.maximum(values, w)[..., None] - tolerance(w)
    assert not ((points > low) & (points < high)).any()


@those(lambda case: case.covers)
@EXAMPLES
@given(w=weights(), seed=seeds)
def test_error_is_below_one_step_or_half_of_it(case: Case, w: Tensor, seed: int) -> None:
    q = case.quantize(w, seeded(seed))
    assert q.scale is not None
    step = q.scale.float() * float(q.codebook[1] - q.codebook[0])
    bound = step * (0.5 if case.nearest else 1.0)
    bound = spread(bound, w.shape, q.group_size, q.channel_axis) * (1 + FLOAT_ERROR)
    assert ((q.dequantize() - w).abs() <= bound + tolerance(w)).all()


@those(lambda case: case.idempotent)
@EXAMPLES
@given(w=weights(), seed=seeds)
def test_quantizing_twice_changes_nothing(case: Case, w: Tensor, seed: int) -> None:
    once = case.quantize(w, seeded(seed)).dequantize()
    twice = case.quantize(once, seeded(seed + 1)).dequantize()
    assert ((twice - once).abs() <= 2 * tolerance(w)).all()


@those(lambda case: case.keeps_extremes)
@EXAMPLES
@given(w=weights(), seed=seeds)
def test_extremes_of_the_tensor_stay(case: Case, w: Tensor, seed: int) -> None:
    values = case.quantize(w, seeded(seed)).dequantize()
    assert values.min() == w.min()
    assert abs(float(values.max() - w.max())) <= tolerance(w)


@those(lambda case: True)
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cuda_tensor_gives_the_codes_of_the_cpu(case: Case) -> None:
    w = torch.randn(8, 32, generator=seeded(0))
    on_gpu = case.quantize(w.cuda(), seeded(1))
    assert on_gpu.dequantize().is_cuda
    differs = on_gpu.codes.cpu() != case.quantize(w, seeded(1)).codes
    assert differs.float().mean() < 0.01  # ties and last bits of a division
