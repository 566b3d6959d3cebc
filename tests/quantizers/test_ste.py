"""Gradients by hand: the papers' vectors, finite differences, and what must not agree with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.config import GroupSize
from rlquant.quantizers import ActivationQuantizer, activation_grid, quantize_to_points
from rlquant.quantizers.groups import spread
from rlquant.quantizers.ste import straight_through, ternary_values, values_at_points
from rlquant.quantizers.ternary import ternary_signs
from strategies import seeded, seeds, weights

TERNARY = torch.tensor([0.8, -0.02, -0.5, 0.03])
SCALES = torch.tensor([1.2, 0.7])
V = torch.tensor([-1, -0.2, 0.1, 0.5, 2])
POINTS = torch.tensor([0, 0.25, 0.5, 1])
G = torch.tensor([0.1, -0.2, 0.3, -0.4, 0.5])


def close(values: Tensor | None, expected: list[float]) -> None:
    assert values is not None
    wanted = torch.tensor(expected, dtype=values.dtype)
    torch.testing.assert_close(values, wanted, rtol=0, atol=1e-6)


def leaf(values: Tensor) -> Tensor:
    return values.detach().clone().requires_grad_()


def slopes(function: Callable[[Tensor], Tensor], at: Tensor, step: float) -> Tensor:
    """Central differences of a scalar function, one element after the other."""
    found = torch.empty(at.numel(), dtype=torch.float64)
    for i in range(at.numel()):
        moved = torch.zeros_like(at)
        moved.view(-1)[i] = step
        found[i] = (function(at + moved) - function(at - moved)) / (2 * step)
    return found.reshape(at.shape)


def curved(values: Tensor) -> Tensor:
    """A loss of the quantized weights whose gradient is another one at every value and place."""
    place = torch.arange(values.numel(), dtype=torch.float64).reshape(values.shape)
    return ((values.double() - 0.3).square() * (1 + place)).sum()


def ternary(latent: Tensor, scales: Tensor, threshold: float = 0.05) -> Tensor:
    return ternary_values(latent, scales, scales.detach(), *ternary_signs(latent, threshold))


def at_points(
    latent: Tensor, points: Tensor, group_size: GroupSize = "tensor", **storage: torch.dtype
) -> Tensor:
    q = quantize_to_points(latent, points, group_size=group_size, **storage)
    assert q.scale is not None
    scale = spread(q.scale.to(latent.dtype), latent.shape, group_size)
    return values_at_points(latent, points, q.dequantize().to(latent.dtype), q.codes, scale)


class TestStraightThrough:
    """Bengio et al. 2013."""

    @settings(max_examples=20, deadline=None)
    @given(w=weights(), seed=seeds)
    def test_values_and_gradient_pass_exactly(self, w: Tensor, seed: int) -> None:
        latent, values = leaf(w), torch.randn(w.shape, generator=seeded(seed))
        gradient = torch.randn(w.shape, generator=seeded(seed + 1))
        result = straight_through(latent, values)
        result.backward(gradient)
        assert torch.equal(result, values)
        assert latent.grad is not None
        assert torch.equal(latent.grad, gradient)
        assert not values.requires_grad

    def test_the_step_is_taken_at_the_projected_weight_and_applied_to_the_latent_one(self) -> None:
        # L = (wq - 1)^2 / 2, levels 0 and 1: 0.3 is projected to 0, g = -1, and 0.3 moves by it.
        latent = leaf(torch.tensor([0.3]))
        projected = straight_through(latent, latent.detach().round())
        (0.5 * (projected - 1.0).square().sum()).backward()
        with torch.no_grad():
            latent -= 0.1 * latent.grad
        close(latent.detach(), [0.4])


class TestTernary:
    """Zhu et al. 2016, with the minus sign that the printed gradient of Wn lacks."""

    def test_the_vector(self) -> None:
        latent, scales = leaf(TERNARY), leaf(SCALES)
        values = ternary(latent, scales)
        close(values.detach(), [1.2, 0, -0.7, 0])
        values.backward(torch.tensor([0.1, 0.2, -0.3, 0.4]))
        close(scales.grad, [0.1, 0.3])
        close(latent.grad, [0.12, 0.2, -0.21, 0.4])

    def test_scales_get_the_sum_and_not_the_mean(self) -> None:
        scales = leaf(SCALES)
        ternary(torch.ones(7), scales).backward(torch.full((7,), 0.5))
        close(scales.grad, [3.5, 0.0])

    @settings(max_examples=20, deadline=None)
    @given(w=weights(), wp=st.floats(0.1, 2), wn=st.floats(0.1, 2))
    def test_finite_differences_agree_on_the_scales(self, w: Tensor, wp: float, wn: float) -> None:
        latent, scales = w.double(), leaf(torch.tensor([wp, wn]))
        curved(ternary(latent, scales)).backward()
        wanted = slopes(lambda s: curved(ternary(latent, s)), scales.detach(), 2.0**-6)
        assert scales.grad is not None
        torch.testing.assert_close(scales.grad.double(), wanted, rtol=1e-4, atol=1e-3)

    def test_finite_differences_do_not_agree_on_the_latent_weights(self) -> None:
        latent = leaf(TERNARY.double())
        curved(ternary(latent, SCALES)).backward()
        flat = slopes(lambda w: curved(ternary(w, SCALES)), latent.detach(), 1e-4)
        assert not flat.any()
        assert latent.grad is not None
        assert latent.grad.all()

    def test_zeros_and_one_sign_leave_unused_scales_alone(self) -> None:
        for latent, used in ((torch.zeros(4), [0.0, 0.0]), (TERNARY.abs(), [3.0, 0.0])):
            scales = leaf(SCALES)
            ternary(latent, scales).backward(torch.tensor([1.0, 5.0, 2.0, 7.0]))
            close(scales.grad, used)

    def test_stored_scales_are_the_values_and_the_parameters_get_the_gradient(self) -> None:
        latent, scales = leaf(TERNARY), leaf(SCALES)
        stored = scales.detach().half()
        values = ternary_values(latent, scales, stored, *ternary_signs(latent, 0.05))
        wide = stored.float()
        assert values.tolist() == [float(wide[0]), 0.0, float(-wide[1]), 0.0]
        values.sum().backward()
        assert scales.grad is not None
        assert scales.grad.dtype == torch.float32


class TestPoints:
    """Polino et al. 2018, differentiable quantization."""

    def test_one_group(self) -> None:
        latent, points = leaf(V), leaf(POINTS)
        values = at_points(latent, points)
        close(values.detach(), [-1, -0.25, -0.25, 0.5, 2])
        values.backward(G)
        close(points.grad, [0.3, 0.3, -1.2, 1.5])
        assert latent.grad is not None
        assert torch.equal(latent.grad, G)

    def test_two_groups_and_a_point_that_no_weight_takes(self) -> None:
        points = leaf(POINTS)
        values = at_points(torch.tensor([0, 1, 0.5, 10, 14]), points, group_size=3)
        close(values.detach(), [0, 1, 0.5, 10, 14])
        values.backward(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))
        close(points.grad, [1.7, 0, 0.3, 2.2])

    def test_a_constant_group_moves_no_point_and_stays(self) -> None:
        points = leaf(torch.tensor([0.1, 0.4, 0.6, 0.9]))
        w = torch.tensor([0.37, 0.37, 0.37, 0.37, 0.0, 1.0])
        values = at_points(w, points, group_size=4)
        assert torch.equal(values[:4], w[:4])
        values.backward(torch.tensor([9.0, 9.0, 9.0, 9.0, 1.0, 2.0]))
        close(points.grad, [1.0, 0, 0, 2.0])

    @settings(max_examples=25, deadline=None)
    @given(
        w=weights(),
        group_size=st.sampled_from((3, 6, "tensor")),
        dtype=st.sampled_from((torch.float32, torch.float16)),
    )
    def test_finite_differences_agree_with_the_assignment_held(
        self, w: Tensor, group_size: GroupSize, dtype: torch.dtype
    ) -> None:
        latent, points = w.double(), leaf(torch.tensor([-0.1, 0.2, 0.35, 0.9]))
        curved(at_points(latent, points, group_size, scale_dtype=dtype)).backward()
        q = quantize_to_points(latent, points, group_size=group_size, scale_dtype=dtype)
        assert q.scale is not None
        assert q.values is not None
        scale = spread(q.scale.double(), latent.shape, group_size)
        codes, at, rounded = q.codes.long(), q.values.double(), q.dequantize().double()
        wanted = slopes(lambda p: curved(rounded + scale * (p - at)[codes]), at, 1e-4)
        assert points.grad is not None
        torch.testing.assert_close(points.grad.double(), wanted, rtol=1e-4, atol=1e-3)

    def test_finite_differences_do_not_agree_on_the_latent_weights(self) -> None:
        latent = leaf(V.double())
        curved(at_points(latent, POINTS)).backward()
        assert latent.grad is not None
        inner = slice(1, 4)  # the outer two decide scale and offset
        flat = slopes(lambda w: curved(at_points(w, POINTS)), latent.detach(), 1e-4)[inner]
        assert not flat.any()
        assert latent.grad[inner].all()


class TestActivations:
    @settings(max_examples=25, deadline=None)
    @given(x=weights(), bits=st.integers(2, 8), low=st.floats(-4, 0), width=st.floats(0.5, 6))
    def test_the_gradient_passes_inside_the_range_alone(
        self, x: Tensor, bits: int, low: float, width: float
    ) -> None:
        scale, zero_point = activation_grid(low, low + width, bits)
        quantizer = ActivationQuantizer(bits, scale, zero_point)
        inputs = leaf(x)
        outputs = quantizer(inputs)
        with torch.no_grad():
            assert torch.equal(outputs, quantizer(inputs))
        gradient = torch.linspace(1, 2, x.numel()).reshape(x.shape)
        outputs.backward(gradient)
        ends = torch.tensor([-zero_point, 2**bits - 1 - zero_point]) * torch.tensor(scale)
        inside = (x >= ends[0]) & (x <= ends[1])
        assert inputs.grad is not None
        assert torch.equal(inputs.grad, torch.where(inside, gradient, 0.0))

    def test_the_ends_of_the_range_are_inside(self) -> None:
        inputs = leaf(torch.tensor([-0.01, 0.0, 7.5, 15.0, 15.01]))
        ActivationQuantizer(4, 1.0, 0)(inputs).sum().backward()
        close(inputs.grad, [0, 1, 1, 1, 0])

    @pytest.mark.parametrize("needs", [True, False])
    def test_gradients_are_kept_only_where_they_are_asked_for(self, needs: bool) -> None:
        outputs = ActivationQuantizer(4)(torch.ones(3, requires_grad=needs))
        assert outputs.requires_grad is needs
