"""What every way of training a layer's weight promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlquant.config import GroupSize
from rlquant.errors import QuantizationError
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.samples import fingerprint_tensors
from strategies import laid_out
from trainable_weights import BUCKET_SIZES, WAYS, form_of, made, moved, shift, weight


def stored_types(q: QuantizedTensor) -> set[torch.dtype]:
    return {t.dtype for t in q.numbers}


def same(a: QuantizedTensor, b: QuantizedTensor) -> bool:
    return torch.equal(a.codes, b.codes) and torch.equal(a.dequantize(), b.dequantize())


def leaf(values: Tensor, trains: bool = True) -> Tensor:
    return values.detach().clone().requires_grad_(trains)


@pytest.mark.parametrize("group_size", BUCKET_SIZES)
@pytest.mark.parametrize("name", WAYS)
class TestEveryWay:
    def test_at_its_start_it_is_what_is_made_without_training(
        self, name: str, group_size: GroupSize
    ) -> None:
        trainable, form = made(name, group_size), form_of(name, group_size)
        project = trainable.project(weight())
        if "sparsity" not in name:  # which only training knows
            choice = form.choice
            assert same(project, quantize_weight(weight(), choice, seed=form.seed))
        values = project.dequantize()
        most = 3 if "ternary" in name else 2**form.choice.bits
        rows = values.reshape(-1, 27) if group_size == "channel" else [values.flatten()]
        if group_size == 16:
            rows = [row for channel in values.reshape(-1, 27) for row in channel.split(16)]
        assert all(len(row.unique()) <= most for row in rows)

    def test_it_computes_with_exactly_what_is_stored(
        self, name: str, group_size: GroupSize
    ) -> None:
        trainable, latent = made(name, group_size), leaf(moved(weight()))
        shift(trainable)
        stored = trainable.project(latent)
        assert not torch.equal(stored.codes, trainable.project(weight()).codes)
        for layout in ("plain", "channels_last"):
            trainable.draws = trainable.form.generator  # else stochastic ones draw again
            computed = trainable(laid_out(latent, layout))
            assert torch.equal(computed, stored.dequantize())
            assert computed.dtype == latent.dtype

    def test_projecting_is_the_same_every_time(self, name: str, group_size: GroupSize) -> None:
        trainable, latent = made(name, group_size), moved(weight())
        first = trainable.project(latent)
        trainable(latent)
        assert same(trainable.project(latent), first)
        assert same(made(name, group_size).project(latent), first)

    def test_what_is_stored_keeps_its_type_and_size(self, name: str, group_size: GroupSize) -> None:
        trainable, form = made(name, group_size), form_of(name, group_size)
        start = trainable.project(weight())
        assert stored_types(start) == {form.scale_dtype}
        for factor in (1e-3, 1.0, 50.0):
            later = trainable.project(factor * moved(weight()))
            assert stored_types(later) == {form.scale_dtype}
            assert later.size_bits() == start.size_bits()
            assert (later.kind, later.bits) == (start.kind, start.bits)

    def test_the_gradient_reaches_exactly_what_trains(
        self, name: str, group_size: GroupSize
    ) -> None:
        trainable, way = made(name, group_size), WAYS[name]
        assert trainable.trains_latent is way.trains_latent
        latent = leaf(moved(weight()), trainable.trains_latent)
        upstream = torch.linspace(0.5, 1.5, latent.numel()).reshape(latent.shape)
        values = trainable(latent)
        assert values.requires_grad
        values.backward(upstream)
        assert (latent.grad is not None) is way.trains_latent
        if way.trains_latent and way.fields["method"] == "distilled":
            assert latent.grad is not None
            assert torch.equal(latent.grad, upstream)
        named = dict(trainable.named_parameters())
        assert set(named) == set(trainable.numbers()) == way.numbers
        learned = [learned.parameter for learned in trainable.learned()]
        assert [id(p) for p in learned] == [id(p) for p in named.values()]
        for parameter in learned:
            assert parameter.grad is not None
            assert parameter.grad.any()

    def test_nan_is_never_stored_and_never_passes_for_a_number(
        self, name: str, group_size: GroupSize
    ) -> None:
        trainable, latent = made(name, group_size), moved(weight())
        latent[0, 0, 0, 0] = math.nan
        with pytest.raises(QuantizationError, match="NaN or infinite"):
            trainable.project(latent)
        try:  # a step may go on with NaN, of which its loss tells; it must not lose it
            values = trainable(leaf(latent))
        except QuantizationError:
            return
        assert torch.isnan(values[0, 0, 0, 0])

    def test_the_weights_are_never_written_to(self, name: str, group_size: GroupSize) -> None:
        start, latent = weight(), leaf(moved(weight()))
        before = fingerprint_tensors([start, latent])
        trainable = made(name, group_size, start)
        trainable(latent).sum().backward()
        trainable.project(latent)
        assert fingerprint_tensors([start, latent]) == before

    def test_a_layer_of_zeros_stays_finite(self, name: str, group_size: GroupSize) -> None:
        zeros = torch.zeros(5, 3, 3, 3)
        trainable, latent = made(name, group_size, zeros), leaf(zeros)
        trainable(latent).sum().backward()
        assert not trainable.project(latent).dequantize().any()
        assert torch.isfinite(trainable.project(moved(weight())).dequantize()).all()


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.is_stochastic])
def test_stochastic_rounding_is_drawn_at_every_step_but_stored_once(name: str) -> None:
    trainable, latent = made(name), moved(weight())
    stored = trainable.project(latent)
    first, second = trainable(latent), trainable(latent)
    assert not torch.equal(first, second)
    assert not torch.equal(first, stored.dequantize())
    again = made(name)
    assert torch.equal(again(latent), first)
    assert torch.equal(again(latent), second)
    assert same(trainable.project(latent), stored)


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.is_stochastic])
def test_stochastic_steps_average_to_the_weights_between_the_points(name: str) -> None:
    trainable, latent = made(name, "tensor"), weight()
    draws = 400
    mean = torch.stack([trainable(latent).detach() for _ in range(draws)]).mean(dim=0)
    q = trainable.project(latent)
    grid = q.codebook * (1.0 if q.scale is None else q.scale.float())
    grid = grid + (0.0 if q.offset is None else q.offset.float())
    between = latent.clamp(float(grid[0]), float(grid[-1]))
    gap = float(grid.diff().max())
    # Five standard errors of a draw between two points that are a gap apart.
    assert float((mean - between).abs().max()) < 5 * gap / 2 / math.sqrt(draws)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("group_size", BUCKET_SIZES)
@pytest.mark.parametrize("name", WAYS)
def test_values_come_in_the_type_of_the_network(
    name: str, group_size: GroupSize, dtype: torch.dtype
) -> None:
    start = weight().to(dtype)
    trainable, latent = made(name, group_size, start), moved(weight()).to(dtype)
    trainable.draws = trainable.form.generator
    values = trainable(leaf(latent))
    assert values.dtype == dtype
    assert torch.equal(values, trainable.project(latent).dequantize().to(dtype))


def finite_difference(name: str, index: int, step: float) -> tuple[float, float]:
    """The slope of a curved loss along one learned number, and the gradient that it has."""
    trainable = made(name, 16, bits=2)
    object.__setattr__(trainable.form, "scale_dtype", torch.float32)
    latent = moved(weight()).double()
    place = torch.arange(latent.numel(), dtype=torch.float64).reshape(latent.shape)

    def loss() -> Tensor:
        return ((trainable(latent) - 0.05).square() * (1 + place)).sum()

    (learned,) = trainable.learned()
    loss().backward()
    gradient = learned.parameter.grad
    assert gradient is not None
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            learned.parameter[index] += sign * step
            ends.append(float(loss()))
            learned.parameter[index] -= sign * step
    return (ends[0] - ends[1]) / (2 * step), float(gradient[index])


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *((name, i) for name in ("ternary-threshold", "ternary-sparsity") for i in range(2)),
        *(
            (name, i)
            for name in ("distilled-learned-nearest", "post_training-learned-nearest")
            for i in range(4)
        ),
    ],
)
def test_finite_differences_agree_on_every_learned_number(name: str, index: int) -> None:
    # The step is so small that no weight changes its point.
    slope, gradient = finite_difference(name, index, 2.0**-12)
    assert gradient != 0
    assert slope == pytest.approx(gradient, rel=2e-2)
