"""Hand-computed numbers: what the papers' definitions give on small vectors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlquant.quantizers import (
    quantile_points,
    quantize_affine,
    quantize_fixed_point,
    quantize_integer,
    quantize_ternary,
    quantize_to_points,
    sparsity_threshold,
    ternary_scales,
)
from strategies import seeded

V = torch.tensor([-1, -0.2, 0.1, 0.5, 2])
TERNARY = torch.tensor([0.8, -0.02, -0.5, 0.03])
POINTS = torch.tensor([0, 0.25, 0.5, 1])


def close(values: Tensor, expected: list[float]) -> None:
    wanted = torch.tensor(expected, dtype=torch.float32)
    torch.testing.assert_close(values, wanted, rtol=0, atol=1e-5)


class TestFixedPoint:
    """Gupta et al. 2015."""

    @pytest.mark.parametrize(
        ("x", "expected"),
        [
            (0.3, 0.25),
            (-0.3, -0.25),
            (0.375, 0.25),
            (0.125, 0.0),
            (-0.125, -0.25),
            (-0.375, -0.5),
            (1.9, 1.75),
            (1.76, 1.75),
            (2.5, 1.75),
            (-2.5, -2.0),
        ],
    )
    def test_nearest_with_ties_down(self, x: float, expected: float) -> None:
        assert float(quantize_fixed_point(torch.tensor(x), 2, 2)) == expected

    @pytest.mark.parametrize(
        ("x", "lower", "chance"),
        [
            (0.3, 0.25, 0.2),
            (-0.3, -0.5, 0.8),
            (0.375, 0.25, 0.5),
            (0.125, 0.0, 0.5),
            (-0.125, -0.25, 0.5),
            (-0.375, -0.5, 0.5),
        ],
    )
    def test_stochastic_takes_the_upper_with_the_remainder(
        self, x: float, lower: float, chance: float
    ) -> None:
        many = torch.full((40_000,), x)
        values = quantize_fixed_point(many, 2, 2, rounding="stochastic", generator=seeded(0))
        assert ((values == lower) | (values == lower + 0.25)).all()
        # Five standard errors of a share over 40,000 draws: 5 * 0.5 / 200.
        assert abs(float((values > lower).float().mean()) - chance) < 0.0125
        variance = chance * (1 - chance) * 0.25**2
        assert float(values.double().var()) == pytest.approx(variance, abs=0.0005)

    @pytest.mark.parametrize(
        ("x", "end"), [(1.9, 1.75), (1.76, 1.75), (2.5, 1.75), (1.75, 1.75), (-2.5, -2.0)]
    )
    def test_stochastic_saturates_after_rounding(self, x: float, end: float) -> None:
        many = torch.full((1000,), x)
        values = quantize_fixed_point(many, 2, 2, rounding="stochastic", generator=seeded(1))
        assert (values == end).all()

    @pytest.mark.parametrize(
        ("integer_bits", "fraction_bits", "low", "high"),
        [
            (8, 8, -128.0, 127.99609375),
            (2, 14, -2.0, 1.99993896484375),
            (4, 12, -8.0, 7.999755859375),
            (6, 10, -32.0, 31.9990234375),
        ],
    )
    def test_ranges(self, integer_bits: int, fraction_bits: int, low: float, high: float) -> None:
        ends = quantize_fixed_point(torch.tensor([-1e9, 1e9]), integer_bits, fraction_bits)
        assert ends.tolist() == [low, high]

    def test_small_updates_are_lost_by_nearest_and_survive_on_average_by_stochastic(self) -> None:
        update = torch.full((20_000,), 0.001)
        assert not quantize_fixed_point(update, 8, 8).any()
        moved = quantize_fixed_point(update, 8, 8, rounding="stochastic", generator=seeded(2))
        # P = 0.256, five standard errors: 5 * sqrt(0.256 * 0.744 / 20000) = 0.0154.
        assert abs(float((moved > 0).float().mean()) - 0.256) < 0.0155

    def test_a_finished_sum_is_rounded_once(self) -> None:
        products = torch.full((4,), 0.6 * 0.5)
        assert float(quantize_fixed_point(products.sum(), 4, 2)) == 1.25
        assert float(quantize_fixed_point(products, 4, 2).sum()) == 1.0


class TestLinearScaling:
    """Polino et al. 2018; a tie goes to the lower point."""

    def test_two_bits_have_four_points(self) -> None:
        q = quantize_affine(V, 2)
        close(q.dequantize(), [-1, 0, 0, 0, 2])
        assert q.codes.tolist() == [0, 1, 1, 1, 3]
        assert q.scale is not None
        assert q.offset is not None
        assert (q.scale.tolist(), q.offset.tolist()) == ([3.0], [-1.0])

    def test_one_bit_has_the_extremes(self) -> None:
        close(quantize_affine(V, 1).dequantize(), [-1, -1, -1, -1, 2])

    def test_stochastic_shares_variance_and_mean(self) -> None:
        draws = 40_000
        q = quantize_affine(
            V.repeat(draws, 1), 2, group_size=5, rounding="stochastic", generator=seeded(0)
        )
        values = q.dequantize().double()
        lower = torch.tensor([-1.0, -1, 0, 0, 2])
        up = (values > lower).double().mean(dim=0)
        shares = torch.tensor([0, 0.8, 0.1, 0.5, 0], dtype=torch.float64)
        variances = torch.tensor([0, 0.16, 0.09, 0.25, 0], dtype=torch.float64)
        # Five standard errors of a share over 40,000 draws: 5 * 0.5 / 200.
        torch.testing.assert_close(up, shares, rtol=0, atol=0.0125)
        torch.testing.assert_close(values.var(dim=0), variances, rtol=0, atol=0.01)
        torch.testing.assert_close(values.mean(dim=0), V.double(), rtol=0, atol=0.0125)

    def test_a_short_last_group_is_not_padded_with_zeros(self) -> None:
        w = torch.tensor([1, 2, 3, 4, 5, 6.2, 7])
        close(quantize_affine(w, 1, group_size=4).dequantize(), [1, 1, 4, 4, 5, 7, 7])
        close(quantize_affine(w, 2, group_size=4).dequantize(), [1, 2, 3, 4, 5, 19 / 3, 7])

    @pytest.mark.parametrize("count", [1, 4])
    @pytest.mark.parametrize("bits", [1, 2, 8])
    def test_a_constant_group_stays_exactly(self, count: int, bits: int) -> None:
        w = torch.full((count,), 0.37)
        assert torch.equal(quantize_affine(w, bits).dequantize(), w)

    def test_an_outlier_takes_the_small_weights_with_it(self) -> None:
        w = torch.tensor([0.1, -0.1, 0.05, -0.05, 10])
        close(quantize_affine(w, 2).dequantize(), [-0.1, -0.1, -0.1, -0.1, 10])


class TestPoints:
    """Polino et al. 2018, differentiable quantization."""

    def test_assignment_and_values(self) -> None:
        q = quantize_to_points(V, POINTS)
        assert q.codes.tolist() == [0, 1, 1, 2, 3]
        close(q.dequantize(), [-1, -0.25, -0.25, 0.5, 2])

    def test_two_groups(self) -> None:
        w = torch.tensor([0, 1, 0.5, 10, 14])
        q = quantize_to_points(w, POINTS, group_size=3)
        assert q.codes.tolist() == [0, 3, 2, 0, 3]
        assert q.scale is not None
        assert q.scale.tolist() == [1.0, 4.0]
        close(q.dequantize(), [0, 1, 0.5, 10, 14])

    def test_a_constant_group_stays_whatever_the_points(self) -> None:
        w = torch.full((4,), 0.37)
        q = quantize_to_points(w, torch.tensor([0.1, 0.4, 0.6, 0.9]))
        assert torch.equal(q.dequantize(), w)

    def test_quantile_start(self) -> None:
        close(quantile_points(V, 4), [0, 0.3, 0.455556, 1])
        close(quantile_points(V, 3), [0, 0.366667, 1])

    def test_padding_does_not_enter_the_quantiles(self) -> None:
        # Scaled: 0, 1/3, 2/3, 1 and 0, 1; the padding of the second group would add two 1s.
        w = torch.tensor([0.0, 1, 2, 3, 5, 6])
        close(quantile_points(w, 3, group_size=4), [0, 0.5, 1])


class TestTernary:
    """Zhu et al. 2016; threshold 0.05 of the largest weight."""

    def test_values_codes_and_strict_threshold(self) -> None:
        q = quantize_ternary(TERNARY, 1.2, 0.7)
        close(q.dequantize(), [1.2, 0, -0.7, 0])
        assert q.codes.tolist() == [2, 1, 0, 1]
        at_threshold = torch.tensor([1.0, 0.05, -0.05, 0.051])
        assert quantize_ternary(at_threshold, 1, 1).dequantize().tolist() == [1, 0, 0, 1]

    def test_zeros_stay_zero(self) -> None:
        assert not quantize_ternary(torch.zeros(3), 1, 1).dequantize().any()

    def test_one_sign_leaves_the_other_scale_unused(self) -> None:
        q = quantize_ternary(TERNARY.abs(), 1.2, 0.7)
        assert q.codes.tolist() == [2, 1, 2, 1]

    def test_closed_form_scales(self) -> None:
        w = torch.tensor([0.8, 0.4, -0.02, -0.5, -0.2, 0.03])
        assert ternary_scales(w) == pytest.approx((0.6, 0.35))
        assert ternary_scales(-w.abs()) == pytest.approx((0.475, 0.475))
        assert ternary_scales(torch.zeros(4)) == (1.0, 1.0)

    @pytest.mark.parametrize(
        ("sparsity", "zeros"),
        [
            (0.0, []),
            (0.25, [1]),
            (0.5, [1, 3]),
            (0.75, [1, 2, 3]),
            (1.0, [0, 1, 2, 3]),
        ],
    )
    def test_constant_sparsity(self, sparsity: float, zeros: list[int]) -> None:
        threshold = sparsity_threshold(TERNARY, sparsity)
        q = quantize_ternary(TERNARY, 1, 1, threshold=threshold)
        assert (q.codes == 1).nonzero().flatten().tolist() == zeros


class TestSize:
    """Polino et al. 2018: b*N + 2*32 bits a group; the number of groups is rounded up."""

    def test_600_weights_in_groups_of_256(self) -> None:
        w = torch.randn(600, generator=seeded(0))
        q = quantize_affine(w, 4, group_size=256)
        assert q.scale is not None
        assert q.scale.numel() == 3
        assert q.size_bits() == 600 * 4 + 192

    @pytest.mark.parametrize(("bits", "reduction"), [(2, 14.2222), (4, 7.5294), (8, 3.8788)])
    def test_reduction(self, bits: int, reduction: float) -> None:
        w = torch.randn(4, 256, generator=seeded(0))
        size = quantize_affine(w, bits).size_bits()
        assert 32 * w.numel() / size == pytest.approx(reduction, abs=5e-5)

    def test_what_each_kind_stores(self) -> None:
        w = torch.randn(8, 25, generator=seeded(0))
        assert quantize_integer(w, 3).size_bits() == 3 * 200 + 32 * 8
        assert quantize_integer(w, 3, scale_dtype=torch.float16).size_bits() == 3 * 200 + 16 * 8
        points = torch.tensor([0, 0.2, 0.3, 0.6, 1])
        assert quantize_to_points(w, points).size_bits() == 3 * 200 + 8 * 64 + 5 * 32
        assert quantize_ternary(w, 1, 1).size_bits() == 8 * 40 + 64
