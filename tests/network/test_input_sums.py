"""Sums over inputs: layers share them where they read the same tensor, and only there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rlquant.layers import find_layers
from rlquant.network import input_sums
from rlquant.network.hessians import InputMoments, measure_hessians
from rlquant.samples import Samples
from small_networks import fresh
from strategies import seeded

COUNT = 150
"""Samples: more than are run at a time."""


def moments_of(network: nn.Module, inputs: Tensor) -> dict[str, InputMoments]:
    samples = Samples((inputs,), torch.zeros(len(inputs)))
    return measure_hessians(network, find_layers(network, (inputs[:2],)), samples)


def some_inputs(*shape: int) -> Tensor:
    return 0.5 + torch.randn(COUNT, *shape, generator=seeded(1))


class Two(nn.Module):
    """Two linear layers of which the second reads what `between` makes of the input."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(5, 4), nn.Linear(5, 4)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        first = self.one(x)
        return first + self.other(self.between(x))


def same(x: Tensor) -> Tensor:
    return x


def view(x: Tensor) -> Tensor:
    return x.view(x.shape)


def doubled(x: Tensor) -> Tensor:
    return x + x


def doubled_in_place(x: Tensor) -> Tensor:
    return x.mul_(2)


def doubled_without_a_trace(x: Tensor) -> Tensor:
    x.data.mul_(2)
    return x


@pytest.mark.parametrize("between", [same, view])
def test_layers_that_read_one_tensor_have_the_same_moments(
    between: Callable[[Tensor], Tensor],
) -> None:
    found = moments_of(fresh(lambda: Two(between)), some_inputs(5))
    assert found["one"] is found["other"]


def test_they_do_also_where_an_evaluation_asks_for_them() -> None:
    with torch.inference_mode():
        found = moments_of(fresh(lambda: Two(same)), some_inputs(5))
    assert found["one"] is found["other"]


@pytest.mark.parametrize("between", [doubled, doubled_in_place, doubled_without_a_trace])
def test_layers_that_read_other_numbers_have_their_own(
    between: Callable[[Tensor], Tensor],
) -> None:
    found = moments_of(fresh(lambda: Two(between)), some_inputs(5))
    torch.testing.assert_close(found["other"].second, 4 * found["one"].second)


class Parting(nn.Module):
    """Its layers read one tensor, apart from batches whose first number is above a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.third = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        apart = -x if x[0, 0] > 10 else x
        return self.one(x) + self.other(apart) + self.third(x)


def test_layers_part_where_a_later_batch_has_other_inputs_for_them() -> None:
    inputs = some_inputs(3)
    inputs[64:] += 20
    found = moments_of(fresh(Parting), inputs)
    assert found["one"] is found["third"]
    assert found["one"] is not found["other"]
    signed = inputs.clone()
    signed[64:] *= -1
    for name, rows in (("one", inputs), ("other", signed)):
        wanted = rows.T @ rows / len(rows)
        torch.testing.assert_close(found[name].second[0], wanted, rtol=1e-5, atol=1e-4)


class Convolutions(nn.Module):
    """Convolutions of one tensor, of which two unfold it alike."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.alike = (nn.Conv2d(3, 4, 3, padding=1) for _ in range(2))
        self.strided = nn.Conv2d(3, 4, 3, padding=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.alike(x) + self.strided(x).mean()


def test_convolutions_share_where_they_unfold_alike() -> None:
    found = moments_of(fresh(Convolutions), some_inputs(3, 6, 6))
    assert found["one"] is found["alike"]
    assert found["one"] is not found["strided"]


class Again(nn.Module):
    """One layer is called twice with the tensor that another reads once."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.once = nn.Linear(5, 4), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.twice(x) + self.twice(x) + self.once(x)


@pytest.mark.parametrize("row_bytes", [1, 3 * 8 * 8 * 27 * 4])
def test_parts_of_a_batch_add_up_to_the_whole(
    row_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = fresh(Convolutions), 100 + some_inputs(3, 8, 8)
    whole = moments_of(network, images)["one"]
    monkeypatch.setattr(input_sums, "ROW_BYTES", row_bytes)
    parts = moments_of(network, images)["one"]
    scale = float(whole.covariance.abs().max())
    assert (parts.covariance - whole.covariance).abs().max() < 1e-5 * scale
    assert torch.allclose(parts.mean, whole.mean, rtol=1e-7)


def test_calls_of_a_layer_count_each() -> None:
    network = fresh(Again)
    found = moments_of(network, some_inputs(5))
    assert found["twice"] is not found["once"]
    torch.testing.assert_close(found["twice"].second, found["once"].second)


def test_a_convolution_may_have_lists_for_its_sizes() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2))
    expected = moments_of(network, some_inputs(2, 7, 7))["0"]
    network[0].stride = [2, 2]  # as in EfficientNet-Lite
    found = moments_of(network, some_inputs(2, 7, 7))["0"]
    assert torch.equal(found.covariance, expected.covariance)
