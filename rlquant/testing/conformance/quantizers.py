"""Conformance suite for quantizers: functions from float weights to a `QuantizedTensor`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import torch
from torch import Generator, Tensor

from rlquant.errors import QuantizationError
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.groups import spread
from rlquant.quantizers.tensor import strides_of

Quantize = Callable[[Tensor, Generator], QuantizedTensor]
"""Weights of any float type and shape, and the generator of everything random."""

FLOAT_ERROR = 2.0**-20  # a few roundings of float32, relative to the largest weight

SHAPES = ((1,), (7,), (3, 5), (5, 3), (2, 3, 4), (4, 1, 3, 3), (1, 1, 1, 1), (3, 2, 2, 3))


class QuantizerConformance:
    """Guarantees of every quantizer; inherit from it and write `quantize`.

    The class attributes state further guarantees.

    Attributes:
        nearest: a weight takes the nearest point of its group; else one of its two neighbours.
        by_distance: its points decide which one a weight takes; False for a ternary threshold, and
            for more than 8 bits, whose points are too many to list.
        idempotent: quantizing what was quantized changes nothing.
        covers: the points of each group are equally spaced, and none of its weights lies outside.
        keeps_extremes: the smallest and the largest weight of the tensor are points.
    """

    nearest: ClassVar[bool] = True
    by_distance: ClassVar[bool] = True
    idempotent: ClassVar[bool] = False
    covers: ClassVar[bool] = False
    keeps_extremes: ClassVar[bool] = False

    def quantize(self, weights: Tensor, generator: Generator) -> QuantizedTensor:
        """Quantize weights; what is tested."""
        raise NotImplementedError(
            f"{type(self).__name__}: write quantize(self, weights, generator)"
        )

    @pytest.fixture
    def quantizer(self) -> Quantize:
        """Return what is tested; overridden, with `params`, to test several."""
        return self.quantize

    def test_is_a_pure_function_of_weights_and_generator(self, quantizer: Quantize) -> None:
        for weights, seed in examples():
            before = weights.clone()
            first, second = (quantizer(weights, seeded(seed)) for _ in range(2))
            assert torch.equal(weights, before)
            assert torch.equal(first.codes, second.codes)
            assert torch.equal(first.dequantize(), second.dequantize())
            contiguous = quantizer(weights.contiguous(), seeded(seed))
            assert torch.equal(first.codes, contiguous.codes)

    def test_keeps_the_form_and_stays_on_the_grid(self, quantizer: Quantize) -> None:
        for weights, seed in examples():
            q = quantizer(weights, seeded(seed))
            values = q.dequantize()
            assert values.shape == weights.shape == q.codes.shape
            assert values.dtype == torch.float32
            assert values.device == weights.device
            assert values.stride() == strides_of(weights)
            assert torch.isfinite(values).all()
            assert q.codes.is_contiguous()
            assert q.codes.dtype == (torch.uint8 if q.bits <= 8 else torch.int32)
            assert int(q.codes.min()) >= 0
            assert int(q.codes.max()) < q.codebook.numel() <= 2**q.bits
            if q.bits <= 8:
                chosen = points_of_groups(q).gather(-1, q.codes.long()[..., None])[..., 0]
                assert torch.equal(chosen, values)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
    def test_takes_any_float_type(self, quantizer: Quantize, dtype: torch.dtype) -> None:
        weights = torch.linspace(-1, 1, 24, dtype=dtype).reshape(4, 6)
        values = quantizer(weights, seeded(0)).dequantize()
        assert torch.equal(values, quantizer(weights.float(), seeded(0)).dequantize())
        assert values.dtype == torch.float32

    def test_takes_a_scalar_and_zeros(self, quantizer: Quantize) -> None:
        assert quantizer(torch.tensor(-0.5), seeded(0)).dequantize().shape == ()
        assert not quantizer(torch.zeros(3, 4), seeded(0)).dequantize().any()

    def test_detaches_parameters(self, quantizer: Quantize) -> None:
        weights = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
        assert not quantizer(weights, seeded(0)).dequantize().requires_grad

    @pytest.mark.parametrize("factor", [1e-44, 1e-30, 1e4])
    def test_survives_tiny_and_huge_weights(self, quantizer: Quantize, factor: float) -> None:
        weights = torch.tensor([[-1.0, -0.3, 0.0], [0.2, 0.6, 1.0]]) * factor
        assert torch.isfinite(quantizer(weights, seeded(0)).dequantize()).all()

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(torch.tensor([1.0, float("nan")]), id="NaN"),
            pytest.param(torch.tensor([float("inf")]), id="infinite"),
            pytest.param(torch.tensor([1e300], dtype=torch.float64), id="infinite in float32"),
            pytest.param(torch.tensor([1, 2]), id="integers"),
            pytest.param(torch.empty(2, 0), id="no element"),
            pytest.param(torch.empty(2, device="meta"), id="meta"),
        ],
    )
    def test_refuses_what_is_not_a_finite_float_tensor(
        self, quantizer: Quantize, bad: Tensor
    ) -> None:
        with pytest.raises(QuantizationError):
            quantizer(bad, seeded(0))

    def test_a_weight_takes_the_nearest_point_or_a_neighbour(self, quantizer: Quantize) -> None:
        require(self.by_distance)
        for weights, seed in examples():
            q = quantizer(weights, seeded(seed))
            values, points = q.dequantize(), points_of_groups(q)
            if self.nearest:
                least = (points - weights[..., None]).abs().min(dim=-1).values
                assert ((values - weights).abs() <= least + tolerance(weights)).all()
            low = torch.minimum(values, weights)[..., None] + tolerance(weights)
            high = torch.maximum(values, weights)[..., None] - tolerance(weights)
            assert not ((points > low) & (points < high)).any()

    def test_the_error_is_at_most_one_step_or_half_of_it(self, quantizer: Quantize) -> None:
        require(self.covers)
        for weights, seed in examples():
            q = quantizer(weights, seeded(seed))
            assert q.scale is not None
            step = q.scale.float() * float(q.codebook[1] - q.codebook[0])
            bound = step * (0.5 if self.nearest else 1.0)
            bound = spread(bound, weights.shape, q.group_size, q.channel_axis) * (1 + FLOAT_ERROR)
            assert ((q.dequantize() - weights).abs() <= bound + tolerance(weights)).all()

    def test_quantizing_twice_changes_nothing(self, quantizer: Quantize) -> None:
        require(self.idempotent)
        for weights, seed in examples():
            once = quantizer(weights, seeded(seed)).dequantize()
            twice = quantizer(once, seeded(seed + 1)).dequantize()
            assert ((twice - once).abs() <= 2 * tolerance(weights)).all()

    def test_the_extremes_of_the_tensor_stay(self, quantizer: Quantize) -> None:
        require(self.keeps_extremes)
        for weights, seed in examples():
            values = quantizer(weights, seeded(seed)).dequantize()
            assert values.min() == weights.min()
            assert abs(float(values.max() - weights.max())) <= tolerance(weights)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_a_cuda_tensor_gives_the_codes_of_the_cpu(self, quantizer: Quantize) -> None:
        weights = torch.randn(8, 32, generator=seeded(0))
        on_gpu = quantizer(weights.cuda(), seeded(1))
        assert on_gpu.dequantize().is_cuda
        differs = on_gpu.codes.cpu() != quantizer(weights, seeded(1)).codes
        assert differs.float().mean() < 0.01  # ties and last bits of a division


def seeded(seed: int) -> Generator:
    """Return a fresh generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def require(guaranteed: bool) -> None:
    """Skip the test of something that this quantizer does not guarantee."""
    if not guaranteed:
        pytest.skip("not guaranteed")


