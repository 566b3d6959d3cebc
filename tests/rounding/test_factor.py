"""Factors of layer Hessians, and how many of them are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from assigned_layers import layer
from rlquant.quantizers import quantize_affine, quantize_integer
from rlquant.rounding.factor import Factor
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.rounding.triangles import Triangles
from strategies import seeded


def test_it_is_the_damped_hessian_in_order_of_the_inputs() -> None:
    _, hessian = layer(0, groups=2)
    found = Factor.of(hessian, damping=0.05)
    parts = (hessian, found.order, found.lower, found.pivots)
    for matrix, order, lower, pivots in zip(*parts, strict=True):
        damped = matrix + 0.05 * matrix.diagonal().mean() * torch.eye(12)
        assert matrix.diagonal()[order].tolist() == sorted(matrix.diagonal(), reverse=True)
        assert not lower.triu().any()
        unit = (lower + torch.eye(12)).double()
        inner = torch.linalg.solve(unit.T, damped[order][:, order].double())
        rest = torch.linalg.solve(unit.T, inner.T)  # H = L^T D L, so this is D
        torch.testing.assert_close(rest, torch.diag(rest.diagonal()), atol=1e-5, rtol=0)
        torch.testing.assert_close(pivots.double()[order], rest.diagonal(), atol=1e-5, rtol=1e-4)


def reference(weight: torch.Tensor, scale: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    """Return the integers of GPTQ as it is printed, by the factor of the inverse Hessian."""
    damped = hessian.double() + 0.01 * hessian.diagonal().mean() * torch.eye(len(hessian))
    order = hessian.diagonal().argsort(descending=True, stable=True)
    inverse = torch.linalg.inv(damped[order][:, order])
    upper = torch.linalg.cholesky(inverse, upper=True)
    wanted, integers = weight.double()[:, order], torch.empty_like(weight)
    for j, column in enumerate(order):
        integers[:, column] = (wanted[:, j] / scale[:, column]).round().clamp(-4, 3).float()
        error = (wanted[:, j] - integers[:, column] * scale[:, column]) / upper[j, j]
        wanted[:, j:] -= error[:, None] * upper[j, j:]
    return integers


def test_blocks_give_what_columns_one_by_one_give() -> None:
    weight = torch.randn(5, 300, generator=seeded(0))
    rows = torch.randn(900, 300, generator=seeded(1)) @ torch.randn(300, 300, generator=seeded(2))
    hessian = rows.T @ rows / 900
    plain = quantize_integer(weight, 3, group_size=64)
    assert plain.scale is not None
    scale = plain.scale.reshape(5, -1).repeat_interleave(64, dim=1)[:, :300]
    wanted = reference(weight, scale.double(), hessian)
    found = feed_back(weight, plain, hessian[None])
    assert (found.codes.float() - 4 != wanted).float().mean() < 0.002  # ties in float32


def test_affine_groups_and_constant_ones_stay_on_their_grid() -> None:
    weight, hessian = layer(1)
    weight[2, 3:6] = 0.25
    plain = quantize_affine(weight, 2, group_size=3)
    found = feed_back(weight, plain, hessian)
    assert torch.equal(found.dequantize()[2, 3:6], torch.full((3,), 0.25))
    assert not torch.equal(found.codes, plain.codes)


def test_the_last_factor_is_kept_and_those_before_it_while_there_is_room() -> None:
    matrices = {name: layer(seed)[1] for seed, name in enumerate("abc")}
    each = Factor.of(matrices["a"]).nbytes
    hessians = LayerHessians(lambda: kept_of(matrices), kept_bytes=each)
    first = {name: hessians.factor(name) for name in "abc"}
    assert hessians.factor("a") is first["a"]
    assert hessians.factor("c") is first["c"]
    again = hessians.factor("b")
    assert again is not first["b"]
    assert torch.equal(again.lower, first["b"].lower)
    assert hessians.factor("b") is again
    assert hessians.factor("c") is not first["c"]
    assert hessians.factor("a") is first["a"]


def kept_of(matrices: Mapping[str, torch.Tensor]) -> dict[str, Triangles]:
    return {name: Triangles.of(found) for name, found in matrices.items()}


def test_layers_with_the_same_hessian_share_its_factor() -> None:
    _, hessian = layer(0)
    shared = Triangles.of(hessian)
    hessians = LayerHessians(lambda: {"q": shared, "k": shared, "o": Triangles.of(hessian)})
    assert hessians.factor("q") is hessians.factor("k")
    assert hessians.factor("q") is not hessians.factor("o")
    assert torch.equal(hessians["q"], hessians["o"])
