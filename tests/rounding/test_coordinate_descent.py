"""Coordinate descent on assignments: what it may change, and that it ends at a local best."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from rlquant.quantizers import (
    QuantizedTensor,
    quantize_affine,
    quantize_integer,
    quantize_to_points,
)
from rlquant.rounding.coordinate_descent import descend
from rlquant.rounding.grid import Grid
from rlquant.rounding.output_error import reconstruction_error
from strategies import seeded, seeds

POINTS = torch.tensor([0.0, 0.1, 0.4, 1.0])
QUANTIZERS: dict[str, Callable[[Tensor], QuantizedTensor]] = {
    "integer": lambda w: quantize_integer(w, 2),
    "clipped": lambda w: quantize_integer(w, 2, clip=True, group_size="tensor"),
    "affine": lambda w: quantize_affine(w, 2, group_size=5),
    "points": lambda w: quantize_to_points(w, POINTS, group_size="channel"),
}


def problem(seed: int, groups: int = 1, fan_in: int = 6) -> tuple[Tensor, Tensor]:
    """A weight of four channels, and moments of correlated inputs."""
    draw = seeded(seed)
    rows = 0.5 + torch.randn(groups, 40, 2, generator=draw) @ torch.randn(
        groups, 2, fan_in, generator=draw
    )
    rows = rows + 0.3 * torch.randn(groups, 40, fan_in, generator=draw)
    return torch.randn(4, fan_in, generator=draw), rows.transpose(1, 2) @ rows / 40


def error(q: QuantizedTensor, w: Tensor, moments: Tensor) -> float:
    return float(reconstruction_error(q.dequantize() - w, moments))


@pytest.mark.parametrize("name", QUANTIZERS)
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_error_never_grows_and_the_grid_stays(name: str, seed: int) -> None:
    w, moments = problem(seed)
    start = QUANTIZERS[name](w)
    codes = start.codes.clone()
    found = descend(w, start, moments)
    assert error(found, w, moments) <= error(start, w, moments) * (1 + 1e-4)
    assert found.scale is start.scale
    assert found.offset is start.offset
    assert found.values is start.values
    assert found.codes.dtype == start.codes.dtype
    assert int(found.codes.max()) < found.codebook.numel()
    assert torch.equal(start.codes, codes)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_it_ends_where_no_single_weight_can_do_better(name: str) -> None:
    w, moments = problem(3)
    found = descend(w, QUANTIZERS[name](w), moments, sweeps=50)
    best, grid = error(found, w, moments), Grid.of(found)
    values = found.dequantize()
    for place in range(w.numel()):
        for point in grid.codebook:
            moved = values.clone().view(-1)
            moved[place] = grid.offset.reshape(-1)[place] + grid.scale.reshape(-1)[place] * point
            other = float(reconstruction_error(moved.reshape(w.shape) - w, moments))
            assert other >= best * (1 - 1e-4)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_inputs_that_are_not_correlated_leave_the_nearest_points(name: str) -> None:
    w, _ = problem(4)
    start = QUANTIZERS[name](w)
    assert torch.equal(descend(w, start, torch.eye(6)[None]).codes, start.codes)


def test_correlated_inputs_let_errors_cancel() -> None:
    """Two equal inputs: 0.4 + 0.4 is better met by 1 + 0 than by 0 + 0."""
    w = torch.tensor([[0.4, 0.4]])
    start = quantize_to_points(torch.tensor([[0.0, 1.0]]), torch.tensor([0.0, 1.0]))
    nearest = QuantizedTensor(
        torch.zeros(1, 2, dtype=torch.uint8), 1, "stored", start.scale, start.offset, start.values
    )
    found = descend(w, nearest, torch.ones(1, 2, 2))
    assert sorted(found.dequantize().flatten().tolist()) == [0.0, 1.0]


def test_only_what_may_move_moves() -> None:
    w, moments = problem(5)
    start = QUANTIZERS["integer"](w)
    movable = torch.zeros(4, 6, dtype=torch.bool)
    assert torch.equal(descend(w, start, moments, movable=movable).codes, start.codes)
    movable[2] = True
    free, held = descend(w, start, moments), descend(w, start, moments, movable=movable)
    assert torch.equal(held.codes[2], free.codes[2])  # channels do not meet
    others = [0, 1, 3]
    assert torch.equal(held.codes[others], start.codes[others])
    assert not torch.equal(free.codes[others], start.codes[others])


def test_constant_groups_stay() -> None:
    w, moments = problem(6)
    w[1] = 0.37
    start = quantize_affine(w, 2, group_size="channel")
    found = descend(w, start, moments)
    assert torch.equal(found.codes[1], start.codes[1])
    assert torch.equal(found.dequantize()[1], w[1])


def test_groups_do_not_meet() -> None:
    w, moments = problem(7, groups=2)
    other = w.clone()
    other[2:] = problem(9)[0][2:]
    found, again = (descend(each, QUANTIZERS["integer"](each), moments) for each in (w, other))
    assert torch.equal(found.codes[:2], again.codes[:2])
    assert not torch.equal(found.codes[2:], again.codes[2:])
    for rows, group in ((slice(0, 2), 0), (slice(2, 4), 1)):
        start = QUANTIZERS["integer"](w).dequantize()
        errors = [
            float(reconstruction_error((values - w)[rows], moments[group : group + 1]))
            for values in (start, found.dequantize())
        ]
        assert errors[1] < errors[0]


def test_inputs_that_are_always_0_do_no_harm() -> None:
    w, moments = problem(8)
    moments[:, 2], moments[:, :, 2] = 0.0, 0.0
    start = QUANTIZERS["integer"](w)
    found = descend(w, start, moments)
    assert torch.equal(found.codes[:, 2], start.codes[:, 2])


@pytest.mark.parametrize("name", QUANTIZERS)
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_values_move_just_inside_their_cells(name: str, seed: int) -> None:
    w, moments = problem(seed)
    q = descend(w, QUANTIZERS[name](w), moments)
    grid = Grid.of(q)
    moved = grid.inside_cells(w, q.codes, 0.1)
    nearest = (grid.unit(moved)[..., None] - grid.codebook).abs().argmin(dim=-1)
    varies = grid.scale > 0
    assert torch.equal(nearest[varies], q.codes.long()[varies])
    stays = q.codes == QUANTIZERS[name](w).codes
    inner = (grid.unit(w) - grid.codebook[q.codes.long()]).abs() < 0.3 * grid.codebook.diff().min()
    still = stays & inner & varies
    torch.testing.assert_close(moved[still], w[still], rtol=1e-5, atol=1e-6)
    assert torch.equal(moved[~varies], w[~varies])