def examples() -> Iterator[tuple[Tensor, int]]:
    """Yield weights of many shapes, values and memory layouts in [-8, 8], each with a seed."""
    for seed, (shape, layout) in enumerate(itertools.product(SHAPES, LAYOUTS)):
        draw = torch.Generator().manual_seed(seed)
        uniform = torch.rand(shape, generator=draw) * 16 - 8
        values = (
            uniform,
            torch.randn(shape, generator=draw).clamp(-8, 8) * 0.05,
            uniform.round().clamp(-1, 1) * 0.3,  # equal ones and zeros
            uniform.abs() * (torch.rand(shape, generator=draw) < 0.5),  # no negative one
        )[(seed + seed // 4) % 4]
        yield LAYOUTS[layout](values), seed


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "transposed": lambda w: w.transpose(0, -1).contiguous().transpose(0, -1),
    "gaps": lambda w: w.repeat_interleave(2, dim=-1)[..., ::2],
    "channels last": lambda w: (
        w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w
    ),
}


def tolerance(weights: Tensor) -> float:
    """Return float32's error on these weights; scales below its normal numbers have few bits."""
    return FLOAT_ERROR * float(weights.abs().max()) + torch.finfo(torch.float32).tiny


def points_of_groups(q: QuantizedTensor) -> Tensor:
    """Return the values that each weight could have taken, shape `(*weights, points)`."""
    layout = (q.codes.shape, q.group_size, q.channel_axis)
    values = q.codebook.expand(*q.codes.shape, -1)
    if q.scale is not None:
        values = values * spread(q.scale.float(), *layout)[..., None]
    if q.offset is not None:
        values = values + spread(q.offset.float(), *layout)[..., None]
    return values
