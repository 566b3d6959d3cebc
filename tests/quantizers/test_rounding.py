from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.errors import QuantizationError
from rlquant.quantizers import round_nearest, round_stochastic, rounder
from strategies import seeded, seeds

finite = st.floats(-(2.0**22), 2.0**22, width=32)
lists = st.lists(finite, min_size=1, max_size=32)


@given(xs=lists)
@settings(max_examples=40, deadline=None)
def test_nearest_agrees_with_exact_arithmetic(xs: list[float]) -> None:
    x = torch.tensor(xs)
    exact = torch.ceil(x.double() - 0.5)  # no bit is lost in float64
    assert torch.equal(round_nearest(x).double(), exact)


def test_ties_go_down_and_their_float_neighbours_do_not() -> None:
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5])
    assert round_nearest(x).tolist() == [-2, -1, 0, 1, 2]
    above = torch.nextafter(x, torch.tensor(9.0))
    assert round_nearest(above).tolist() == [-1, 0, 1, 2, 3]
    below = torch.nextafter(x, torch.tensor(-9.0))
    assert round_nearest(below).tolist() == [-2, -1, 0, 1, 2]


@given(xs=lists, seed=seeds)
@settings(max_examples=40, deadline=None)
def test_stochastic_lands_on_a_neighbour_and_whole_numbers_stay(xs: list[float], seed: int) -> None:
    x = torch.tensor(xs)
    y = round_stochastic(x, generator=seeded(seed))
    assert ((y == torch.floor(x)) | (y == torch.ceil(x))).all()
    assert torch.equal(round_stochastic(y, generator=seeded(seed + 1)), y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_stochastic_mean_is_the_value(dtype: torch.dtype) -> None:
    x = torch.full((200_000,), 0.3, dtype=dtype)
    y = round_stochastic(x, generator=seeded(0))
    assert y.dtype == dtype
    # The standard error is sqrt(0.3 * 0.7 / 200000) = 0.00102; five of them.
    assert abs(float(y.double().mean()) - float(x[0])) < 0.0052


def test_memory_layout_does_not_change_the_draws() -> None:
    x = torch.rand(6, 4, generator=seeded(0))
    turned = x.t().contiguous().t()
    assert torch.equal(
        round_stochastic(x, generator=seeded(1)), round_stochastic(turned, generator=seeded(1))
    )


def test_rounder_knows_what_is_pure() -> None:
    x = torch.tensor([0.2, 0.7])
    assert rounder("nearest", None)(x).tolist() == [0, 1]
    drawn = rounder("stochastic", seeded(3))(x)
    assert torch.equal(drawn, round_stochastic(x, generator=seeded(3)))


@pytest.mark.parametrize("name", ["gptq", "learned", "up"])
def test_rounder_names_what_is_available(name: str) -> None:
    with pytest.raises(QuantizationError, match=r"'nearest', 'stochastic'"):
        rounder(name, None)  # type: ignore[arg-type]


def test_stochastic_without_a_generator_is_refused() -> None:
    with pytest.raises(QuantizationError, match="pass generator"):
        rounder("stochastic", None)
