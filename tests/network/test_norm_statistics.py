"""Statistics of BatchNorms: estimates, and how they move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rlquant.network.norm_statistics import NormStatistics, channel_statistics


def column(*values: float) -> Tensor:
    """One channel of as many samples."""
    return torch.tensor(values)[:, None]


def measured(running_mean: float, running_var: float, inputs: Tensor) -> NormStatistics:
    module = nn.BatchNorm1d(1)
    assert module.running_mean is not None
    assert module.running_var is not None
    module.running_mean.fill_(running_mean)
    module.running_var.fill_(running_var)
    return NormStatistics.of(module, inputs)


@pytest.mark.parametrize(
    ("inputs", "moved", "mean", "variance"),
    [
        # float inputs of mean 1 and variance 1, running mean 3 and variance 4
        (column(0, 2), column(0, 2), 3, 4),
        (column(0, 2), column(1, 3), 4, 4),
        (column(0, 2), column(0.5, 1.5), 3, 1),
        (column(0, 2), column(-1, 3), 3, 7),  # 3 more is less than 4 times as much
        (column(0, 6), column(-3, 9), 3, 16),  # 4 times as much is less than 27 more
        # nothing is known of the factor
        (column(1, 1), column(1, 1), 3, 4),
        (column(1, 1), column(0, 2), 3, 5),
    ],
)
def test_statistics_move_by_what_changed(
    inputs: Tensor, moved: Tensor, mean: float, variance: float
) -> None:
    found = measured(3, 4, inputs).moved(moved, eps=1e-9)
    assert [float(value) for value in found] == pytest.approx([mean, variance])


def test_a_channel_of_no_variance_stays_finite() -> None:
    mean, variance = measured(0, 0, column(0, 0)).moved(column(0, 0), eps=1e-5)
    assert (float(mean), float(variance)) == (0, 0)
    assert torch.isfinite(measured(0, 1, column(0, 0)).moved(column(-1e9, 1e9), 1e-5)[1]).all()


def test_difference_says_more_than_the_samples_own_statistics() -> None:
    # Inputs with the statistics 5 and 9; "quantization" shrinks them and adds noise.
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        inputs = 3 * torch.randn(count, 1, generator=generator) + 5
        return inputs, 0.9 * inputs + torch.randn(count, 1, generator=generator)

    truth = torch.cat(channel_statistics(drawn(200_000)[1]))
    errors = []
    for _ in range(50):
        inputs, shifted = drawn(100)
        moved = torch.cat(measured(5, 9, inputs).moved(shifted, 1e-5))
        errors.append(
            torch.stack([moved, torch.cat(channel_statistics(shifted))]).sub(truth).square()
        )
    by_difference, estimated = torch.stack(errors).mean(dim=0)
    assert (by_difference < 0.5 * estimated).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(64, 3), (64, 3, 50), (64, 3, 40, 40), (2, 3, 2, 2, 2)])
def test_channel_statistics_are_as_exact_as_their_type(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    inputs = (2 * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 1).to(dtype)
    variance, mean = torch.var_mean(
        inputs.double(), dim=[d for d in range(inputs.dim()) if d != 1], correction=0
    )
    for laid_out in (inputs, inputs.transpose(0, -1).contiguous().transpose(0, -1)):
        found_mean, found_variance = channel_statistics(laid_out)
        assert torch.allclose(found_mean.double(), mean, rtol=1e-5, atol=1e-6)
        assert torch.allclose(found_variance.double(), variance, rtol=1e-5)


def test_a_small_variance_beside_a_large_mean_is_found() -> None:
    draw = torch.randn(256, 2, 20, generator=torch.Generator().manual_seed(0))
    inputs = draw * 1e-2 + 1000
    expected = inputs.double().var(dim=(0, 2), correction=0)
    assert torch.allclose(channel_statistics(inputs)[1].double(), expected, rtol=1e-3)


def test_a_module_that_has_learned_nothing_takes_the_samples_statistics() -> None:
    inputs, moved = column(0, 2), column(2, 6)
    fresh = NormStatistics.of(nn.BatchNorm1d(1), inputs).learned
    assert [float(value) for value in fresh.moved(moved, 0.0)] == [4, 4]
    trained = measured(3, 4, inputs)
    assert trained.learned is trained
